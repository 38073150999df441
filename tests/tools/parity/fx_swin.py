#!/usr/bin/env python3
"""SwinUNETR for slices against MONAI. usage: fx_swin.py OUTDIR   (needs torch, monai, safetensors)

Weights and images are too large for the repository: both sides compute them from a name and an index with integers (splitmix64),
so that only logits and, per parameter, the norm of the gradient are kept.
"""
import json, sys, zlib
import numpy as np, torch
from monai.networks.nets import SwinUNETR
from safetensors.numpy import save_file

M = (1 << 64) - 1
def uniform(name, count):
    """count numbers of -1 to 1"""
    with np.errstate(over="ignore"):
        z = (np.arange(count, dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()) << 32)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / (1 << 53) * 2 - 1

def parameter(name, shape):
    x = uniform(name, int(np.prod(shape))).reshape(shape)
    if "bias_table" in name: x = x * 0.5
    elif len(shape) == 1: x = 1 + 0.2 * x if name.endswith("weight") else 0.2 * x
    else: x = x * (3 / (shape[0] if "transp_conv" in name else int(np.prod(shape[1:])))) ** 0.5 * (3 if name == "out.conv.conv.weight" else 1)
    return torch.from_numpy(x.astype(np.float32))

def image(name, height, width):
    """smooth spots on a dark ground, 0 to 1"""
    coarse = torch.from_numpy(uniform(name, (height // 8) * (width // 8)).astype(np.float32)).view(1, 1, height // 8, width // 8)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").clamp(0, 1)

net = SwinUNETR(in_channels=1, out_channels=1, feature_size=12, spatial_dims=2)
net.load_state_dict({k: parameter(k, list(v.shape)) if v.dtype.is_floating_point else v for k, v in net.state_dict().items()})
tensors, meta = {}, {"feature_size": 12, "monai": __import__("monai").__version__, "torch": torch.__version__}
net.eval()
with torch.no_grad():
    for name, h, w in [("square", 64, 64), ("wide", 32, 96)]:
        x = image(name, h, w)
        tensors[f"{name}.logits"] = net(x)
net.train()
x = image("square", 64, 64)
truth = (x > 0.3).float()
p = net(x).sigmoid()
loss = 1 - (2 * (p * truth).sum() + 1e-6) / (p.sum() + truth.sum() + 1e-6)
loss.backward()
meta["dice_loss"] = loss.item()
# shape, norm of the gradient
meta["parameters"] = {k: [list(v.shape), float(f"{v.grad.double().norm().item():.6g}")] for k, v in net.named_parameters()}
meta["std"] = float(tensors["square.logits"].std())
save_file({k: v.numpy().astype(np.float32) for k, v in tensors.items()}, f"{sys.argv[1]}/swinunetr.safetensors")
json.dump(meta, open(f"{sys.argv[1]}/swinunetr.json", "w"), separators=(",", ":"))
print(meta["dice_loss"], meta["std"], [tuple(v.shape) for v in tensors.values()])
