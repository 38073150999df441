"""A cohort of many tiny cases, some of them bad, and what must hold of its results whatever happened meanwhile."""
import csv
import hashlib
import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOST = os.environ.get("HOST_DEMO", str(ROOT / "target/release/host-demo"))

# Bright voxels, a little slowly; some cases hang or ask for too much.
SCRIPT = """
let what = arg("what", "");
if what == "hangs" { loop { sleep(0.001); } }
if what == "sleeps" { sleep(100000.0) }
if what == "greedy" { let held = []; let text = "0123456789abcdef"; for turn in 0..19 { text += text; } loop { held.push(text + "x"); } }
let volume = open_volume(arg("volume"));
let labels = volume.threshold(120, 255);
labels.save(`${arg("out")}/labels.nii.gz`);
sleep(arg("pause", 0.0));
#{voxels: labels.count(1)}
"""
# long enough for a busy machine: only what hangs comes there
LIMITS = ["--max-seconds", "20", "--max-memory", "200"]
# reasons that the table must give
BAD = {"damaged": ".npy", "absent": "No such file", "hangs": "seconds", "sleeps": "seconds", "greedy": "memory"}


def make(folder, count, bad_ones=2):
    """Volumes, manifest and script; the bad cases by name."""
    folder = Path(folder)
    (folder / "volumes").mkdir(parents=True)
    (folder / "case.rhai").write_text(SCRIPT)
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': (1, 16, 16), }}".ljust(117) + "\n"
    kinds = [kind for kind in BAD for _ in range(bad_ones)]
    bad = {f"case{(at + 1) * count // (len(kinds) + 1):05}": kind for at, kind in enumerate(kinds)}
    rows = []
    for at in range(count):
        case = f"case{at:05}"
        path = folder / "volumes" / f"{case}.npy"
        content = b"\x93NUMPY\x01\x00\x76\x00" + head.encode() + hashlib.sha256(case.encode()).digest() * 8
        kind = bad.get(case, "")
        if kind == "damaged":
            content = content[:70]
        if kind != "absent":
            path.write_bytes(content)
        rows.append({"case": case, "volume": f"volumes/{case}.npy", "what": kind})
    with open(folder / "cases.csv", "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return bad


def batch(folder, out, *more):
    """The command of a run over that cohort."""
    folder = Path(folder)
    return [HOST, "batch", str(folder / "cases.csv"), "--out", str(out), "--script", str(folder / "case.rhai"), *LIMITS, *more]


def hashes(out):
    """The results as records name them: case to file to sha256; each file is looked at."""
    found = {}
    for path in sorted((Path(out) / "records").glob("*.json")):
        record = json.loads(path.read_text())
        found[record["case"]] = {name: output["sha256"] for name, output in record["outputs"].items() if name != "log.txt"}
        for name, output in record["outputs"].items():
            content = (Path(out) / "results" / record["case"] / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == output["sha256"], f"{record['case']}: {name} is not what its record says"
    return found


def check(folder, out, count, bad, reference=None, more=()):
    """Every case once in the table, bad ones with their reason, no half file, and a second run (with the options `more` of the first) does nothing."""
    out = Path(out)
    status = subprocess.run([HOST, "batch", "status", out, "--manifest", Path(folder) / "cases.csv", "--json"], capture_output=True, text=True)
    told = json.loads(status.stdout)
    assert status.returncode == 3, status
    assert told["done"] == count - len(bad) and sorted(told["failed"]) == sorted(bad) and not told["missing"] and not told["unlisted"], told
    table = out / "measurements.csv"
    subprocess.run([HOST, "batch", "merge", out, "--csv", table], check=True, capture_output=True)
    rows = list(csv.DictReader(open(table, newline="")))
    assert [row["case"] for row in rows] == [f"case{at:05}" for at in range(count)], "every case once"
    for row in rows:
        kind = bad.get(row["case"])
        assert (row["status"] == "failed") == bool(kind), row
        assert not kind or BAD[kind] in row["reason"], row
    assert not list((out / "tmp").iterdir()), list((out / "tmp").iterdir())
    found = hashes(out)
    named = {str(path.relative_to(out / "results")) for path in (out / "results").rglob("*") if path.is_file()}
    recorded = {f"{case}/{name}" for case, files in found.items() for name in files}
    assert {name for name in named if not name.endswith("log.txt")} == recorded, "no file that no record names"
    assert reference is None or found == reference, "other results than in one process"
    before = {path.name: path.stat().st_mtime_ns for path in (out / "records").iterdir()}
    again = subprocess.run(batch(folder, out, "--resume", *more), capture_output=True, text=True)
    assert again.returncode == 3 and f"0 done, {len(bad)} failed, {count} passed over" in again.stderr, again.stderr[-500:]
    assert before == {path.name: path.stat().st_mtime_ns for path in (out / "records").iterdir()}, "a second run did something"
    return found, told
