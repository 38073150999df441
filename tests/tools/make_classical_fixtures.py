"""A slice with bright lines of different width, and the vesselness that scikit-image finds on it: tests/data/classical.

    pip install numpy scipy scikit-image==0.25.2
    python tests/tools/make_classical_fixtures.py
"""

from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.filters import frangi

OUT = Path(__file__).parent.parent / "data" / "classical"
ROWS, COLUMNS = 24, 30  # not square: axes that are mixed up show


def slice_with_lines():
    rng = np.random.default_rng(8)
    picture = np.zeros((ROWS, COLUMNS))
    picture[6:8, 3:] = 1.0
    picture[:, 20:24] = 0.8
    for step in range(14):
        picture[9 + step, 2 + step] = 0.9
    return (ndimage.gaussian_filter(picture, 0.7) + 0.05 * rng.normal(size=picture.shape)).astype(np.float32)


OUT.mkdir(parents=True, exist_ok=True)
image = slice_with_lines()
found = frangi(image.astype(np.float64), sigmas=[1, 2, 3], black_ridges=False)
np.save(OUT / "frangi.npy", np.stack([image, found.astype(np.float32)]))
