#!/usr/bin/env python3
"""Full-size models against the Python reference, here and now: the same weights, slices and steps through both, side by side.

    compare_reference.py FULL_SET --size tiny --frames DIR [--crop X,Y,W,H] [--point X,Y] [--objects N]
    compare_reference.py FULL_SET --size medsam2 --frames DIR [--config sam2.1_hiera_t512.yaml]
    compare_reference.py --size efficienttam_ti_512x512|edgetam --checkout CHECKOUT --frames DIR --f32-memory

CHECKOUT is one of github.com/yformer/EfficientTAM or github.com/facebookresearch/EdgeTAM, whose own code is compared with then.
FULL_SET is the full set of parity fixtures (its manifests and make_weights.py make weights of known values for every official size).
Needs a Python with sam2 1.1.0, torch 2.13.0, safetensors, Pillow. Each side runs in a process of its own; printed are differences,
seconds per slice and the peak memory of the whole process.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"tiny": "sam2_tiny", "small": "sam2_small", "base_plus": "sam2_base_plus", "large": "sam2_large",
         "2.1-tiny": "sam2.1_tiny", "2.1-small": "sam2.1_small", "2.1-base_plus": "sam2.1_base_plus", "2.1-large": "sam2.1_large", "medsam2": "sam2.1_tiny"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fixtures", type=Path, nargs="?")
    parser.add_argument("--size", default="tiny", help=f"{', '.join(NAMES)}, or with --checkout a file of EfficientTAM's or EdgeTAM's by its name")
    parser.add_argument("--checkout", type=Path, help="where the code of a relative of SAM 2 lies")
    parser.add_argument("--config", type=Path, help="configuration of the Python side; default: the package's own, at 512 pixels for medsam2")
    parser.add_argument("--frames", type=Path, required=True, help="folder of PNG slices")
    parser.add_argument("--crop", help="X,Y,W,H in pixels")
    parser.add_argument("--point", default="", help="X,Y of the click on the first slice; default: the middle")
    parser.add_argument("--objects", type=int, default=1, help="further objects are clicked beside the first")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--f32-memory", action="store_true", help="switch the rounding of memories to bfloat16 off on both sides")
    parser.add_argument("--work", type=Path, help="folder for weights and results; default: a temporary one")
    parser.add_argument("--reference", action="store_true", help=argparse.SUPPRESS)  # the Python side's own process
    return parser.parse_args()


def slices(options):
    """The slices as RGB arrays."""
    import numpy as np
    from PIL import Image
    x, y, w, h = (int(v) for v in options.crop.split(",")) if options.crop else (0, 0, 10**6, 10**6)
    paths = sorted(p for p in options.frames.iterdir() if p.suffix == ".png")
    return [np.array(Image.open(p).convert("RGB"))[y:y + h, x:x + w] for p in paths]


def relative(options, weights=None):
    """A relative of SAM 2 with known weights, by its own code: into a file, or on the steps of steps.json."""
    sys.path[:0] = [str(options.checkout), str(ROOT / "tests/tools")]
    import importlib
    import make_tam_fixtures as fixtures
    import torch
    from omegaconf import OmegaConf
    from safetensors.torch import save_file
    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    family = fixtures.EdgeTam() if options.size == "edgetam" else fixtures.EfficientTam()
    importlib.import_module(family.package)
    path = next(path for path in family.configs(options.checkout) if path.stem == options.size)
    model = fixtures.build(OmegaConf.to_container(OmegaConf.load(path).model, resolve=True), family.predictor)
    fixtures.fill(model, fixtures.weights(model))
    if weights:
        return save_file(model.state_dict(), weights)
    ready = time.perf_counter()
    steps = json.loads((options.work / "steps.json").read_text())["steps"]
    with torch.inference_mode():
        tensors, _ = fixtures.replay(model, importlib.import_module(family.predictor.rsplit(".", 1)[0]), steps, options.frames)
    seconds = time.perf_counter() - ready
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, options.work / "reference.safetensors")
    (options.work / "reference.json").write_text(json.dumps(dict(ready=ready - started, seconds=seconds, slices=len(slices(options)))))


def reference(options):
    """The Python side: replays steps.json, writes reference.safetensors and reference.json."""
    if options.checkout:
        return relative(options)
    sys.path.insert(0, str(options.fixtures / "tools"))
    import torch
    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    import common
    import scenarios
    import video_ref
    if options.f32_memory:
        video_ref.svp.torch = scenarios.F32Torch()
    name = NAMES[options.size]
    if options.config or options.size == "medsam2":
        text = (options.config or Path(common.yaml_of(name))).read_text()
        if not options.config:
            text = text.replace("image_size: 1024", "image_size: 512").replace("feat_sizes: [64, 64]", "feat_sizes: [32, 32]")
        (options.work / "configs").mkdir(exist_ok=True)
        (options.work / "configs/given.yaml").write_text(text)
        name, common.ROOT = "given", str(options.work)
    model = common.build(name, "video", weights=str(options.work / "weights.safetensors"))
    frames = slices(options)
    height, width = frames[0].shape[:2]
    images = video_ref.frames_to_tensor(frames, model.image_size)
    ready = time.perf_counter()
    steps = json.loads((options.work / "steps.json").read_text())["steps"]
    with torch.inference_mode():
        tensors, _ = scenarios.replay(model, images, height, width, steps, low=False)
    seconds = time.perf_counter() - ready
    common.save_file({k: v.contiguous() for k, v in tensors.items()}, options.work / "reference.safetensors")
    (options.work / "reference.json").write_text(json.dumps(dict(ready=ready - started, seconds=seconds, slices=len(frames))))


def run(command, **keywords):
    """-> seconds and peak memory in MB of a child process."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(c) for c in command], **keywords)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(str(c) for c in command)}: exit status {status}")
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def compare(found, expected):
    import numpy as np
    for name in sorted(expected, key=lambda n: (int(n[1:].split(".")[0]), n)):
        if not name.endswith((".logits", ".object_score_logits")):
            continue
        a, b = found[name].astype(np.float64), expected[name].astype(np.float64)
        if a.shape != b.shape:
            sys.exit(f"{name}: shape {a.shape} instead of {b.shape}")
        d = np.abs(a - b)
        print(f"  {name:26} max {d.max():.2e}  mean {d.mean():.2e}  p99.9 {np.quantile(d, 0.999):.2e}  "
              f"signs differ {100 * np.mean((a > 0) != (b > 0)):.4f} %  (values {b.min():.1f} to {b.max():.1f})")


def main():
    options = arguments()
    if options.reference:
        return reference(options)
    keep = tempfile.TemporaryDirectory()
    options.work = options.work or Path(keep.name)
    options.work.mkdir(parents=True, exist_ok=True)
    weights = options.work / "weights.safetensors"
    if options.checkout and not (options.f32_memory and options.objects == 1 and not options.crop):
        sys.exit("--checkout compares one object on whole slices: give --f32-memory, and neither --objects nor --crop")
    if not weights.exists() and options.checkout:
        relative(options, weights)
    elif not weights.exists():
        manifest = options.fixtures / "manifests" / f"{NAMES[options.size]}.json"
        subprocess.run([sys.executable, options.fixtures / "tools/make_weights.py", manifest, weights], check=True)
    frames = slices(options)
    height, width = frames[0].shape[:2]
    x, y = (float(v) for v in options.point.split(",")) if options.point else (width / 2, height / 2)
    steps = [dict(op="points", frame=0, obj=i + 1, points=[[min(x + 24 * i, width - 1), y]], labels=[1]) for i in range(options.objects)]
    (options.work / "steps.json").write_text(json.dumps(
        {"steps": steps + [dict(op="propagate")], "memory_dtype": "float32" if options.f32_memory else "bfloat16"}))

    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    again = [sys.executable, __file__, *sys.argv[1:], "--work", options.work, "--reference"]
    total, memory = run(again, env=environment)
    told = json.loads((options.work / "reference.json").read_text())
    print(f"Python reference: {told['seconds'] / told['slices']:.2f} s per slice, {total:.1f} s in all, peak {memory:.0f} MB")

    command = [ROOT / "target/release/host-demo", "replay", options.frames, options.work / "steps.json", "--model", weights,
               "--model-config", options.size, "--compat", "reference", "--device", "cpu", "--precision", "f32", "--quiet",
               "--logits", options.work / "ours.safetensors"]
    if options.crop:
        command += ["--crop", options.crop]
    seconds, memory = run(command, env=environment, stdout=subprocess.DEVNULL)
    print(f"this project:     {seconds / len(frames):.2f} s per slice with loading, {seconds:.1f} s in all, peak {memory:.0f} MB")
    from safetensors.numpy import load_file
    compare(load_file(options.work / "ours.safetensors"), load_file(options.work / "reference.safetensors"))


if __name__ == "__main__":
    main()
