"""EfficientTAM and EdgeTAM in Rust, by their own Python code, and beside PyPI `sam2` tiny: from nothing to a mask, and a slice followed with one object.

    python3 tests/bench/relatives.py --peers PYTHON --efficienttam CHECKOUT [--edgetam CHECKOUT] [--sizes efficienttam_ti_512x512,...] [--turns 3] [--threads 2]

PYTHON has torch 2.13.0, sam2 1.1.0 and, for EdgeTAM, timm; CHECKOUT is one of github.com/yformer/EfficientTAM, github.com/facebookresearch/EdgeTAM.
Every run is a process of its own, and all of them take turns; a ratio is the median over the turns. Weights are random: speed does not depend on
them. The reference computes in float32, ours in float32 and in what `auto` chooses. A followed slice is encoded, looks at up to seven memories
and makes one. Seconds are those of the processor (all slices that were followed, in the mean), which a busy machine changes less than those of
the clock; both are written to docs/bench/relatives.json.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from common import HOST, ROOT, machine, save, table, timed
from inference import CHECKPOINT, CLICK, OURS, THEIRS, run

#: slices of a run: the last one looks at the prompted one and at six followed ones
SLICES = 9


def prepare(size, folder):
    """A checkpoint of random weights, a slice, and the script that clicks on it."""
    folder.mkdir()
    script = folder / "checkpoint.rhai"
    script.write_text(CHECKPOINT)
    (folder / "click.rhai").write_text(CLICK)
    phantom = [HOST, "phantom", "--out", folder / "slice.nii.gz", "--labels", folder / "truth.nii.gz", "--slices", "1"]
    for command in ([HOST, "run", script, "--set", f"size={size}", "--set", f"out={folder}"], phantom):
        subprocess.run([str(part) for part in command], check=True, capture_output=True)


def ours(args, size, folder, precision):
    """-> seconds from the start of the process to its end after one click; seconds of a followed slice."""
    click = [HOST, "run", folder / "click.rhai", "--allow", folder, "--set", f"folder={folder}", "--set", f"size={size}", "--set", f"precision={precision}"]
    seconds, worked = timed(click)
    stages = run([OURS, "--size", size, "--precision", precision, "--slices", SLICES, "--threads", args.threads, "--repeats", 1])
    first = {"first_mask_s": seconds, "first_mask_cpu_s": worked}
    return {**first, "followed_s": stages["per_slice_s"][-1], "followed_cpu_s": stages["per_slice_cpu_s"], "peak_mb": stages["peak_mb"]}


def theirs(args, size, folder):
    checkout = args.edgetam if size == "edgetam" else args.efficienttam if size.startswith("efficienttam") else None
    common = [args.peers, THEIRS, "--size", size, "--threads", args.threads, *(["--checkout", checkout] if checkout else [])]
    first = run([*common, "--slices", 1, "--until-mask", "--checkpoint", folder / "model.pt"])
    stages = run([*common, "--slices", SLICES, "--repeats", 1])
    first = {key: first[key] for key in ("first_mask_s", "first_mask_cpu_s")}
    return {**first, "followed_s": stages["per_slice_s"][-1], "followed_cpu_s": stages["per_slice_cpu_s"], "peak_mb": stages["peak_mb"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default=".bench-venv/bin/python")
    parser.add_argument("--efficienttam", type=Path)
    parser.add_argument("--edgetam", type=Path)
    parser.add_argument("--sizes", default="efficienttam_ti_512x512,edgetam")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--workspace", "--example", "inference"], check=True, cwd=ROOT, capture_output=True)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    given = {"efficienttam": args.efficienttam, "edgetam": args.edgetam}
    sizes = [size for size in args.sizes.split(",") if given[size.split("_")[0]]]
    about, turns = machine(), []
    with tempfile.TemporaryDirectory() as scratch:
        folders = {size: Path(scratch) / size for size in [*sizes, "tiny"]}
        for size, folder in folders.items():
            prepare(size, folder)
        for _ in range(args.turns):
            turn = {"sam2 tiny": theirs(args, "tiny", folders["tiny"])}
            for size in sizes:
                turn[f"{size}, own code"] = theirs(args, size, folders[size])
                turn[f"{size}, f32"] = ours(args, size, folders[size], "f32")
                turn[f"{size}, auto"] = ours(args, size, folders[size], "auto")
            turns.append(turn)
            print({name: round(one["followed_cpu_s"], 2) for name, one in turn.items()}, flush=True)

    def middle(name, key, by=None):
        """The median of a time, or of another's time by it."""
        return statistics.median(turn[by][key] / turn[name][key] if by else turn[name][key] for turn in turns)

    lines = []
    for name in turns[0]:
        own = f"{name.rsplit(',', 1)[0]}, own code"
        line = [name]
        for key in ("first_mask_cpu_s", "followed_cpu_s"):
            line += [f"{middle(name, key):.2f}", f"{middle(name, key, by='sam2 tiny'):.2f}", f"{middle(name, key, by=own):.2f}" if own in turns[0] else "-"]
        lines.append([*line, f"{middle(name, 'peak_mb'):.0f}"])
    head = ["", "to a mask, processor s", "sam2 tiny by it", "own code by it", "slice followed, processor s", "sam2 tiny by it", "own code by it", "MB"]
    print(table(head, lines))
    save("relatives", {"machine": about, "threads": args.threads, "turns": turns})


if __name__ == "__main__":
    main()
