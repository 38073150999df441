#!/usr/bin/env python3
"""Loads adapters that fine-tuning wrote (`run.peft`) with PEFT itself and compares every tensor.

    check_peft.py CONFIG.yaml CHECKPOINT.pt OUTPUT_FOLDER      needs sam2 1.1.0, torch 2.13.0, peft 0.18

OUTPUT_FOLDER holds `adapter.safetensors` and `peft/`. PEFT's own `save_pretrained` leaves out biases trained with `lora_only` (0.18);
what it saves is written to OUTPUT_FOLDER/theirs, to be read back with --adapter.
"""
import sys
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from peft import PeftModel
from safetensors.torch import load_file

PREFIX = "image_encoder."
config, checkpoint, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
encoder = instantiate(OmegaConf.load(config).model.image_encoder, _recursive_=True)
state = torch.load(checkpoint, weights_only=True)["model"]
encoder.load_state_dict({k[len(PREFIX):]: v for k, v in state.items() if k.startswith(PREFIX)}, strict=True)
model = PeftModel.from_pretrained(encoder, folder / "peft")
theirs = model.state_dict()
ours = load_file(folder / "adapter.safetensors")
for name, tensor in ours.items():
    key = name[len(PREFIX):].replace(".lora_A.weight", ".lora_A.default.weight").replace(".lora_B.weight", ".lora_B.default.weight")
    key = key.removesuffix(".bias") + ".base_layer.bias" if key.endswith(".bias") else key
    assert torch.equal(theirs["base_model.model." + key], tensor), name
print(f"{len(ours)} tensors are equal")
model.save_pretrained(folder / "theirs")
