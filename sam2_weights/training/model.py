"""The network of nano: a U-Net over the slice, and a small U-Net for one object's prompts on its features."""
import heapq
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


def connect(seeds, strength):
    """Of every pixel the best way to a seed: the largest, over all ways, of the smallest strength on it (reconstruction by dilation)."""
    import numpy as np
    from skimage.morphology import reconstruction
    marker = np.where(seeds, strength, 0).astype(np.float32)
    return reconstruction(marker, strength, method="dilation", footprint=np.ones((3, 3))).astype(np.float32)
