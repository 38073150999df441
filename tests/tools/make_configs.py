"""tests/data/weights/official.json: the `model` mappings of the eight official configurations, resolved to plain JSON (targets left
out), and what the built models say of their blocks. Needs the PyPI package sam2 1.1.0.

    python tests/tools/make_configs.py
"""
import json
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import OmegaConf
import sam2

HERE = Path(__file__).resolve().parent
CONFIGS = Path(sam2.__path__[0]) / "configs"
SIZES = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k != "_target_"}
    return value


def blocks(trunk):
    return [
        [b.dim, b.dim_out, b.attn.num_heads, list(b.q_stride) if b.q_stride else None, b.window_size]
        for b in instantiate(trunk).blocks
    ]


out = {}
for version, prefix in (("sam2", ""), ("sam2.1", "2.1-")):
    for size, letter in SIZES.items():
        config = OmegaConf.load(CONFIGS / version / f"{version}_hiera_{letter}.yaml").model
        entry = {"model": plain(OmegaConf.to_container(config, resolve=True))}
        if not prefix:
            entry["blocks"] = blocks(config.image_encoder.trunk)
        out[prefix + size] = entry
(HERE / "../data/weights/official.json").write_text(json.dumps(out) + "\n")
