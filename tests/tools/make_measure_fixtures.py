"""Masks of vessels and FAZ, and what scikit-image, scipy, skan and PVBM measure on them: tests/data/measure.

    pip install numpy scipy pillow scikit-image==0.25.2 skan==0.13.1 && pip install --no-deps PVBM==3.0.1.8
    python tests/tools/make_measure_fixtures.py

PVBM is used for its helpers only; the rest of the package needs more than is installed here.
"""

import importlib.util
import json
import math
import site
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from skan import Skeleton, summarize
from skimage import draw, measure, morphology

OUT = Path(__file__).parent.parent / "data" / "measure"
SPACING = (0.01, 0.01)  # mm, square pixels: all peers know those
UNEVEN = (0.012, 0.008)  # mm, rows and columns


def pvbm_tortuosity():
    """PVBM/helpers/tortuosity.py without the package around it."""
    path = next(Path(p) / "PVBM/helpers/tortuosity.py" for p in site.getsitepackages() if (Path(p) / "PVBM").is_dir())
    spec = importlib.util.spec_from_file_location("tortuosity", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tree(rng, size):
    """Curved vessels of falling width with branches."""
    mask = np.zeros(size, bool)
    todo = [(rng.uniform(0, size[0]), 0.0, rng.uniform(-0.4, 0.4), 4.0, 90) for _ in range(3)]
    while todo:
        y, x, angle, radius, steps = todo.pop()
        for step in range(steps):
            rows, columns = draw.disk((y, x), radius, shape=size)
            mask[rows, columns] = True
            angle += rng.normal(0, 0.08)
            y, x = y + 1.5 * math.sin(angle), x + 1.5 * math.cos(angle)
            if step % 25 == 24 and radius > 1.6:
                todo.append((y, x, angle + rng.choice([-1, 1]) * rng.uniform(0.5, 1.0), radius * 0.7, int(steps * 0.7)))
                radius *= 0.9
    return mask


def blob(rng, size, rough):
    angles = np.linspace(0, 2 * math.pi, 400, endpoint=False)
    radius = 0.3 * min(size) * (1 + sum(rough / k * rng.normal() * np.cos(k * angles + rng.uniform(0, 6.3)) for k in range(2, 9)))
    y, x = size[0] / 2 + radius * np.sin(angles), size[1] / 2 + 1.3 * radius * np.cos(angles)
    return draw.polygon2mask(size, np.stack([y, x], 1))


def vessels(mask):
    thin = morphology.skeletonize(mask)
    around = ndimage.convolve(thin.astype(int), np.array([[1, 1, 1], [1, 10, 1], [1, 1, 1]]), mode="constant")
    junctions, count = ndimage.label(around >= 13, np.ones((3, 3)))
    distance = ndimage.distance_transform_edt(mask, sampling=SPACING)
    uneven = ndimage.distance_transform_edt(mask, sampling=UNEVEN)
    edge = mask & ~ndimage.binary_erosion(mask)
    told = {
        "pixels": int(mask.sum()),
        "skeleton_pixels": int(thin.sum()),
        "skeleton": np.packbits(thin).tobytes().hex(),
        "edge_pixels": int(edge.sum()),
        "calibre_mm": float(2 * distance[thin].mean()),
        "calibre_uneven_mm": float(2 * uneven[thin].mean()),
        "ends": int((around == 11).sum()),
        "junctions": count,
    }
    for name, spacing in [("", SPACING), ("_uneven", UNEVEN)]:
        branches = summarize(Skeleton(thin, spacing=spacing), separator="-")
        long = branches[branches["branch-distance"] > 0.1]
        open_ = long[long["euclidean-distance"] > 0]
        ratio = open_["branch-distance"] / open_["euclidean-distance"]
        told[f"length{name}_mm"] = float(branches["branch-distance"].sum())
        if not name:
            told |= {"skan_branches": len(open_), "skan_tortuosity_mean": float(ratio.mean()), "skan_tortuosity_median": float(ratio.median())}
    median, *_ = pvbm_tortuosity().compute_tortuosity(thin.astype(int))
    told["pvbm_tortuosity_median"] = None if math.isnan(median) else float(median)
    return told


def zone(mask):
    told = {}
    for name, spacing in [("", SPACING), ("_uneven", UNEVEN)]:
        properties = measure.regionprops(mask.astype(int), spacing=spacing)[0]
        told |= {
            f"area{name}_mm2": float(properties.area),
            f"major{name}_mm": float(properties.axis_major_length),
            f"minor{name}_mm": float(properties.axis_minor_length),
            f"equivalent{name}_mm": float(properties.equivalent_diameter_area),
            f"centroid{name}_mm": [float(v) for v in properties.centroid],
        }
        lines = measure.find_contours(np.pad(mask, 1).astype(float), 0.5)
        steps = [np.diff(line, axis=0) * np.array(spacing) for line in lines]
        told[f"polygon{name}_mm"] = float(sum(np.hypot(*step.T).sum() for step in steps))
    told["crofton_mm"] = float(measure.perimeter_crofton(mask, directions=4) * SPACING[0])
    return told


def main():
    rng = np.random.default_rng(10301)
    web = ndimage.gaussian_filter(rng.random((96, 112)), 2.0)
    masks = {"tree": tree(rng, (120, 160)), "web": web > np.quantile(web, 0.6), "specks": rng.random((64, 64)) > 0.45}
    zones = {"round": blob(rng, (96, 128), 0.05), "ragged": blob(rng, (96, 128), 0.25)}
    OUT.mkdir(exist_ok=True)
    for name, mask in (masks | zones).items():
        Image.fromarray(mask).save(OUT / f"{name}.png", optimize=True)
    told = {
        "spacing": SPACING,
        "uneven": UNEVEN,
        "vessels": {name: vessels(mask) for name, mask in masks.items()},
        "faz": {name: zone(mask) for name, mask in zones.items()},
    }
    (OUT / "peers.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
