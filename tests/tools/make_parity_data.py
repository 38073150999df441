#!/usr/bin/env python3
"""Cuts the full set of reference fixtures down to what every checkout carries: tests/data/parity (11 MB).

    make_parity_data.py FULL_SET          needs numpy, safetensors, PyYAML

FULL_SET is made by the scripts in tests/tools/parity, which need the Python reference (PyPI sam2 1.1.0, torch 2.13.0). Kept: one
checkpoint (mini is mini21 without three tensors), coarse encoder outputs, the image predictor's prompts, and the final logits and
scores of every video scenario, in half precision except where float32 memory allows a tight comparison.
"""
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

SOURCE = Path(sys.argv[1])
MEAN, STD = (np.array(v, np.float64).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
TARGET = Path(__file__).resolve().parent.parent / "data" / "parity"


def cut(name, keep, half=False):
    tensors = {k: v for k, v in load_file(SOURCE / f"{name}.safetensors").items() if keep(k)}
    if "input" in tensors:  # made from 8 bits: (value / 255 - mean) / std
        pixels = (tensors.pop("input") * STD + MEAN) * 255
        tensors["input_u8"] = np.rint(pixels).astype(np.uint8)
    if half:
        tensors = {k: v.astype(np.float16) if k.endswith(".logits") else v for k, v in tensors.items()}
    description = json.loads((SOURCE / f"{name}.json").read_text())
    for key in ("tensors", "measured", "measured_mkldnn_off", "cases", "cases_postprocessing"):
        description.pop(key, None)
    for step in description.get("steps", []):
        step.pop("fg_pixels", None)
    if half:
        description["stored"] = "float16"
    path = TARGET / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path.with_suffix(".safetensors"))
    path.with_suffix(".json").write_text(json.dumps(description, indent=1) + "\n")


def main():
    for folder in ("mini", "mini21", "frames"):  # what stands beside them has scripts of its own
        shutil.rmtree(TARGET / folder, ignore_errors=True)
    TARGET.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SOURCE / "weights/mini21.pt", TARGET / "mini21.pt")
    for config in ("mini", "mini21"):
        shutil.copyfile(SOURCE / f"configs/{config}.yaml", TARGET / f"{config}.yaml")
    (TARGET / "frames").mkdir()
    for frame in sorted((SOURCE / "video_frames_png").glob("*.png")):
        shutil.copyfile(frame, TARGET / "frames" / frame.name)
    cut("mini/image_encoder", lambda k: k in ("input", "trunk.2", "trunk.3", "backbone_fpn.2", "vision_pos_enc.2"))
    cases = ("point", "box_points", "mask_point", "nothing")
    cut("mini/image_predictor", lambda k: k == "image_u8" or (k.split(".")[0] in cases and ".masks" not in k)
        or k in ("post.point.single.ious", "post.point.single.low_res"))
    for config in ("mini", "mini21"):
        for path in sorted((SOURCE / config).glob("video_*.json")):
            name = path.stem
            if name in ("video_post_d_correction", "video_f32mem_e_reverse", "video_f_first_middle_last"):
                continue
            if config == "mini" and name not in ("video_a_one_point", "video_post_a_one_point"):
                continue
            cut(f"{config}/{name}", lambda k: k.endswith((".logits", ".object_score_logits", ".mask")), half="f32mem" not in name)
    size = sum(p.stat().st_size for p in TARGET.rglob("*") if p.is_file())
    print(f"{TARGET}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
