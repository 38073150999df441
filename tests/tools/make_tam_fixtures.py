#!/usr/bin/env python3
"""tests/data/parity/tam: EfficientTAM and EdgeTAM beside their own Python code, on small models of known weights.

    make_tam_fixtures.py efficienttam CHECKOUT     a checkout of github.com/yformer/EfficientTAM
    make_tam_fixtures.py edgetam CHECKOUT          a checkout of github.com/facebookresearch/EdgeTAM
        --full FOLDER                              also writes the official configurations' weights by the same rule (hundreds of MB)

Needs torch 2.13.0, torchvision, hydra-core, iopath, safetensors, Pillow; for EdgeTAM timm 1.0. CPU, float32.

Written for each family: `FAMILY.configs.json`, the `model` mappings of the official files; `FAMILY.keys.json`, names and shapes of the
official models' parameters, by configurations that share them; `mini_NAME.yaml`, a small configuration; `mini_NAME.weights.json`, how its
weights are made (see `values`); `mini_NAME_blocks`, single blocks, whose inputs are made in the same way (mean 0, scale 1, named
`input.BLOCK.ARGUMENT`); `mini_NAME_video_*`, what the video predictor says of tests/data/parity/frames, with memories kept in float32.
"""
import argparse
import contextlib
import importlib
import json
import os
import re
import sys
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "data" / "parity" / "tam"
FRAMES = HERE.parent / "data" / "parity" / "frames"
#: side of the small models' features
SIDE = 16
CLICK = dict(op="points", frame=0, obj=1, points=[[24.5, 29.0]], labels=[1])


def values(name, shape, mean, scale):
    """Numbers that any language can make: a hash of name and place, evenly between mean - scale and mean + scale."""
    with np.errstate(over="ignore"):
        x = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()) << 32)
        for factor in (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93):
            x = (x ^ (x >> np.uint64(32))) * np.uint64(factor)
        x ^= x >> np.uint64(32)
    even = (x >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0
    return (even * scale + mean).astype(np.float32).reshape(shape)


#: times as large as evenly spread numbers of variance 1 / fan-in
GAIN = [
    (r"trunk\.blocks\.\d+\.(attn\.proj|mlp\.layers\.1)\.weight$", 0.7),
    (r"token_mixer\.conv1?\.c\.weight$", 0.35),
    (r"(channel_mixer|ffn)\.conv2\.c\.weight$", 0.6),
    (r"sam_mask_decoder\.conv_s[01]\.weight$", 0.7),
    (r"cross_attn_image\.[qk]_proj\.weight$", 1.5),
    (r"cross_attn_image\.out_proj\.weight$", 2.0),
    (r"linear2\.weight$", 0.7),
    (r"sam_mask_decoder\.transformer\..*[qk]_proj\.weight$", 1.4),
    (r"sam_mask_decoder\.transformer\..*token_to_image\.out_proj\.weight$", 3.0),
    (r"patch_embed\.proj\.weight$", 2.5),
    (r"output_hypernetworks_mlps\.\d\.layers\.[01]\.weight$", 1.5),
    (r"output_hypernetworks_mlps\.\d\.layers\.2\.weight$", 4.0),
    (r"output_upscaling\.[03]\.weight$", 1.5),
    (r"(iou_prediction_head|pred_obj_score_head)\.layers\.[01]\.weight$", 1.5),
    (r"pred_obj_score_head\.layers\.2\.weight$", 2.0),
    (r"obj_ptr_proj\.layers\.2\.weight$", 2.0),
    (r"memory_encoder\.out_proj\.weight$", 1.5),
    (r"spatial_perceiver\..*to_q\.weight$", 2.0),
]


def rule(name, shape):
    """-> mean and scale of a parameter."""
    if name == "sam_mask_decoder.pred_obj_score_head.layers.2.bias":
        return 4.0, 0.0  # mostly there
    if name.endswith("positional_encoding_gaussian_matrix"):
        return 0.0, 1.7
    if name.endswith("running_var"):
        return 1.0, 0.5
    if name.endswith(".gamma"):
        return 0.6, 0.3
    if name.endswith((".bias", "running_mean")):
        return 0.0, 0.1
    if len(shape) == 1:
        return 1.0, 0.2
    if re.search(r"(_tokens?|_embed|point_embeddings\.\d)\.weight$|latents", name):
        return 0.0, 0.9
    if re.search(r"(pos_embed|tpos_enc|no_mem_embed|no_mem_pos_enc|no_obj_ptr)$", name):
        return 0.0, 0.4
    fan_in = shape[0] if re.search(r"output_upscaling\.[03]\.weight$", name) else int(np.prod(shape[1:]))
    gain = next((gain for pattern, gain in GAIN if re.search(pattern, name)), 1.0)
    return 0.0, round(gain * (3.0 / fan_in) ** 0.5, 6)


def weights(model):
    """-> how each parameter is made: [name, shape, mean, scale], counters left out."""
    state = [(name, list(tensor.shape)) for name, tensor in model.state_dict().items() if tensor.is_floating_point()]
    return [[name, shape, *rule(name, shape)] for name, shape in state]


def fill(model, how):
    import torch
    made = {name: torch.from_numpy(values(name, shape, mean, scale)) for name, shape, mean, scale in how}
    counters = {name: tensor for name, tensor in model.state_dict().items() if not tensor.is_floating_point()}
    model.load_state_dict({**made, **counters}, strict=True)
    return model.eval()


def small(model, memory):
    """The parts of a configuration that both families have, at a quarter of the width."""
    model["image_size"] = 16 * SIDE
    model["compile_image_encoder"] = False
    encoder, attention = model["image_encoder"], model["memory_attention"]
    encoder["neck"]["d_model"] = encoder["neck"]["position_encoding"]["num_pos_feats"] = 64
    attention.update(d_model=64, num_layers=2)
    attention["layer"].update(d_model=64, dim_feedforward=256)
    for part in ("self_attention", "cross_attention"):
        attention["layer"][part]["embedding_dim"] = 64
    attention["layer"]["self_attention"]["feat_sizes"] = [SIDE, SIDE]
    attention["layer"]["cross_attention"]["kv_in_dim"] = memory
    memory_encoder = model["memory_encoder"]
    memory_encoder.update(out_dim=memory, in_dim=64)
    memory_encoder["position_encoding"]["num_pos_feats"] = memory
    memory_encoder["mask_downsampler"]["embed_dim"] = memory_encoder["fuser"]["layer"]["dim"] = 64
    return model


class EfficientTam:
    family = "efficienttam"
    package = "efficient_track_anything"
    predictor = "efficient_track_anything.efficienttam_video_predictor.EfficientTAMVideoPredictor"
    #: by the attention to memories: their weights are the same
    minis = {"efficienttam": "RoPEAttention", "efficienttam_1": "EfficientRoPEAttention1", "efficienttam_2": "EfficientRoPEAttention2"}

    def configs(self, checkout):
        return sorted((checkout / "efficient_track_anything/configs/efficienttam").glob("*.yaml"))

    def mini(self, official, attention):
        model = small(official["efficienttam_ti"], 16)
        model["image_encoder"]["trunk"].update(embed_dim=32, depth=4, num_heads=2, window_size=6, window_block_indexes=[0, 2])
        model["image_encoder"]["neck"]["backbone_channel_list"] = [32]
        cross = model["memory_attention"]["layer"]["cross_attention"]
        cross["feat_sizes"] = [SIDE, SIDE]
        cross["_target_"] = cross["_target_"].rsplit(".", 1)[0] + "." + attention
        return model


class EdgeTam:
    family = "edgetam"
    package = "sam2"
    predictor = "sam2.sam2_video_predictor.SAM2VideoPredictor"
    minis = {"edgetam": None}

    def configs(self, checkout):
        return [checkout / "sam2/configs/edgetam.yaml"]

    def mini(self, official, _):
        model = small(official["edgetam"], 16)
        repvit = dict(embed_dim=[16, 32, 48, 64], depth=[1, 2, 3, 1])
        model["image_encoder"]["trunk"]["repvit"] = repvit  # not a key of theirs: see `no_download`
        model["image_encoder"]["neck"]["backbone_channel_list"] = repvit["embed_dim"][::-1]
        model["memory_attention"]["layer"]["cross_attention"].update(q_sizes=[SIDE, SIDE], k_sizes=[4, 4])
        model["spatial_perceiver"].update(dim=16, dim_head=16, num_latents=24, num_latents_2d=16)
        model["spatial_perceiver"]["position_encoding"]["num_pos_feats"] = 16
        return model


@contextlib.contextmanager
def no_download(shape):
    """timm makes the trunk without asking for its weights, in another shape where one is given."""
    try:
        backbone = importlib.import_module("sam2.modeling.backbones.timm")
    except ImportError:
        yield
        return
    create = backbone.create_model
    backbone.create_model = lambda name, pretrained, **more: create(name.split(".")[0], pretrained=False, **(shape or {}), **more)
    yield
    backbone.create_model = create


def build(config, predictor=None):
    from hydra.utils import instantiate
    config = json.loads(json.dumps(config))
    shape = config["image_encoder"]["trunk"].pop("repvit", None)
    config["compile_image_encoder"] = False
    if predictor:
        config["_target_"] = predictor
    with no_download(shape):
        return instantiate(config, _recursive_=True).eval()


def save(name, tensors, description, half=False):
    from safetensors.torch import save_file
    tensors = {key: tensor.detach().float().contiguous().clone() for key, tensor in tensors.items()}
    if half:
        tensors = {key: tensor.half() if key.endswith(".logits") else tensor for key, tensor in tensors.items()}
        description["stored"] = "float16"
    save_file(tensors, TARGET / f"{name}.safetensors")
    (TARGET / f"{name}.json").write_text(json.dumps(description, indent=1) + "\n")
    size = (TARGET / f"{name}.safetensors").stat().st_size
    print(f"{name}: {len(tensors)} tensors, {size // 1024} KB")


def given(block, argument, *shape):
    import torch
    return torch.from_numpy(values(f"input.{block}.{argument}", shape, 0.0, 1.0))


def blocks(model, family):
    """Every block that SAM 2 does not have."""
    import torch
    found = {}
    image = given("image", "pixels", 1, 3, 16 * SIDE, 16 * SIDE)
    stages = model.image_encoder.trunk(image)
    for at, stage in list(enumerate(stages))[-3:]:
        found[f"trunk.{at}"] = stage
    found["neck"] = model.image_encoder(image)["backbone_fpn"][-1]
    each, memories, pointers = SIDE * SIDE, 3, 8
    if family == "edgetam":
        found["perceiver"], found["perceiver.position"] = model.spatial_perceiver(
            given("perceiver", "memory", 1, 16, SIDE, SIDE), given("perceiver", "position", 1, 16, SIDE, SIDE))
        each = found["perceiver"].shape[1]
    tokens = each * memories + pointers
    more = dict(num_spatial_mem=memories) if family == "edgetam" else {}
    found["memory_attention"] = model.memory_attention(
        curr=given("memory_attention", "curr", SIDE * SIDE, 1, 64), curr_pos=given("memory_attention", "curr_pos", SIDE * SIDE, 1, 64),
        memory=given("memory_attention", "memory", tokens, 1, 16), memory_pos=given("memory_attention", "memory_pos", tokens, 1, 16),
        num_obj_ptr_tokens=pointers, **more).transpose(0, 1)
    found["memory"] = model._encode_new_memory(
        [given("memory", "features", SIDE * SIDE, 1, 64)], [(SIDE, SIDE)], 4 * given("memory", "mask", 1, 1, 16 * SIDE, 16 * SIDE),
        torch.ones(1, 1), False)[0]
    return found


class F32Torch:
    """Stands in for `torch` in the predictor's module, so that memories stay float32."""

    def __getattr__(self, name):
        import torch
        return torch.float32 if name == "bfloat16" else getattr(torch, name)


def images(paths, size):
    import torch
    from PIL import Image
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    pixels = [np.array(Image.open(path).convert("RGB").resize((size, size))) / 255.0 for path in paths]
    return (torch.stack([torch.from_numpy(one).permute(2, 0, 1).float() for one in pixels]) - mean) / deviation


def replay(model, module, steps, frames=FRAMES):
    """The predictor's answers to steps that follow one object -> tensors, steps with what was seen."""
    import torch
    from PIL import Image
    paths = sorted(frames.glob("*.png"))
    width, height = Image.open(paths[0]).size
    module.load_video_frames = lambda **_: (images(paths, model.image_size), height, width)
    module.torch, module.tqdm = F32Torch(), lambda x, **_: x
    state = model.init_state("unused")
    last, scores, tensors, log = [], {}, {}, []
    hook = model.sam_mask_decoder.register_forward_hook(lambda _, __, out: last.append(out[3].clone()))
    for at, step in enumerate(steps):
        step, last[:] = dict(step), []
        if step["op"] == "points":
            prompt = dict(points=np.array(step["points"], np.float32), labels=np.array(step["labels"], np.int32))
            _, ids, logits = model.add_new_points_or_box(state, step["frame"], step["obj"], **prompt)
            scores[step["frame"]] = last[-1]
            tensors[f"s{at}.logits"], tensors[f"s{at}.object_score_logits"] = logits, last[-1]
            step["is_cond"] = True
        else:
            masks, seen, step["frames"] = [], [], []
            for frame, ids, logits in model.propagate_in_video(state, start_frame_idx=step.get("start"), reverse=step.get("reverse", False)):
                scores.update({frame: last[-1]} if last else {})
                last.clear()
                step["frames"].append(frame)
                masks.append(logits)
                seen.append(scores[frame])
            tensors[f"s{at}.logits"], tensors[f"s{at}.object_score_logits"] = torch.stack(masks), torch.stack(seen)
        step["obj_ids"] = list(ids)
        log.append(step)
    hook.remove()
    return tensors, log


SCENARIOS = {
    "f32mem_a_one_point": [CLICK, dict(op="propagate")],
    "f32mem_f_first_middle_last": [CLICK, dict(op="points", frame=4, obj=1, points=[[53.0, 34.5]], labels=[1]),
                                   dict(op="points", frame=7, obj=1, points=[[71.0, 38.5]], labels=[1]), dict(op="propagate", start=0)],
    "f32mem_e_reverse": [dict(op="points", frame=7, obj=1, points=[[71.0, 38.5]], labels=[1]), dict(op="propagate", start=7, reverse=True)],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", choices=("efficienttam", "edgetam"))
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--full", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(options.checkout))
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    import torch
    from omegaconf import OmegaConf
    from safetensors.torch import save_file
    family = EfficientTam() if options.family == "efficienttam" else EdgeTam()
    importlib.import_module(family.package)
    module = importlib.import_module(family.predictor.rsplit(".", 1)[0])
    TARGET.mkdir(parents=True, exist_ok=True)

    read = lambda path: OmegaConf.to_container(OmegaConf.load(path).model, resolve=True)
    official = {path.stem: read(path) for path in family.configs(options.checkout)}
    (TARGET / f"{family.family}.configs.json").write_text(json.dumps(official) + "\n")
    keys = []
    for name, config in official.items():
        model = build(config)
        shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
        alike = next((entry for entry in keys if entry["parameters"] == shapes), None)
        if alike:
            alike["configs"].append(name)
        else:
            keys.append(dict(configs=[name], parameters=shapes))
        if options.full:
            options.full.mkdir(parents=True, exist_ok=True)
            save_file(fill(model, weights(model)).state_dict(), options.full / f"{name}.safetensors")
    (TARGET / f"{family.family}.keys.json").write_text(json.dumps(keys) + "\n")

    for name, variant in family.minis.items():
        fresh = {stem: json.loads(json.dumps(config)) for stem, config in official.items()}
        config = family.mini(fresh, variant)
        (TARGET / f"mini_{name}.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(dict(model=config))))
        model = build(config, family.predictor)
        how = weights(model)
        fill(model, how)
        if name == family.family:
            lines = ",\n".join(json.dumps(line) for line in how)
            (TARGET / f"mini_{name}.weights.json").write_text(f"[\n{lines}\n]\n")
        with torch.inference_mode():
            save(f"mini_{name}_blocks", blocks(model, family.family), dict(config=name))
            for scenario, steps in SCENARIOS.items():
                first = scenario == "f32mem_a_one_point"
                if not first and name not in ("efficienttam_1", "edgetam"):
                    continue
                tensors, log = replay(model, module, steps)
                save(f"mini_{name}_video_{scenario}", tensors, dict(config=name, steps=log), half=not first)
                masks = tensors[f"s{len(steps) - 1}.logits"]
                print("  found", [int((mask > 0).sum()) for mask in masks], "of", masks[0].numel(), "logits",
                      f"{masks.min():.1f} to {masks.max():.1f}", "scores", [round(float(s), 2) for s in tensors[f"s{len(steps) - 1}.object_score_logits"].flatten()])


if __name__ == "__main__":
    main()
