#!/usr/bin/env python3
"""Makes tests/data/demo: a synthetic stack that looks like en-face OCT angiography, and prompts for it.

Twelve layers of 256 x 256, 3 x 3 mm: a dark ground with speckle, vessel trees that enter from the borders and thin out towards a
dark disc in the centre (the foveal avascular zone, FAZ) with a capillary ring around it. From layer to layer the vessels shift by
fractions of a pixel, the large ones fade, the capillaries come out. Needs numpy, nibabel and Pillow; the result is reproducible.
"""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

OUT = Path(__file__).resolve().parents[1] / "data" / "demo"
SIZE, LAYERS, SCALE = 256, 12, 4
CENTRE = np.array([132.0, 126.0])
FAZ = 24.0
RNG = np.random.default_rng(7)


def outside_faz(point, margin):
    return np.linalg.norm(point - CENTRE) > FAZ + margin


def grow(start, angle, radius, length, tree, depth=0):
    """A branch that wanders, steers around the FAZ and splits; appends (points, radius) to the tree."""
    points, point = [start], start.copy()
    for step in range(int(length)):
        angle += RNG.normal(0, 0.09)
        to_centre = CENTRE - point
        distance = np.linalg.norm(to_centre)
        # near the FAZ vessels turn into the tangent
        if distance < FAZ + 30:
            tangent = np.arctan2(to_centre[0], -to_centre[1])
            if np.cos(tangent - angle) < 0:
                tangent += np.pi
            angle += 0.1 * np.sin(tangent - angle) * (1 - max(0.0, distance - FAZ) / 30)
        point = point + 1.5 * np.array([np.cos(angle), np.sin(angle)])
        if not (-8 < point[0] < SIZE + 8 and -8 < point[1] < SIZE + 8) or not outside_faz(point, 2 + radius):
            break
        points.append(point.copy())
        if depth < 5 and radius > 0.6 and RNG.random() < 0.04 and step > 5:
            side = RNG.choice([-1, 1])
            child = radius * RNG.uniform(0.5, 0.75)
            grow(point, angle + side * RNG.uniform(0.5, 1.1), child, length * RNG.uniform(0.4, 0.7), tree, depth + 1)
            angle -= side * 0.15
    if len(points) > 3:
        tree.append((np.array(points), radius))


def vessels():
    tree = []
    for x, y, angle, radius in [
        (-4, 40, 0.25, 2.6), (-4, 205, -0.3, 2.9), (70, 260, -1.3, 1.7), (200, 260, -1.9, 2.2),
        (260, 190, 3.4, 1.8), (260, 50, 2.9, 2.7), (150, -4, 1.3, 1.9), (60, -4, 1.5, 1.5),
    ]:
        grow(np.array([x, y], dtype=float), angle, radius, 150, tree)
    return tree


def capillaries():
    """Short thin wandering segments, denser near the FAZ, and the ring around it."""
    tree = []
    for _ in range(620):
        point = RNG.uniform(0, SIZE, 2)
        distance = np.linalg.norm(point - CENTRE)
        if distance < FAZ + 2 or RNG.random() > 1.15 - distance / 190:
            continue
        grow(point, RNG.uniform(0, 2 * np.pi), 0.38, RNG.integers(8, 26), tree, depth=5)
    angles = np.linspace(0, 2 * np.pi, 90)
    wobble = np.interp(angles, np.linspace(0, 2 * np.pi, 13), np.append(w := RNG.normal(0, 1.6, 12), w[0]))
    ring = CENTRE + ((FAZ + 2 + wobble)[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1))
    return tree + [(ring, 0.55)]


def draw(tree, shift):
    image = Image.new("L", (SIZE * SCALE, SIZE * SCALE))
    pen = ImageDraw.Draw(image)
    for points, radius in sorted(tree, key=lambda branch: branch[1]):
        taper = np.linspace(1.0, 0.7, len(points))
        line = (points + shift + 0.5) * SCALE
        bright = int(110 + 145 * min(1.0, radius / 2))
        for (a, b), t in zip(zip(line[:-1], line[1:]), taper):
            width = max(2, round(2 * radius * t * SCALE))
            pen.line([*a, *b], fill=bright, width=width)
            pen.ellipse([b[0] - width / 2, b[1] - width / 2, b[0] + width / 2, b[1] + width / 2], fill=bright)
    image = image.resize((SIZE, SIZE), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.5))
    return np.asarray(image, dtype=float) / 255


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    large, small = vessels(), capillaries()
    y, x = np.mgrid[:SIZE, :SIZE]
    distance = np.hypot(x - CENTRE[0], y - CENTRE[1])
    # the scan darkens towards its corners
    vignette = 1.05 - 0.45 * (np.hypot(x - SIZE / 2, y - SIZE / 2) / (SIZE / 2)) ** 2 / 2
    drift = np.cumsum(RNG.normal(0, 0.35, (LAYERS, 2)), axis=0)
    stack = []
    for layer in range(LAYERS):
        depth = layer / (LAYERS - 1)
        flow = np.maximum(draw(large, drift[layer]) * (1.0 - 0.45 * depth), draw(small, drift[layer] * 1.5) * (0.25 + 0.4 * depth))
        speckle = RNG.gamma(3.0, 1 / 3.0, (SIZE, SIZE))
        tissue = 0.07 + 0.05 * (1 - np.exp(-((distance / (1.6 * FAZ)) ** 4)))
        layer_values = (flow * (0.55 + 0.45 * speckle) * 0.85 + tissue * speckle) * vignette
        # 64 grey levels: nobody sees the difference, and the file is a third smaller
        stack.append((np.clip(layer_values * 255, 0, 255) // 4 * 4).astype(np.uint8))
    stack = np.stack(stack)
    spacing = 3.0 / SIZE
    image = nib.Nifti1Image(stack.transpose(2, 1, 0), np.diag([spacing, spacing, 0.01, 1.0]))
    image.header.set_xyzt_units("mm")
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    (OUT / "volume.nii.gz").write_bytes(gzip.compress(image.to_bytes(), compresslevel=9, mtime=0))

    # a click in the middle of the thickest branch, away from the border
    points, _ = max(large, key=lambda branch: branch[1] * (len(branch[0]) > 20))
    vessel = (points[len(points) // 3] + drift[0]).round(1).tolist()
    faz_centre = (CENTRE + drift[0]).round(1).tolist()
    box = [round(float(v), 1) for v in (*(CENTRE + drift[0] - FAZ - 2), *(CENTRE + drift[0] + FAZ + 2))]
    prompts = {
        "objects": [
            {"id": 1, "prompts": [{"frame": 0, "points": [vessel], "labels": [1]}]},
            {"id": 2, "prompts": [{"frame": 0, "points": [faz_centre], "labels": [1], "box": box}]},
        ],
        "direction": "forward",
    }
    (OUT / "prompts.json").write_text(json.dumps(prompts, indent=2) + "\n")
    print((OUT / "volume.nii.gz").stat().st_size, "bytes;", prompts)


if __name__ == "__main__":
    main()
