"""What every part of `make bench` needs: timed runs of commands, the machine in words, one table, one JSON file."""

import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# in the folder of `make dist CUDA=1` there is no checkout, and nothing to build
CHECKOUT = not (ROOT / "tests/programs").is_dir()
HOST = ROOT / ("target/release/host-demo" if CHECKOUT else "host-demo")


def timed(command):
    """Wall seconds and processor seconds of a command that must succeed."""
    with tempfile.TemporaryFile() as errors:
        start, before = time.perf_counter(), os.times()
        done = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=errors)
        seconds, after = time.perf_counter() - start, os.times()
        if done.returncode != 0:
            errors.seek(0)
            raise SystemExit(f"{' '.join(map(str, command))} failed:\n{errors.read().decode().strip()}")
    worked = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    return seconds, worked


def printed(command):
    """What a command prints."""
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout.strip()


def settle():
    """Waits until the disk has what earlier runs wrote: no run pays for another."""
    os.sync()


def machine():
    """The machine in words."""
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    commit = printed(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]) if CHECKOUT else "a folder of `make dist CUDA=1`"
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_at_start": round(os.getloadavg()[0], 1),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
    }


def median(values):
    return round(statistics.median(values), 3)


def ratio(ours, theirs):
    """Median of the ratios of runs that were neighbours in time: slow moments of the machine hit both."""
    return round(statistics.median(a / b for a, b in zip(ours, theirs)), 2)


def table(head, rows):
    """Rows of text as a table that Markdown understands."""
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    line = lambda row: "| " + " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths)) + " |"
    return "\n".join([line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)])


def save(part, result):
    """Writes `docs/bench/PART.json`."""
    path = ROOT / f"docs/bench/{part}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nwritten: {path.relative_to(ROOT)}")
