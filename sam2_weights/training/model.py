"""The network of nano: a U-Net over the slice, and a small U-Net for one object's prompts on its features."""
import numba
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

TRUNK = (24, 48, 80, 128, 192)   # strides 2, 4, 8, 16, 32
PROMPT = (32, 48, 64, 96)        # strides 4, 8, 16, 32
MAPS = 9


class Conv(nn.Sequential):
    def __init__(self, i, o):
        super().__init__(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o, momentum=0.03), nn.ReLU(inplace=True))


class Block(nn.Sequential):
    def __init__(self, i, o):
        super().__init__(Conv(i, o), Conv(o, o))


class UNet(nn.Module):
    """Features at the widths' strides, finest first."""

    def __init__(self, inputs, widths):
        super().__init__()
        self.down = nn.ModuleList([Block(i, o) for i, o in zip((inputs, *widths), widths)])
        self.up = nn.ModuleList([Block(a + b, a) for a, b in zip(widths, widths[1:])])

    def forward(self, x):
        levels = []
        for i, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if i else x)
            levels.append(x)
        for i in range(len(self.up) - 1, -1, -1):
            coarse = F.interpolate(levels[i + 1], scale_factor=2, mode="nearest")
            levels[i] = self.up[i](torch.cat([levels[i], coarse], 1))
        return levels


class Nano(nn.Module):
    def __init__(self, trunk=TRUNK, prompt=PROMPT):
        super().__init__()
        self.trunk = UNet(12, trunk)
        self.dense = nn.Conv2d(trunk[0], 12, 1)
        self.prompt = UNet(trunk[1] + 3 + MAPS, prompt)
        self.refine = Conv(trunk[0] + prompt[0] + 4, 24)
        self.mask = nn.Conv2d(24, 1, 1)

    def encode(self, image):
        """[B, 3, S, S] stretched -> features at strides 2 and 4, dense logits [B, 3, S, S]"""
        levels = self.trunk(F.pixel_unshuffle(image, 2))
        return levels[0], levels[1], F.pixel_shuffle(self.dense(levels[0]), 2)

    def answer(self, fine, coarse, dense, maps):
        """maps [B, MAPS, S/2, S/2] -> mask logits [B, 1, S/2, S/2]. 0 + click, 1 - click, 2 box, 3 own, 4 previous, 5 anchor,
        6 connected vessel, 7 connected FAZ, 8 connected to - clicks"""
        p = F.max_pool2d(dense.sigmoid(), 4)
        x = torch.cat([coarse, p, F.max_pool2d(maps, 2)], 1)
        x = F.interpolate(self.prompt(x)[0], scale_factor=2, mode="nearest")
        x = torch.cat([fine, x, maps[:, [0, 1, 3, 6]]], 1)
        return self.mask(self.refine(x))


@numba.njit(cache=True)
def flood(level, seeds, connected):
    """Strongest first, as in the plugin, with a bucket for each of 255 levels."""
    rows, columns = level.shape
    head = np.full(256, -1, np.int64)
    cell = np.empty(rows * columns * 8, np.int32)
    following = np.empty(rows * columns * 8, np.int64)
    count = 0
    for r in range(rows):
        for c in range(columns):
            if seeds[r, c] and level[r, c] > 0:
                connected[r, c] = level[r, c]
                cell[count], following[count], head[level[r, c]] = r * columns + c, head[level[r, c]], count
                count += 1
    for here in range(255, 0, -1):
        while head[here] >= 0:
            node = head[here]
            head[here] = following[node]
            r, c = cell[node] // columns, cell[node] % columns
            if connected[r, c] != here:
                continue
            for a in range(max(0, r - 1), min(rows, r + 2)):
                for b in range(max(0, c - 1), min(columns, c + 2)):
                    reached = min(here, level[a, b])
                    if reached > connected[a, b]:
                        connected[a, b] = reached
                        cell[count], following[count], head[reached] = a * columns + b, head[reached], count
                        count += 1


def connect(seeds, strength):
    """Of every pixel the best way to a seed: the largest, over all ways, of the smallest strength on it (reconstruction by dilation), in
    steps of 1 / 255."""
    connected = np.zeros(strength.shape, np.int32)
    if seeds.any():
        flood((strength * 255).astype(np.int32), seeds, connected)
    return connected.astype(np.float32) / 255
