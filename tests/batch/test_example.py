#!/usr/bin/env python3
"""The worked example of docs/cohort_example.md, from a folder to statistics, with few people; and its statistics beside printed tables."""
import csv
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import example

sys.path.insert(0, str(example.ROOT / "scripts"))
import compare_groups  # noqa: E402

SCRIPT = str(example.ROOT / "scripts/compare_groups.py")


def intervals():
    # tables of Student's t, two-sided 95 %
    for freedom, printed in [(1, 12.706), (2, 4.303), (9, 2.262), (30, 2.042), (120, 1.980)]:
        assert abs(compare_groups.t_quantile(freedom) - printed) < 6e-4, freedom
    mean, deviation, low, high = compare_groups.mean_interval([1.0, 2.0, 3.0, 4.0])
    assert (mean, round(deviation, 4), round(low, 3), round(high, 3)) == (2.5, 1.291, 0.446, 4.554)
    # as scipy.stats.ttest_ind(..., equal_var=False).confidence_interval() says
    difference, low, high = compare_groups.welch([1.0, 2.0, 3.0, 4.0], [2.0, 5.0, 8.0, 11.0])
    assert (difference, round(low, 2), round(high, 2)) == (4.0, -1.88, 9.88), (difference, low, high)


def study(folder, people=3):
    rows = example.make(folder, people)
    run = lambda *words, code=0: check(subprocess.run([str(word) for word in words], capture_output=True, text=True), code)
    batch = [example.HOST, "batch"]
    run(*batch, folder / "cases.csv", "--out", folder / "results", "--model", "nano", "--no-prompts", "--resume", "--threads", "1", code=3)
    run(*batch, "status", folder / "results", code=3)
    table = folder / "measurements.csv"
    run(*batch, "merge", folder / "results", "--csv", table, "--html", folder / "cohort.html")
    found = run(sys.executable, SCRIPT, table, "--measure", "faz_area_mm2", "--group", "group", "--person", "person")
    assert found.startswith("faz_area_mm2 mm²\n") and f"left out: {rows[-1]['case']} (failed: " in found, found
    means = {name: float(mean) for name, mean in re.findall(r"^(control|enlarged) +\d+ +\d+ +([\d.]+)", found, re.M)}
    for name, mean in means.items():
        true = [float(row["true_faz_mm2"]) for row in rows[:-1] if row["group"] == name]
        # the zones of phantoms are found to within a few percent, now and then one is not
        assert 0.6 < mean / (sum(true) / len(true)) < 1.4, (name, mean, true)
    assert len(means) == 2 and means["enlarged"] > means["control"], found
    assert "enlarged - control: " in found
    one = [row for row in csv.DictReader(open(table, newline="")) if row["case"] == rows[-1]["case"]][0]
    assert one["status"] == "failed" and one["reason"], one
    return found


def check(done, code):
    assert done.returncode == code, (done.args, done.stdout, done.stderr)
    return done.stdout


if __name__ == "__main__":
    intervals()
    with tempfile.TemporaryDirectory() as folder:
        print(study(Path(folder) / "study"))
