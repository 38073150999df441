"""checkpoint.pt -> nano.safetensors: batch norms folded into their convolutions, half precision, the configuration in the metadata."""
import json
import sys

import torch
import yaml
from safetensors.torch import save_file

NAMES = {"trunk": "image_encoder", "dense": "dense_head", "prompt": "prompt_unet", "refine": "refine", "mask": "mask_head"}


def folded(state):
    out = {}
    convs = [k[: -len(".weight")] for k, v in state.items() if k.endswith(".weight") and v.dim() == 4]
    for name in convs:
        weight = state[name + ".weight"].double()
        head, _, last = name.rpartition(".")
        norm = f"{head}.1" if last == "0" and f"{head}.1.running_mean" in state else None
        if norm:
            factor = state[norm + ".weight"].double() / (state[norm + ".running_var"].double() + 1e-5).sqrt()
            bias = state[norm + ".bias"].double() - state[norm + ".running_mean"].double() * factor
            weight, to = weight * factor[:, None, None, None], head
        else:
            bias, to = state[name + ".bias"].double(), name
        first, _, rest = to.partition(".")
        to = ".".join(x for x in (NAMES[first], rest) if x)
        out[to + ".weight"], out[to + ".bias"] = weight.float().contiguous(), bias.float().contiguous()
    return out


def unfolded(tensors, net, forward):
    """Fills `net` from a file of `folded` tensors, to train it further. `forward` runs it once on samples: every batch norm gets the mean and the
    deviation that its convolution has there, and the scale and bias that undo them. The network computes what the file's does."""
    names = {v: k for k, v in NAMES.items()}
    kept = {}
    for name, value in tensors.items():
        first, _, rest = name.partition(".")
        kept[".".join(x for x in (names[first], rest) if x)] = value.float()
    state = net.state_dict()
    for name, value in kept.items():
        head, _, kind = name.rpartition(".")
        if name in state and f"{head}.0.weight" not in state:
            state[name] = value
        else:
            state[f"{head}.0.weight" if kind == "weight" else f"{head}.1.bias"] = value
    net.load_state_dict(state)

    def measure(norm, inputs):
        x = inputs[0].float()
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.data.copy_((variance + norm.eps).sqrt())
        norm.bias.data.add_(mean)

    net.eval()
    hooks = [m.register_forward_pre_hook(measure) for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        forward()
    for hook in hooks:
        hook.remove()


if __name__ == "__main__":
    source, config, target = sys.argv[1:4]
    kind = getattr(torch, sys.argv[4]) if len(sys.argv) > 4 else torch.float16

    tensors = {k: v.to(kind) for k, v in folded(torch.load(source, map_location="cpu", weights_only=False)["ema"]).items()}
    def plain(x):
        return {k: plain(v) for k, v in x.items() if k != "_target_"} if isinstance(x, dict) else x
    model = plain(yaml.safe_load(open(config))["model"])
    save_file(tensors, target, {"config": json.dumps(model, sort_keys=True)})
    print(len(tensors), "tensors", sum(v.numel() for v in tensors.values()), "numbers")
