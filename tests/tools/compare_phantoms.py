"""Statistics of phantoms next to real samples of OCTA-500, and pictures of both (docs/phantoms.md).

    python3 -m venv .venv && .venv/bin/pip install numpy pillow scipy scikit-image
    .venv/bin/python tests/tools/compare_phantoms.py HOST OCTA500 [--phantoms N] [--sheet FILE.png] [--gallery FILE.png]

HOST: target/release/host-demo. OCTA500: a folder in the layout that docs/training.md describes. The sheet (real next to synthetic) is to be
looked at and holds research data; the gallery holds phantoms alone.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.measure import perimeter_crofton
from skimage.morphology import skeletonize

BANDS = [1, 4, 8, 16, 32, 64, 152]  # cycles per field
LEVELS = [5, 25, 50, 75, 90, 99]


def grey(path, part=None):
    """A picture as uint8; `part`: which quarter, half, ... of its width, as (number, of)."""
    image = np.array(Image.open(path).convert("L"))
    if part:
        width = image.shape[1] // part[1]
        image = image[:, part[0] * width : (part[0] + 1) * width]
    return image


def sized(image, side=304):
    return np.array(Image.fromarray(image).resize((side, side), Image.BILINEAR))


def spectrum(image):
    """Share of the power in bands of spatial frequency, in percent, the slowest variation left out."""
    image = image - ndimage.gaussian_filter(image.astype(float), 30)
    side = image.shape[0]
    window = np.hanning(side)
    power = np.abs(np.fft.fftshift(np.fft.fft2(image * window[:, None] * window))) ** 2
    y, x = np.indices(power.shape) - side // 2
    radius = np.hypot(x, y)
    bands = [power[(radius >= low) & (radius < high)].sum() for low, high in zip(BANDS, BANDS[1:])]
    return [round(100 * band / sum(bands)) for band in bands]


def intensity(name, image):
    image = sized(image)
    levels = np.percentile(image, LEVELS).round().astype(int).tolist()
    print(f"{name:24} mean {image.mean():6.1f}  percentiles {levels}  spectrum {spectrum(image)}")


def shapes(name, vessels, faz, field):
    pixel = field / vessels.shape[0]
    distance = ndimage.distance_transform_edt(vessels)
    skeleton = skeletonize(vessels)
    calibre = np.percentile(2000 * pixel * distance[skeleton], [10, 50, 90, 99]).round().astype(int).tolist()
    length = skeleton.sum() * pixel / field**2
    area, border = faz.sum() * pixel**2, perimeter_crofton(faz, 4) * pixel
    circle = 4 * np.pi * area / border**2
    print(f"{name:24} density {vessels.mean():.3f}  skeleton {length:.2f}/mm  calibre um 10,50,90,99 % {calibre}", end="  ")
    print(f"FAZ {area:.3f} mm2, circularity {circle:.2f}")


def phantom(host, folder, **options):
    """One phantom's arrays: volume, labels, en face, its labels."""
    names = {"out": "v.npy", "labels": "l.npy", "en-face": "e.npy", "en-face-labels": "t.npy"}
    command = [host, "--quiet", "phantom"]
    for key, value in {**{key: folder / name for key, name in names.items()}, **options}.items():
        command += [f"--{key}", str(value)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return [np.load(folder / name) for name in names.values()]


def compare(host, folder, real, count):
    for size, field, sample in [("3M", 3, 10301), ("6M", 6, 10001)]:
        root = real / size
        vessels, faz = (grey(root / kind / f"{sample}.bmp") > 0 for kind in ("GT_LargeVessel", "GT_FAZ"))
        shapes(f"real {field} mm", vessels, faz, field)
        intensity(f"real {field} mm", grey(root / f"ProjectionMaps/ILM_OPL/{sample}.bmp"))
        for seed in range(count):
            *_, en_face, truth = phantom(host, folder, field=field, seed=seed, slices=1)
            shapes(f"phantom {field} mm, seed {seed}", truth[0] > 1, truth[0] == 1, field)
            intensity("", en_face[0])
    for path in sorted((real / "RV_Annotation").glob("*.png")):
        intensity(f"real {path.stem}", grey(path, (0, 2)))
    for layer in (300, 305, 310):
        intensity(f"real FAZ {layer}", grey(real / f"FAZ_LayerSequence/10301/{layer}.png", (1, 3)))
    for layers in ("vessels", "faz"):
        for seed in range(count):
            volume, *_ = phantom(host, folder, layers=layers, seed=seed, slices=10)
            for layer in (0, 9):
                intensity(f"{layers} {seed}, layer {layer}", volume[layer])


def brighter(image):
    return np.clip(image * 1.5, 0, 255).astype(np.uint8)


def sheet(host, folder, real, path):
    """Left real, right synthetic: projections, layers of the superficial plexus, layers of the deep one."""
    of = lambda field, seed: phantom(host, folder, field=field, seed=seed, slices=1)[2][0]
    rows = [
        [sized(grey(real / f"{name}.bmp"), 512) for name in ("3M/ProjectionMaps/ILM_OPL/10301", "6M/ProjectionMaps/ILM_OPL/10001")]
        + [of(3, 0), of(3, 2), of(6, 1)],
        [sized(grey(real / "RV_Annotation/10457_263.png", (0, 2)), 512), sized(grey(real / "RV_SampleLayer/10301/262.png"), 512)]
        + [phantom(host, folder, layers="vessels", seed=seed, slices=10)[0][9] for seed in (1, 2, 3)],
        [grey(real / f"FAZ_LayerSequence/10301/{layer}.png", (1, 3)) for layer in (300, 310)]
        + [phantom(host, folder, layers="faz", seed=seed, slices=10)[0][3] for seed in (1, 2, 3)],
    ]
    rows[1:] = [[brighter(image) for image in row] for row in rows[1:]]
    Image.fromarray(np.vstack([np.hstack(row) for row in rows])).save(path)


def coloured(labels):
    palette = np.random.RandomState(3).randint(70, 255, (65536, 3)).astype(np.uint8)
    palette[:2] = [[0, 0, 0], [255, 255, 255]]
    return palette[labels]


def gallery(host, folder, path):
    """Per row: projection and truth; two layers through the superficial plexus with the truth of the second; the same of the deep one."""
    rows = []
    for field, seed in [(3, 2), (3, 3), (6, 1)]:
        *_, en_face, truth = phantom(host, folder, field=field, seed=seed, slices=1)
        row = [en_face[0], coloured(truth[0])]
        for layers in ("vessels", "faz"):
            volume, labels, *_ = phantom(host, folder, field=field, layers=layers, seed=seed, slices=10)
            row += [brighter(volume[2]), brighter(volume[8]), coloured(labels[8])]
        rows.append(np.hstack([np.array(Image.fromarray(tile).convert("RGB").resize((168, 168), Image.BOX)) for tile in row]))
    # colours that are rare, the vessels, are to stay
    Image.fromarray(np.vstack(rows)).quantize(96, method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host", type=lambda text: str(Path(text).resolve()))
    parser.add_argument("octa500", type=Path)
    parser.add_argument("--phantoms", type=int, default=4)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--gallery", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(options.host, Path(folder), options.octa500, options.phantoms)
        if options.sheet:
            sheet(options.host, Path(folder), options.octa500, options.sheet)
        if options.gallery:
            gallery(options.host, Path(folder), options.gallery)


if __name__ == "__main__":
    main()
