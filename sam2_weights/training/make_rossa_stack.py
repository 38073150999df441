"""tests/data/rossa: two images of ROSSA's validation set, and one of them cut into layers with its truth, for the demo and the README.

    python sam2_weights/training/make_rossa_stack.py ROSSA    # the folder with val/image and val/label
"""
import pathlib
import random
import sys

import numpy as np
from PIL import Image
from scipy import ndimage as ndi

from data import speckle

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/data/rossa"
LAYERS = 8
FILES = ("125", "102")


def main(root):
    random.seed(5), np.random.seed(5)
    for name in FILES:
        for kind in ("image", "label"):
            Image.open(root / f"val/{kind}/{name}.png").save(OUT / f"{name}_{kind}.png", optimize=True)
    image = np.array(Image.open(root / f"val/image/{FILES[0]}.png").convert("L"), np.float32) / 255
    label = np.array(Image.open(root / f"val/label/{FILES[0]}.png")) > 0
    whole, count = ndi.label(label, np.ones((3, 3)))
    sizes = ndi.sum(label, whole, range(1, count + 1))
    order = np.argsort(-sizes)[:12]
    objects = np.zeros(label.shape, np.uint8)
    for number, at in enumerate(order, 1):
        if sizes[at] >= 150:
            objects[whole == at + 1] = number
    h, w = image.shape
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    surface = np.hypot((y / h - 0.5), (x / w - 0.5)) * 1.4
    layers, truth = [], []
    for k in range(LAYERS):
        depth = surface - (0.62 - 0.09 * k)
        inside = 1 / (1 + np.exp(-np.clip(depth / 0.03, -20, 20)))
        noise = np.abs(1 + 0.6 * speckle(image.shape))
        layer = inside * image * (1 + 0.3 * speckle(image.shape)) + (1 - inside) * 0.06 * noise
        layers.append((np.clip(layer * 0.7, 0, 1) * 255).astype(np.uint8))
        truth.append(np.where(depth > 0, objects, 0).astype(np.uint8))
    for name, stack in (("layers", layers), ("layers_truth", truth)):
        folder = OUT / name
        folder.mkdir(exist_ok=True)
        for k, picture in enumerate(stack):
            Image.fromarray(picture).save(folder / f"{k}.png", optimize=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
