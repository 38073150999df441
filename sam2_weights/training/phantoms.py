"""Samples from the product's own phantoms (docs/phantoms.md): their layers and labels, FAZ 1. They teach the FAZ as layers cut it."""
import random
import subprocess

import numpy as np
from scipy import ndimage as ndi

from data import Sample, crop, speckle, stretch


def load_phantoms(host, folder, count):
    """Layers [K, H, W] of 0 to 1 and labels, made once by `host-demo phantom`; one in four has layers of large vessels."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        image, labels = folder / f"{seed}.npy", folder / f"{seed}_l.npy"
        if not labels.exists():
            kind = "vessels" if seed % 4 == 3 else "faz"
            subprocess.run([host, "phantom", "--seed", str(5000 + seed), "--slices", "6", "--layers", kind, "--out", image, "--labels", labels, "--quiet"], check=True)
    out = []
    for path in sorted(folder.glob("*_l.npy")):
        image = np.load(str(path).replace("_l.npy", ".npy")).astype(np.float32)
        out.append((image / max(1.0, image.max()), np.load(path).astype(np.int32)))
    return out


class PhantomSample(Sample):
    """As Sample, of a phantom's own layers. `whole` of an object is its projection; a layer holds what its labels hold."""

    def __init__(self, entry, size):
        stack, labels = entry
        zoom = random.choice([0.7, 0.85, 1.0, 1.0, 1.2, 1.5]) * stack.shape[1] / 512
        first = random.randrange(max(1, len(stack) - 3))
        stack, labels = stack[first:], labels[first:]
        if random.random() < 0.25:  # seen from the front
            stack, labels = stack.max(0)[None], labels.max(0)[None]
        around = ndi.center_of_mass((labels == 1).any(0)) if (labels == 1).any() and random.random() < 0.6 else None
        layers, masks = [], []
        state = random.getstate()
        for picture, label in zip(stack, labels):
            random.setstate(state)  # the same square of every layer
            a, b = crop([picture, label], size, zoom, (1, 0), around)
            layers.append(a), masks.append(b.astype(np.int32))
        gamma, gain = random.uniform(0.7, 1.4), random.uniform(0.3, 1.0)
        grain = random.choice([0, random.uniform(0, 0.4)])
        self.layers = [np.clip(a ** gamma * gain * (1 + grain * speckle(a.shape)), 0, 1) for a in layers]
        masks = np.stack(masks)
        union = (masks > 0).any(0)
        self.inside = [~union | (m > 0) for m in masks]
        self.ids = masks.max(0)
        self.label, self.faz = (masks > 1).any(0), (masks == 1).any(0)
        self.has_faz = True
        self.masks = masks
        good = [k for k in range(len(masks)) if (masks[k] > 0).sum() > 60]
        faz = [k for k in good if (masks[k] == 1).sum() > 60]
        self.at = random.choice(faz if faz and random.random() < 0.7 else good) if good else 0
        me = self.layers[self.at]
        near = self.layers if random.random() < 0.8 else [me]
        self.image = stretch(np.stack([me, np.max(near, 0), np.mean(near, 0)]))
        self.enface = self.label if len(near) > 1 else self.label & (masks[self.at] > 1)

    def truth(self, k=None):
        mask = self.masks[self.at if k is None else k]
        return mask > 1, mask == 1

    def objects(self, count):
        ids, sizes = np.unique(self.masks[self.at], return_counts=True)
        found = [(i, n) for i, n in zip(ids, sizes) if i > 0 and n > 60]
        if not found:
            return []
        weights = np.array([(3.0 if i == 1 else 0.4) * n ** 0.5 for i, n in found])
        chosen = np.random.choice(len(found), count, p=weights / weights.sum())
        return [(self.ids == found[c][0], found[c][0] == 1) for c in chosen]
