#!/usr/bin/env python3
"""`make test-batch`: many tiny cases through Snakemake on this machine, and through GNU parallel or xargs; some shards are killed on the way.

    test_batch.py [CASES]        200 unless said

Snakemake is that of this Python's environment or of PATH.
"""
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cohort
from test_slurm import done, processes, say

SNAKEFILE = cohort.ROOT / "scripts/cluster/Snakefile"


def snakemake():
    beside = Path(sys.executable).with_name("snakemake")
    return str(beside) if beside.exists() else shutil.which("snakemake")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="octa-batch-") as folder:
        folder = Path(folder)
        bad = cohort.make(folder / "cohort", count, 1)
        say("one process, for comparison")
        subprocess.run(cohort.batch(folder / "cohort", folder / "plain", "--quiet"), check=False)
        reference, _ = cohort.check(folder / "cohort", folder / "plain", count, bad)
        by_xargs(folder, count, bad, reference)
        program = snakemake()
        if program is None:
            print("skipped: no Snakemake (pip install -r tests/batch/requirements.txt)")
            return
        by_snakemake(program, folder, count, bad, reference)


def by_xargs(folder, count, bad, reference):
    """Any program that runs commands: here xargs, two at a time."""
    say("xargs -P2, four shards")
    out = folder / "xargs"
    command = cohort.batch(folder / "cohort", out, "--resume", "--quiet", "--shard", "{}/4")
    done = subprocess.run(["xargs", "-P2", "-I{}", *command], input="0\n1\n2\n3\n", text=True, capture_output=True)
    assert done.returncode == 123, done  # xargs: some ended with 1 to 125
    cohort.check(folder / "cohort", out, count, bad, reference)


def by_snakemake(program, folder, count, bad, reference):
    say("Snakemake, four shards, two at a time; runs and workers are killed")
    out = folder / "snake"
    arguments = " ".join([*cohort.batch(folder / "cohort", out)[5:], "--set", "pause=0.02"])
    config = [f"host={cohort.HOST}", f"manifest={folder}/cohort/cases.csv", f"out={out}", "shards=4", f"arguments={arguments}"]
    command = [program, "-s", str(SNAKEFILE), "--cores", "2", "--quiet", "all", "--rerun-incomplete", "--config", *config]
    with open(folder / "snakemake.log", "wb") as log:
        run = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        chance, killed = random.Random(1), 0
        while run.poll() is None:
            if killed < 3 and done(out) > killed * count // 8:
                there = processes(out, killed == 1)
                if there:
                    try:
                        os.kill(chance.choice(there), signal.SIGKILL)
                        killed += 1
                    except ProcessLookupError:
                        pass
            time.sleep(0.1)
    text = (folder / "snakemake.log").read_text(errors="replace")
    assert run.returncode == 0, text[-3000:]
    assert killed == 3, f"only {killed} could be killed"
    cohort.check(folder / "cohort", out, count, bad, reference, ["--set", "pause=0.02"])
    assert (out / "measurements.csv").exists() and (out / "cohort.html").exists()
    again = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert again.returncode == 0 and "rule shard" not in again.stderr, again.stderr[-2000:]
    say(f"{count} cases, {killed} killed; the bits are equal, and a second run of Snakemake does nothing")


if __name__ == "__main__":
    main()
