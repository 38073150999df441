#!/usr/bin/env python3
"""`make test-slurm`: many tiny cases as an array on a real Slurm of two nodes in this box, and all that goes wrong there.

    test_slurm.py [CASES]        1000 unless said

Tasks and their workers are killed, the disk fills up, a node is drained, tasks are preempted and queued again, a shard runs twice at a time, the
clock of a process jumps; cases hang, ask for too much, are damaged or absent. In the end every case stands in the table once, with the same bits as
from one process without any of this.
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
import slurm as box

SHARDS = 16
ARRAY = cohort.ROOT / "scripts/cluster/array.sbatch"


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


class Disk:
    """A small disk of its own, which can be filled; None where nothing may be mounted."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True).returncode == 0

    def fill(self):
        with open(self.folder / "ballast", "wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
            except OSError:
                pass

    def free(self):
        (self.folder / "ballast").unlink()

    def close(self):
        if self.mounted:
            subprocess.run(["umount", "-l", self.folder], check=False)


def processes(out, worker):
    """Runs over this folder (or their workers), by their command lines."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if b"batch" in words and str(out).encode() in words:
            found[int(path.name)] = [int(path.name), *found.get(int(path.name), [])]
        elif b"batch-worker" in words:
            found.setdefault(parent, []).append(int(path.name))
    mine = {run: workers for run, workers in found.items() if run in workers}
    return [pid for run, pids in mine.items() for pid in pids if (pid != run) == worker]


def kill_one(out, worker, chance):
    there = processes(out, worker)
    if there:
        victim = chance.choice(there)
        try:
            os.kill(victim, signal.SIGKILL)
            return True
        except ProcessLookupError:
            pass
    return False


def done(out):
    return len(list((out / "records").glob("*.json"))) if (out / "records").exists() else 0


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    box.install()
    if why := box.missing():
        print(f"skipped: Slurm cannot run here: {why}")
        return
    chance = random.Random(24)
    with tempfile.TemporaryDirectory(prefix="octa-slurm-") as folder:
        folder = Path(folder)
        os.chmod(folder, 0o755)
        bad = cohort.make(folder / "cohort", count)
        say("the same in one process, for comparison")
        subprocess.run(cohort.batch(folder / "cohort", folder / "plain", "--quiet"), check=False)
        reference, _ = cohort.check(folder / "cohort", folder / "plain", count, bad)
        disk = Disk(folder / "disk")
        try:
            with box.Slurm(folder / "slurm") as slurm:
                trouble(slurm, folder, disk, count, chance)
            found, told = cohort.check(folder / "cohort", disk.folder / "out", count, bad, reference, ["--set", "pause=0.03"])
        finally:
            disk.close()
        say(f"{len(found)} cases: {told['done']} done, {len(told['failed'])} failed as they should, {len(told['doubled'])} done more than once; the bits are equal")


def trouble(slurm, folder, disk, count, chance):
    """Everything that goes wrong, then the array again until nothing is missing."""
    out = disk.folder / "out"
    environment = f"ALL,HOST_DEMO={cohort.HOST},OMP_NUM_THREADS=1"
    logs = folder / "logs"
    logs.mkdir()

    def submit(array=f"0-{SHARDS - 1}", *more):
        shards = f",SHARDS={SHARDS}"
        command = ["sbatch", "--parsable", "-p", "main", "--mem=800", f"--array={array}", f"--export={environment}{shards}", "-o", f"{logs}/%A_%a.txt", *more]
        work = cohort.batch(folder / "cohort", out, "--set", "pause=0.03")
        return slurm.run(*command, str(ARRAY), work[2], str(out), *work[5:]).strip()

    def jobs():
        return slurm.run("squeue", "-h", "-r", "-o", "%i").split()

    def wait(ready, what, seconds=600):
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                texts = "\n".join(path.read_text()[-500:] for path in sorted(logs.iterdir())[-4:])
                raise SystemExit(f"waited in vain for: {what}\n{slurm.run('squeue')}{slurm.run('sinfo')}{texts}")
            time.sleep(0.2)

    say(f"{count} cases, {SHARDS} shards, two nodes")
    submit()
    wait(lambda: done(out) > count // 20, "the first cases")
    say("a shard twice at the same time")
    submit("3,7")
    say("random tasks and workers are killed")
    kills = 0
    while kills < 6 and done(out) < count // 3:
        kills += kill_one(out, kills % 2 == 1, chance)
        time.sleep(0.5)
    say(f"{kills} killed; a node is drained")
    slurm.run("scontrol", "update", "nodename=box1", "state=drain", "reason=test")
    wait(lambda: done(out) > count // 3 or not jobs(), "a third")
    slurm.run("scontrol", "update", "nodename=box1", "state=resume")
    say("tasks are preempted, and queued again")
    submit()
    wait(lambda: len(processes(out, False)) >= 2, "tasks to preempt")
    slurm.run("sbatch", "--wait", "-p", "urgent", "-N2", "--exclusive", "--mem=3000", "-o", "/dev/null", "--wrap", "sleep 2")
    if disk.mounted:
        say("the disk is full")
        disk.fill()
        full = lambda: sum("No space left" in path.read_text() for path in logs.iterdir())
        wait(lambda: full() or not jobs(), "a full disk to be noticed")
        say(f"{full()} tasks said so and ended with 75")
        disk.free()
    else:
        say("skipped: no disk of its own can be mounted here, so none is filled")
    if shutil.which("faketime"):
        say("the clock of a process jumps by 400 days")
        environment_of_run = {**os.environ, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "OMP_NUM_THREADS": "1"}
        for jump in ("-400d", "+400d"):
            run = cohort.batch(folder / "cohort", out, "--set", "pause=0.03", "--resume", "--shard", "5/64", "--quiet")
            subprocess.run(["faketime", "-f", jump, *run], env=environment_of_run, check=False)
    else:
        say("skipped: no faketime here, so no clock jumps")
    rounds = 0
    status = [cohort.HOST, "batch", "status", str(out), "--manifest", str(folder / "cohort/cases.csv")]
    while True:
        wait(lambda: not jobs(), "the end of the queue")
        code = subprocess.run(status, capture_output=True, check=False).returncode
        if code == 3:
            break
        rounds += 1
        if rounds > 5:
            raise SystemExit("cases are still missing after five rounds")
        say(f"round {rounds}: what is missing is done")
        submit()
    say(f"nothing is missing ({kills} killed, {rounds} rounds more)")


if __name__ == "__main__":
    main()
