#!/usr/bin/env python3
"""The study of docs/cohort_example.md: en-face phantoms of two groups of people, both eyes each, with the table that says who is who.

    example.py FOLDER [PEOPLE]        PEOPLE of each group [12]

The avascular zones of `enlarged` are drawn larger; what was drawn stands in the column true_faz_mm2. One scan is damaged, as one always is.
"""
import csv
import os
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOST = os.environ.get("HOST_DEMO", str(ROOT / "target/release/host-demo"))
# mm²: mean and spread between people
GROUPS = {"control": (0.26, 0.06), "enlarged": (0.40, 0.09)}
SIZE, FIELD = 304, 3


def phantom(path, seed, area):
    with tempfile.TemporaryDirectory() as scratch:
        layers = ["--out", f"{scratch}/layers.npy", "--slices", "1", "--size", str(SIZE), "--field", str(FIELD)]
        subprocess.run([HOST, "phantom", *layers, "--seed", str(seed), "--faz-mm2", f"{area:.3f}", "--en-face", path, "--quiet"], check=True)


def make(folder, people=12):
    folder = Path(folder)
    (folder / "scans").mkdir(parents=True)
    chance, rows, jobs = random.Random(7), [], []
    for group, (mean, spread) in GROUPS.items():
        for _ in range(people):
            person = f"P{len(rows) // 2 + 1:02}"
            area = min(0.9, max(0.08, chance.gauss(mean, spread)))
            for eye in ("R", "L"):
                own = area * chance.uniform(0.95, 1.05)
                name = f"{person}_{eye}"
                jobs.append((folder / f"scans/{name}.tif", len(jobs), own))
                rows.append({"case": name, "volume": f"scans/{name}.tif", "person": person, "group": group, "eye": eye, "field": FIELD, "true_faz_mm2": f"{own:.3f}"})
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: phantom(*job), jobs))
    damaged = jobs[-1][0]
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with open(folder / "cases.csv", "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return rows


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    print(f"{len(make(sys.argv[1], *map(int, sys.argv[2:])))} scans in {sys.argv[1]}/scans, and {sys.argv[1]}/cases.csv")
