"""The stages of segmentation by the Python reference (PyPI `sam2`, or EfficientTAM's and EdgeTAM's own code): what `inference.rs` measures of ours, one line of JSON.

    python tests/bench/inference_reference.py --size tiny --precision f32|bf16 --objects 1 --slices 9 [--device cpu|cuda:0] [--compile] [--checkpoint FILE.pt] [--until-mask]
    ... --size efficienttam_ti_512x512|edgetam --checkout FOLDER      a checkout of github.com/yformer/EfficientTAM, github.com/facebookresearch/EdgeTAM

Random weights unless a checkpoint is given: speed does not depend on their values. `bf16`: autocast, as in the reference's own examples.
`--until-mask` ends with the first mask; `first_mask_s` counts from the start of the interpreter's work, imports included.
"""

import time

START = time.perf_counter()

import argparse  # noqa: E402
import contextlib  # noqa: E402
import json  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

LETTERS = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}


def wait():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(work):
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def builder(size):
    """Who builds an official configuration, and from which file."""
    if size.startswith("efficienttam"):
        from efficient_track_anything.build_efficienttam import build_efficienttam_video_predictor

        return build_efficienttam_video_predictor, f"configs/efficienttam/{size}.yaml"
    from sam2.build_sam import build_sam2_video_predictor

    if size == "edgetam":
        import sam2.modeling.backbones.timm as backbone

        create = backbone.create_model
        backbone.create_model = lambda name, pretrained, **more: create(name.split(".")[0], pretrained=False, **more)  # no download
        return build_sam2_video_predictor, "configs/edgetam.yaml"
    family, letter = ("sam2.1", LETTERS[size[4:]]) if size.startswith("2.1-") else ("sam2", LETTERS[size])
    return build_sam2_video_predictor, f"configs/{family}/{family}_hiera_{letter}.yaml"


def predictor(size, checkpoint, device, compiled):
    """An official size; the object is there on every slice."""
    build, config = builder(size)
    with contextlib.redirect_stdout(sys.stderr):
        model = build(config, checkpoint, device=device, apply_postprocessing=False)
    if checkpoint is None:
        torch.nn.init.constant_(model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 10.0)
    if compiled:
        model.image_encoder.forward = torch.compile(model.image_encoder.forward, mode="max-autotune", fullgraph=True, dynamic=False)
    return model


def frames(folder, count):
    rng = np.random.default_rng(1)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (512, 512), dtype=np.uint8)).convert("RGB").save(Path(folder) / f"{i:05d}.jpg")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--slices", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="the image encoder, as in the reference's own examples")
    parser.add_argument("--checkpoint")
    parser.add_argument("--checkout", help="where the code of a relative of SAM 2 lies")
    parser.add_argument("--until-mask", action="store_true")
    args = parser.parse_args()
    if args.checkout:
        sys.path.insert(0, args.checkout)
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    model = predictor(args.size, args.checkpoint, args.device, args.compile)
    autocast = torch.autocast(torch.device(args.device).type, dtype=torch.bfloat16) if args.precision == "bf16" else contextlib.nullcontext()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode(), autocast:
        frames(folder, args.slices)
        state = model.init_state(folder)

        def click(i):
            point = np.array([[512 * (0.2 + 0.1 * i), 102.0]], dtype=np.float32)
            model.add_new_points_or_box(state, 0, i + 1, points=point, labels=np.array([1], np.int32))

        click(0)
        result = {"first_mask_s": time.perf_counter() - START, "first_mask_cpu_s": time.process_time()}
        if not args.until_mask:
            for i in range(1, args.objects):
                click(i)
            image = state["images"][0][None].to(args.device)
            model.image_encoder(image)
            result["encode_s"] = min(seconds(lambda: model.image_encoder(image)) for _ in range(args.repeats))
            result["click_s"] = min(seconds(lambda: click(0)) for _ in range(args.repeats))
            per_slice, start, before = [], time.perf_counter(), time.process_time()
            for _ in model.propagate_in_video(state):
                per_slice.append(time.perf_counter() - start)
                start = time.perf_counter()
            result["per_slice_s"] = per_slice
            result["per_slice_cpu_s"] = (time.process_time() - before) / max(args.slices - 1, 1)
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(result))


if __name__ == "__main__":
    main()
