#!/usr/bin/env python3
"""tests/data/parity/prompted_unet.safetensors: a small network with random weights, and its answers in PyTorch.

    python tests/tools/make_unet_fixture.py    # needs torch, numpy, scipy, scikit-image, safetensors (sam2_weights/training/requirements.txt)
"""
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sam2_weights/training"))
from data import disks, stretch  # noqa: E402
from export import folded  # noqa: E402
from model import Nano, connect  # noqa: E402

SIZE, SIDE = 64, 32
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
CONFIG = {
    "prompted_unet": {"image_widths": [8, 12, 16], "prompt_widths": [8, 12], "mask_width": 24, "neighbours": 1, "passes": 2, "thresholds": [0.5, 0.5]},
    "image_size": SIZE, "num_maskmem": 2, "max_cond_frames_in_attn": 1, "use_mask_input_as_output_without_sam": True, "pred_obj_scores": True,
}


def network():
    """Random weights, and random statistics in the batch norms."""
    torch.manual_seed(1)
    net = Nano((8, 12, 16), (8, 12)).eval()
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
            layer.weight.data.uniform_(0.8, 1.6)
            layer.bias.data.uniform_(-0.1, 0.3)
    return net


def main():
    rng = np.random.default_rng(2)
    net = network()
    image = rng.random((3, SIZE, SIZE), np.float32) ** 2
    plus, minus = [(10, 20), (25, 6)], [(4, 28)]  # y, x on the prompt maps
    previous = rng.random((SIDE, SIDE), np.float32) ** 3
    anchor = rng.random((SIDE, SIDE), np.float32) ** 3
    with torch.no_grad():
        fine, coarse, dense = net.encode(torch.tensor(stretch(image))[None])
        strength = torch.nn.functional.max_pool2d(dense.sigmoid(), 2)[0].numpy()
        vessel, faz = np.maximum(strength[0], strength[2]), strength[1]
        seeds = (previous > 0.5) | (anchor > 0.5)
        against = np.zeros_like(seeds)
        for points, where in ((plus, seeds), (minus, against)):
            for y, x in points:
                where[max(0, y - 1):y + 2, max(0, x - 1):x + 2] = True
        connected = [connect(seeds, vessel), connect(seeds, faz), connect(against, np.maximum(vessel, faz))]
        own = np.zeros((SIDE, SIDE), np.float32)
        for _ in range(2):
            maps = np.stack([disks(plus, SIDE), disks(minus, SIDE), np.zeros_like(own), own, previous, anchor, *connected])
            logits = net.answer(fine, coarse, dense, torch.tensor(maps)[None])
            own = logits.sigmoid()[0, 0].numpy()
    tensors = {f"weights.{name}": tensor for name, tensor in folded(net.state_dict()).items()}
    tensors |= {
        "image": torch.tensor((image - MEAN[:, None, None]) / STD[:, None, None])[None],
        "points": torch.tensor([[2 * x + 1.0, 2 * y + 1.0] for y, x in plus + minus])[None],
        "labels": torch.tensor([1] * len(plus) + [0] * len(minus))[None],
        "previous": torch.tensor(previous)[None, None], "anchor": torch.tensor(anchor)[None, None],
        "dense": dense.contiguous(), "connected": torch.tensor(np.stack(connected))[None], "logits": logits.contiguous(),
    }
    save_file(tensors, ROOT / "tests/data/parity/prompted_unet.safetensors", {"config": json.dumps(CONFIG, sort_keys=True)})


if __name__ == "__main__":
    main()
