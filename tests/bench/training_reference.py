"""One training step of the Python reference: time and peak memory, beside `training_memory` (training.rs).

    python tests/bench/training_reference.py SIZE FRAMES [STEPS] [THREADS]    (torch, sam2 1.1.0, peft)

The blocks of PyPI's `sam2` in the way of SAM-OCTA2's training: LoRA of rank 32 on every qkv of the image encoder, all frames encoded with
their graph, one object with a click on the first frame followed through the memory, Dice of every frame, one backward pass.
"""

import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from sam2.build_sam import build_sam2

CONFIGS = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}


def model(size: str) -> torch.nn.Module:
    sam = build_sam2(f"configs/sam2/sam2_hiera_{CONFIGS[size]}.yaml", None, device="cpu", mode="train", apply_postprocessing=False)
    sam.requires_grad_(False)
    config = LoraConfig(r=32, lora_alpha=32, lora_dropout=0.1, target_modules=["qkv"], bias="lora_only")
    sam.image_encoder = get_peft_model(sam.image_encoder, config)
    torch.nn.init.constant_(sam.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 10.0)  # the object is there
    return sam


def step(sam: torch.nn.Module, images: torch.Tensor, truth: torch.Tensor) -> float:
    frames, side = len(images), images.shape[-1]
    outputs = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    click = {"point_coords": torch.tensor([[[side / 3.0, side / 3.0]]]), "point_labels": torch.tensor([[1]], dtype=torch.int32)}
    # the reference encodes every frame before it follows the object
    features = [sam._prepare_backbone_features(sam.forward_image(image[None])) for image in images]
    loss = 0.0
    for at in range(frames):
        _, vision, position, sizes = features[at]
        out = sam.track_step(
            frame_idx=at, is_init_cond_frame=at == 0, current_vision_feats=vision, current_vision_pos_embeds=position,
            feat_sizes=sizes, point_inputs=click if at == 0 else None, mask_inputs=None, output_dict=outputs, num_frames=frames,
        )
        outputs["cond_frame_outputs" if at == 0 else "non_cond_frame_outputs"][at] = out
        probability = torch.sigmoid(out["pred_masks_high_res"])
        loss = loss + 1 - (2 * (probability * truth).sum() + 1) / (probability.sum() + truth.sum() + 1)
    loss.backward()
    return float(loss.detach())


def main() -> None:
    size, frames = sys.argv[1], int(sys.argv[2])
    steps, threads = [int(a) for a in (sys.argv[3:] + ["2", "2"][len(sys.argv) - 3:])[:2]]
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    sam = model(size)
    side = sam.image_size
    truth = torch.zeros(1, 1, side, side)
    truth[..., side // 4: side // 2, side // 4: side // 2] = 1
    for index in range(steps):
        start = time.perf_counter()
        step(sam, torch.randn(frames, 3, side, side), truth)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        print(f"reference {size}, {frames} slices, {threads} threads, step {index}: {time.perf_counter() - start:.1f} s, peak {peak:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
