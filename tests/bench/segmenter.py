"""Peak memory and time of a training step: MONAI's SwinUNETR, then ours, in one run. usage: segmenter.py [FEATURE_SIZE] [SIDE] [STEPS]

Needs torch, monai, einops, and `cargo build --release --workspace --examples`.
"""

import pathlib
import resource
import subprocess
import sys
import time

import torch
from monai.networks.nets import SwinUNETR

size, side, steps = (int(a) for a in (sys.argv[1:4] + ["72", "512", "3"][len(sys.argv) - 1:]))
ours = pathlib.Path(__file__).parents[2] / "target/release/examples/segmenter_memory"


def monai(checkpointed):
    torch.manual_seed(1)
    net = torch.nn.Sequential(
        SwinUNETR(in_channels=1, out_channels=1, feature_size=size, spatial_dims=2, use_checkpoint=checkpointed), torch.nn.Sigmoid())
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=1e-4)
    image = torch.rand(1, 1, side, side, requires_grad=checkpointed)
    truth = (image > 0.5).float()
    print(f"MONAI, feature size {size}, {side} px, {torch.get_num_threads()} threads, use_checkpoint {checkpointed}")
    for step in range(steps):
        start, before = time.time(), time.process_time()
        optimizer.zero_grad()
        p = net(image)
        loss = 1 - (2 * (p * truth).sum() + 1e-6) / (p.sum() + truth.sum() + 1e-6)
        loss.backward()
        optimizer.step()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        processor = time.process_time() - before  # on a busy machine the clock says more of the others
        print(f"step {step}: {processor:.1f} s of processor, {time.time() - start:.1f} s, peak {peak:.2f} GB", flush=True)


if len(sys.argv) > 4:
    monai(sys.argv[4] == "checkpointed")
else:
    for kind in ["plain", "checkpointed"]:  # a process each, so that the peaks are their own
        subprocess.run([sys.executable, __file__, str(size), str(side), str(steps), kind], check=True)
    for more in [[], ["whole"]]:
        subprocess.run([str(ours), str(size), str(side), str(steps), *more], check=True)
