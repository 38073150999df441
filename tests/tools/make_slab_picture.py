"""Draws docs/images/slabs.png: a B-scan of a phantom with three curves, and the slabs between them. Needs numpy, scipy, pillow.

    python tests/tools/make_slab_picture.py target/release/host-demo

The uppermost curve is where the smoothed flow begins; the others lie 9 and 20 layers below it.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

TARGET = pathlib.Path(__file__).resolve().parents[2] / "docs/images/slabs.png"
COLOURS = [(230, 159, 0), (86, 180, 233), (0, 158, 115)]
MIDDLE = 128
SCRIPT = """
let scan = open_volume("phantom.nii.gz", #{axis: "y"}).with_layers(open_labels("layers.npy"));
scan.layer_lines().save("lines.npy");
scan.slices(128..129).save("bscan.npy");
scan.slab("ILM..1").save("upper.npy");
scan.slab("1..2").save("lower.npy");
"""


def layers(flow):
    """Two layers below the surface of the flow `[z, y, x]`, as labels of the B-scans `[y, z, x]`."""
    smooth = ndimage.gaussian_filter(flow.astype(float), (1, 8, 8)) > 16
    surface = np.where(smooth.any(0), smooth.argmax(0), len(flow) - 4).astype(float)
    depth = np.arange(len(flow))[:, None, None] - ndimage.gaussian_filter(surface, 5)[None]
    labels = np.where((depth >= 0) & (depth < 9), 1, np.where((depth >= 9) & (depth < 20), 2, 0))
    return labels.astype(np.uint16).transpose(1, 0, 2)


def grey(values, size):
    shown = np.clip(values / np.percentile(values, 99.7), 0, 1) ** 0.8 * 255
    return Image.fromarray(shown.astype(np.uint8)).convert("RGB").resize(size, Image.BICUBIC)


def main(host):
    host = pathlib.Path(host).resolve()
    with tempfile.TemporaryDirectory() as folder:
        def run(*words):
            subprocess.run([str(word) for word in (host, *words, "--quiet")], check=True, cwd=folder)

        at = pathlib.Path(folder)
        run("phantom", "--out", "phantom.nii.gz", "--size", 256, "--slices", 40, "--seed", 7)
        run("convert", "phantom.nii.gz", "phantom.npy")
        np.save(at / "layers.npy", layers(np.load(at / "phantom.npy")))
        (at / "slabs.rhai").write_text(SCRIPT)
        run("run", "slabs.rhai", "--allow", ".")
        bscan, upper, lower, lines = (np.load(at / f"{name}.npy") for name in ("bscan", "upper", "lower", "lines"))
    picture = Image.new("RGB", (768, 552), (255, 255, 255))
    top = grey(bscan[0], (768, 160))
    draw = ImageDraw.Draw(top)
    for number, colour in enumerate(COLOURS, 1):
        rows = [np.nonzero(column == number)[0] for column in lines[:, MIDDLE, :].T]
        draw.line([(3 * x + 1, 4 * row[0] + 2) for x, row in enumerate(rows) if len(row)], fill=colour, width=2)
    picture.paste(top, (0, 0))
    picture.paste(grey(upper[0], (380, 380)), (0, 172))
    picture.paste(grey(lower[0], (380, 380)), (388, 172))
    picture.save(TARGET)


if __name__ == "__main__":
    main(sys.argv[1])
