"""`make bench BENCH=inference`: the stages of segmentation beside the Python reference (PyPI `sam2` on torch), and from nothing to a mask.

    python3 tests/bench/inference.py --peers PYTHON [--size tiny] [--turns 3] [--objects 5] [--threads 2] [--device cuda:0]
    python3 tests/bench/inference.py --gate        is ours slower than in the file? Fails then

PYTHON has torch 2.13.0 and sam2 1.1.0; without them only ours is measured. Every run is a process of its own; ours and theirs take turns, and
a ratio is the median over the turns of theirs by ours (above 1: ours is faster). Weights are random: speed does not depend on them. Beside
every run stands the rate of a matrix product in the same process. Writes docs/bench/inference.json.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from common import CHECKOUT, HOST, ROOT, machine, save, table

OURS = ROOT / ("target/release/examples/inference" if CHECKOUT else "tests/programs/inference")
RESULT = ROOT / "docs/bench/inference.json"
# a stage may cost so many times what it did when the file was written
SLOWER = 1.25
THEIRS = Path(__file__).with_name("inference_reference.py")
CHECKPOINT = """
new_checkpoint(#{model_config: arg("size"), seed: 1}, arg("out") + "/model.safetensors");
export_checkpoint(#{model: arg("out") + "/model.safetensors", model_config: arg("size")}, arg("out") + "/model.pt");
"""
CLICK = """
let model = load_model(arg("folder") + "/model.safetensors", #{config: arg("size"), precision: arg("precision")});
new_session(open_volume(arg("folder") + "/slice.nii.gz"), model).points(0, 1, [[102, 102]]);
"""


def run(command):
    """The JSON in the last line that a command prints."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stderr.strip()}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def has_reference(python):
    command = [str(python), "-c", "import sam2, torch"]
    return Path(python).exists() and subprocess.run(command, capture_output=True).returncode == 0


def stages(args, reference):
    """One entry per precision and number of objects: all turns of both."""
    runs = []
    for precision, objects in [("f32", 1), ("bf16", 1), ("bf16", args.objects)]:
        # the last slice looks at the prompted one and at six followed ones
        common = ["--size", args.size, "--precision", precision, "--objects", objects, "--slices", 9, "--threads", args.threads, "--device", args.device]
        entry = {"precision": precision, "objects": objects, "ours": [], "theirs": []}
        for _ in range(args.turns if objects == 1 else 1):
            entry["ours"].append(run([OURS, *common]))
            if reference:
                entry["theirs"].append(run([args.peers, THEIRS, *common]))
                if args.device != "cpu":
                    entry.setdefault("compiled", []).append(run([args.peers, THEIRS, *common, "--compile"]))
            print(f"{precision}, {objects} objects: ours {entry['ours'][-1]['per_slice_s'][-1]:.2f} s a slice", flush=True)
        runs.append(entry)
    return runs


def first_mask(args, reference, folder):
    """Seconds from the start of the process to its end after one click, each turn; the reference's count from its first import to its mask."""
    script = folder / "checkpoint.rhai"
    script.write_text(CHECKPOINT)
    subprocess.run([HOST, "run", script, "--set", f"size={args.size}", "--set", f"out={folder}"], check=True, capture_output=True)
    (folder / "click.rhai").write_text(CLICK)
    phantom = [HOST, "phantom", "--out", folder / "slice.nii.gz", "--labels", folder / "truth.nii.gz", "--slices", "1"]
    subprocess.run([str(part) for part in phantom], check=True, capture_output=True)
    ours = [HOST, "run", folder / "click.rhai", "--allow", folder, "--set", f"folder={folder}", "--set", f"size={args.size}"]
    result = {"ours": [], "ours_f32": [], "theirs": []}
    for _ in range(args.turns):
        for name, precision in [("ours", "auto"), ("ours_f32", "f32")]:
            start = time.perf_counter()
            command = [*ours, "--set", f"precision={precision}"]
            subprocess.run([str(part) for part in command], check=True, capture_output=True)
            result[name].append(time.perf_counter() - start)
        if reference:
            theirs = [args.peers, THEIRS, "--size", args.size, "--checkpoint", folder / "model.pt", "--slices", 1, "--until-mask"]
            result["theirs"].append(run([*theirs, "--threads", args.threads])["first_mask_s"])
    return result


def middle(entry, side, pick):
    values = [pick(one) for one in entry[side]]
    return statistics.median(values) if values else None


def rows(runs, first):
    """Ours, theirs and their ratio; what the last column compares is named in the first."""
    by = {(entry["precision"], entry["objects"] > 1): entry for entry in runs}
    one, half, five = by["f32", False], by["bf16", False], by["bf16", True]

    def row(name, ours, theirs, digits=2):
        if theirs is None:
            return [name, f"{ours:.{digits}f}", "-", "-"]
        return [name, f"{ours:.{digits}f}", f"{theirs:.{digits}f}", f"{theirs / ours:.2f}"]

    encode, last = (lambda one: one["encode_s"]), (lambda one: one["per_slice_s"][-1])
    both = lambda entry, pick: [middle(entry, side, pick) for side in ("ours", "theirs")]
    lines = [
        row("slice encoded, f32", *both(one, encode)),
        row("slice encoded, bf16 beside autocast", *both(half, encode)),
        row("slice encoded, bf16 beside their f32", middle(half, "ours", encode), middle(one, "theirs", encode)),
        row("slice followed, f32", *both(one, last)),
        row("slice followed, bf16 beside autocast", *both(half, last)),
        row("slice followed, bf16 beside their f32", middle(half, "ours", last), middle(one, "theirs", last)),
        row(f"slice followed, {five['objects']} objects, bf16 beside autocast", *both(five, last)),
        row("a further click, f32", *both(one, lambda one: one["click_s"]), 3),
        row("a further click, bf16", *both(half, lambda one: one["click_s"]), 3),
    ]
    theirs = statistics.median(first["theirs"]) if first["theirs"] else None
    lines.append(row("from nothing to a mask, auto", statistics.median(first["ours"]), theirs))
    lines.append(row("from nothing to a mask, f32", statistics.median(first["ours_f32"]), theirs))
    return lines


def limits(runs):
    """What does not compare with the reference: objects by one object, a click by a slice."""
    by = {(entry["precision"], entry["objects"] > 1): entry for entry in runs}
    last = lambda side, five: middle(by["bf16", five], side, lambda one: one["per_slice_s"][-1])
    for side in ("ours", "theirs"):
        if by["bf16", True][side]:
            print(f"{side}: {by['bf16', True]['objects']} objects take {last(side, True) / last(side, False):.2f} times as long as one")
    click = middle(by["f32", False], "ours", lambda one: one["click_s"] / one["encode_s"])
    print(f"a further click takes {100 * click:.1f} % of encoding the slice")
    gemm = by["f32", False]["ours"][0]["gemm_gflops"]
    print(f"matrix products: {gemm['f32']:.0f} GFLOP/s in f32, {gemm['bf16']:.0f} in bf16")


def costs(one, precision):
    """What the stages of a run cost, in matrix products that the machine did in the same process: machines and busy moments cancel out."""
    rate = one["gemm_gflops"][precision]
    return {name: seconds * rate for name, seconds in {"encode": one["encode_s"], **one["stages_s"]}.items()}


def gate(args):
    """Compares the costs of the stages with those of the file; a stage is measured again before it is called slower."""
    slower, about = [], []
    for entry in json.loads(RESULT.read_text())["runs"]:
        if entry["objects"] > 1:
            continue
        precision = entry["precision"]
        before = [costs(one, precision) for one in entry["ours"]]
        best = {}
        for _ in range(args.turns):
            now = run([OURS, "--size", args.size, "--precision", precision, "--slices", 1, "--threads", args.threads])
            best = {name: min(cost, best.get(name, cost)) for name, cost in costs(now, precision).items()}
        for name, cost in best.items():
            ratio = cost / min(one[name] for one in before)
            about.append([f"{name}, {precision}", f"{cost:.0f}", f"{ratio:.2f}"])
            slower += [about[-1][0]] if ratio > SLOWER else []
    print(table(["stage", "GFLOP of matrix products in its time", "by the file's"], about))
    if slower:
        raise SystemExit(f"slower than {SLOWER} times what docs/bench/inference.json says: {'; '.join(slower)}")


def gpu(args):
    """A slice encoded and followed, and a click, beside the reference as it is and compiled. Fails in one line where there is no such card."""
    probe = [str(OURS), "--size", "tiny", "--slices", "1", "--device", args.device]
    tried = subprocess.run(probe, capture_output=True, text=True)
    if tried.returncode != 0:
        raise SystemExit(tried.stderr.strip().splitlines()[-1])
    lines = []
    runs = stages(args, has_reference(args.peers))
    stage = {"encoded": lambda one: one["encode_s"], "followed": lambda one: one["per_slice_s"][-1], "a click": lambda one: one["click_s"]}
    for entry in runs:
        for name, pick in stage.items():
            ours, *peers = [middle({side: entry.get(side, [])}, side, pick) for side in ("ours", "theirs", "compiled")]
            numbers = [f"{1e3 * ours:.1f}"] + ["-" if peer is None else f"{1e3 * peer:.1f} ({peer / ours:.2f})" for peer in peers]
            lines.append([f"{name}, {entry['precision']}, {entry['objects']} objects", *numbers])
    print(table([f"{args.size} on {args.device}", "ours, ms", "reference, ms (by ours)", "compiled, ms (by ours)"], lines))
    save("inference-gpu", {"machine": machine(), "size": args.size, "device": args.device, "runs": runs})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default=".bench-venv/bin/python")
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--objects", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--gate", action="store_true")
    args = parser.parse_args()
    build = ["cargo", "build", "--release", "--workspace", "--example", "inference"]
    if CHECKOUT:
        subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
    if args.gate:
        return gate(args)
    if args.device != "cpu":
        return gpu(args)
    about, reference = machine(), has_reference(args.peers)
    if not reference:
        print(f"{args.peers} has no torch and sam2: only ours is measured")
    with tempfile.TemporaryDirectory() as folder:
        first = first_mask(args, reference, Path(folder))
    runs = stages(args, reference)
    print(table([f"{args.size}, {args.threads} threads", "ours, s", "reference, s", "reference / ours"], rows(runs, first)))
    limits(runs)
    save("inference", {"machine": about, "size": args.size, "threads": args.threads, "first_mask_s": first, "runs": runs})


if __name__ == "__main__":
    main()
