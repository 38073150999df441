"""What `host-demo batch` costs beside the work, and what it holds in memory.

    batch.py [--part overhead|two|memory|status] [--images FOLDER]

overhead   1000 tiny cases beside the same work in a loop of one script: processor time and the time of the run, per case
two        two processes on two cores beside one, on real work (nano; en-face images of FOLDER, else those of tests/data)
memory     the peak of the worker from the first case to the last of 1000, and that of the run
status     status and merge of 100,000 records, and merge of 10,000, whose memory it must not exceed by much

Other programs on the machine take cores from a run. Linux says how long a thread that could run waited for a core (/proc/PID/task/TID/schedstat);
times "on cores of its own" are without what the thread that does the work waited. Processor times need no such help, but they, too, grow when
caches are shared.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, machine, save, table

sys.path.insert(0, str(ROOT / "tests/batch"))
import cohort  # noqa: E402
from cohort import HOST  # noqa: E402

LOOP = """
let folder = arg("folder");
for at in 0..arg("count", 0) {
    let name = `${at}`;
    while name.len() < 5 { name = "0" + name; }
    let volume = open_volume(`${folder}/cohort/volumes/case${name}.npy`);
    let labels = volume.threshold(120, 255);
    labels.save(`${folder}/loop/case${name}.nii.gz`);
    let voxels = labels.count(1);
}
"""
SCRIPT = """
let volume = open_volume(arg("volume"));
let labels = volume.threshold(120, 255);
labels.save(`${arg("out")}/labels.nii.gz`);
#{voxels: labels.count(1)}
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


class Run:
    """A process and its worker, looked at until it ends."""

    def __init__(self, command):
        self.start = time.monotonic()
        self.process = subprocess.Popen([str(word) for word in command], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        self.waited, self.peak, self.seconds = {}, 0, None

    def look(self):
        """Remembers what threads waited for a core, and the run's memory. -> has it ended?"""
        pid = self.process.pid
        for owner in [pid, *children(pid)]:
            try:
                self.waited[owner] = int(Path(f"/proc/{owner}/task/{owner}/schedstat").read_text().split()[1]) / 1e9
            except (OSError, IndexError):
                pass
        self.peak = max(self.peak, memory(pid, "VmHWM:"))
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        if ended and self.seconds is None:
            self.seconds = time.monotonic() - self.start
            _, status, self.usage = os.wait4(pid, 0)
            self.process.returncode = os.waitstatus_to_exitcode(status)
        return ended

    @property
    def cpu(self):
        return self.usage.ru_utime + self.usage.ru_stime

    @property
    def own(self):
        """Seconds on cores of its own: without what the thread that does the work, the worker's if there is one, waited for a core."""
        workers = [waited for owner, waited in self.waited.items() if owner != self.process.pid]
        return self.seconds - (sum(workers) if workers else self.waited[self.process.pid])


def children(pid):
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def memory(pid, key):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), 0)


def together(*commands):
    """Runs them at the same time; all must succeed."""
    runs = [Run(command) for command in commands]
    waiting = list(runs)
    while waiting:
        waiting = [run for run in waiting if not run.look()]
        time.sleep(0.02)
    for run in runs:
        if run.process.returncode:
            raise SystemExit(f"{run.process.args} ended with {run.process.returncode}")
    return runs


def batch(folder, out, *more):
    return [HOST, "batch", folder / "cohort/cases.csv", "--out", folder / out, "--threads", "1", "--quiet", *more]


def overhead(folder, count=1000):
    cohort.make(folder / "cohort", count, 0)
    (folder / "loop").mkdir()
    for name, text in [("loop.rhai", LOOP), ("case.rhai", SCRIPT)]:
        (folder / name).write_text(text)
    rights = ["--allow", folder / "cohort", "--allow", folder / "loop"]
    loop = lambda n: together([HOST, "run", folder / "loop.rhai", "--set", f"folder={folder}", "--set", f"count={n}", "--quiet", *rights])[0]
    script = ["--script", folder / "case.rhai"]
    empty, full = loop(0), loop(count)
    none, all_cases = together(batch(folder, "none", *script, "--shard", f"{count}/{count + 1}"))[0], together(batch(folder, "all", *script))[0]
    again = together(batch(folder, "all", *script, "--resume"))[0]
    per = lambda name, big, small: (getattr(big, name) - getattr(small, name)) / count * 1e3
    found = {
        "cases": count,
        "loop_cpu_ms": per("cpu", full, empty), "batch_cpu_ms": per("cpu", all_cases, none), "resume_cpu_ms": per("cpu", again, none),
        "loop_own_ms": per("own", full, empty), "batch_own_ms": per("own", all_cases, none),
        "start_cpu_s": none.cpu, "start_own_s": none.own,
    }
    found["overhead_cpu_ms"] = found["batch_cpu_ms"] - found["loop_cpu_ms"]
    found["overhead_own_ms"] = found["batch_own_ms"] - found["loop_own_ms"]
    return found


def images(folder, given, count):
    """A manifest of so many cases with real images, each as often as needed."""
    found = sorted(Path(given).glob("*.png")) if given else sorted((ROOT / "tests/data/rossa").glob("*_image.png"))
    (folder / "cohort").mkdir()
    rows = [f"case{at:05},{found[at % len(found)]},3" for at in range(count)]
    (folder / "cohort/cases.csv").write_text("case,volume,field\n" + "\n".join(rows) + "\n")


def two(folder, given, count=40):
    images(folder, given, count)
    work = ["--model", "nano", "--no-prompts"]
    one = together(batch(folder, "one", *work))[0]
    pair = together(*(batch(folder, "pair", *work, "--shard", f"{at}/2") for at in (0, 1)))
    hashes = [cohort.hashes(folder / out) for out in ("one", "pair")]
    assert hashes[0] == hashes[1], "other results from two processes"
    return {
        "cases": count, "one_own_s": one.own, "one_cpu_s": one.cpu, "one_wall_s": one.seconds,
        "two_own_s": max(run.own for run in pair), "two_cpu_s": sum(run.cpu for run in pair), "two_wall_s": max(run.seconds for run in pair),
        "speedup_on_own_cores": one.own / max(run.own for run in pair),
    }


def flat(folder, given, count=1000):
    """With images nano's work, without them a tiny script."""
    if given:
        images(folder, given, count)
        work = ["--model", "nano", "--no-prompts"]
    else:
        cohort.make(folder / "cohort", count, 0)
        (folder / "case.rhai").write_text(SCRIPT)
        work = ["--script", folder / "case.rhai"]
    run = together(batch(folder, "out", *work))[0]
    records = [json.loads(path.read_text()) for path in sorted((folder / "out/records").iterdir())]
    peaks = [record["run"]["peak_memory_bytes"] / 1e6 for record in records]
    tenth = count // 10
    mean = lambda values: sum(values) / len(values)
    return {"cases": count, "second_tenth_mb": mean(peaks[tenth:2 * tenth]), "last_tenth_mb": mean(peaks[-tenth:]), "most_mb": max(peaks), "run_mb": run.peak / 1e6,
            "cpu_a_case": run.cpu / count}


def records(folder, count, shards=8):
    """Records and journals of so many cases, from a true one."""
    cohort.make(folder / "cohort", 1, 0)
    (folder / "case.rhai").write_text(SCRIPT)
    together(batch(folder, "out", "--script", folder / "case.rhai"))
    out = folder / "out"
    text = (out / "records/case00000.json").read_text()
    journals = [open(out / f"shards/{at}-of-{shards}.jsonl", "w") for at in range(shards)]
    with open(folder / "cohort/cases.csv", "w") as manifest:
        manifest.write("case,volume\n")
        for at in range(count):
            case = f"case{at:06}"
            (out / f"records/{case}.json").write_text(text.replace("case00000", case))
            journals[at % shards].write(json.dumps({"case": case, "status": "done", "seconds": 1.0, "run": "box.1"}) + "\n")
            manifest.write(f"{case},volumes/{case}.npy\n")
    for journal in journals:
        journal.close()
    (out / "records/case00000.json").unlink()
    (out / "shards/0-of-1.jsonl").unlink()
    return out


def status(folder):
    found = {}
    for count in (10_000, 100_000):
        place = folder / str(count)
        out = records(place, count)
        manifest = place / "cohort/cases.csv"
        for name, command in {
            "status": [HOST, "batch", "status", out, "--manifest", manifest],
            "merge": [HOST, "batch", "merge", out, "--manifest", manifest, "--csv", place / "table.csv"],
        }.items():
            run = together(command)[0]
            found[f"{name}_{count}"] = {"cpu_s": run.cpu, "own_s": run.own, "peak_mb": run.usage.ru_maxrss / 1e3}
        assert sum(1 for _ in open(place / "table.csv")) == count + 1
    return found


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["overhead", "two", "memory", "status"], action="append")
    parser.add_argument("--images", help="folder of en-face images (PNG)")
    parser.add_argument("--cases", type=int, help="how many, instead of 1000 (memory) or 40 (two)")
    parser.add_argument("--peers", help="not used: no other program does this")
    options = parser.parse_args()
    given = Path(options.images).resolve() if options.images else None
    if given and not any(given.glob("*.png")):
        sys.exit(f"{given}: no PNG files")
    more = [options.cases] if options.cases else []
    parts = {"overhead": overhead, "two": lambda f: two(f, given, *more), "memory": lambda f: flat(f, given, *more), "status": status}
    path = ROOT / "docs/bench/batch.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    for part in options.part or parts:
        about = machine()
        with tempfile.TemporaryDirectory(prefix="octa-bench-") as folder:
            found = rounded(parts[part](Path(folder)))
        result[part] = {"machine": about, "measured": found}
        print(table([part, "measured"], [[key, str(value)] for key, value in found.items()]), flush=True)
    save("batch", result)


if __name__ == "__main__":
    main()
