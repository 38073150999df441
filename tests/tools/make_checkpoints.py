"""tests/data/weights/{nested.pt,bare.pth,peft.pth,legacy.pt} as PyTorch writes them, and *.safetensors with what must come out of
them. Needs torch 2.13 and safetensors.

    python tests/tools/make_checkpoints.py
"""
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parent / "../data/weights"
torch.manual_seed(0)
OUT_OF = lambda tensors: {k: v.detach().contiguous().clone() for k, v in tensors.items()}

# types, strides, shared storage, offsets, no dimensions, no elements, a parameter
base = torch.randn(6, 8)
nested = OrderedDict(
    f32=torch.randn(2, 3),
    f64=torch.randn(3, dtype=torch.float64),
    f16=torch.randn(5).half(),
    bf16=torch.randn(5).bfloat16(),
    i64=torch.tensor([1, -(2**40)]),
    i32=torch.tensor([7, -8], dtype=torch.int32),
    i16=torch.tensor([7, -8], dtype=torch.int16),
    i8=torch.tensor([7, -8], dtype=torch.int8),
    u8=torch.tensor([7, 200], dtype=torch.uint8),
    bool=torch.tensor([True, False, True]),
    base=base,
    transposed=base.t(),
    part=base[1:5:2, 3:],
    expanded=base[2, 3].expand(4, 2),
    scalar=torch.tensor(2.5),
    empty=torch.zeros(0, 3),
    parameter=torch.nn.Parameter(torch.randn(4)),
)
save_file(OUT_OF(nested), OUT / "nested.safetensors")
torch.save({"model": nested, "epoch": 3, "loss": 0.5, "sizes": [base.shape, None]}, OUT / "nested.pt")

# a module's own state dict carries _metadata
module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
torch.save(module.state_dict(), OUT / "bare.pth")
save_file(OUT_OF(module.state_dict()), OUT / "bare.safetensors")
torch.save(module.state_dict(), OUT / "legacy.pt", _use_new_zipfile_serialization=False)

# the names that PEFT gives
prefix = "image_encoder.base_model.model.trunk.blocks.0."
weight, bias, a, b = torch.randn(12, 4), torch.randn(12), torch.randn(2, 4), torch.randn(12, 2)
norm, other = torch.randn(4), torch.randn(1, 4)
torch.save(
    {
        "no_mem_embed": other,
        prefix + "norm1.weight": norm,
        prefix + "attn.qkv.base_layer.weight": weight,
        prefix + "attn.qkv.base_layer.bias": bias,
        prefix + "attn.qkv.lora_A.default.weight": a,
        prefix + "attn.qkv.lora_B.default.weight": b,
    },
    OUT / "peft.pth",
)
prefix = "image_encoder.trunk.blocks.0."
merged = {prefix + "attn.qkv.weight": weight + b @ a, prefix + "attn.qkv.bias": bias, prefix + "norm1.weight": norm}
save_file(OUT_OF(merged | {"no_mem_embed": other}), OUT / "peft_merged.safetensors")
