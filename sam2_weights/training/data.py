"""Training samples for nano: real en-face images with vessel labels (ROSSA), cut into layers that do not exist as the layers of a stack cut a plexus."""
import json
import pathlib
import random
import subprocess
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage as ndi
from model import connect

HERE = pathlib.Path(__file__).parent


def load(folder, host=None, cache=None):
    """Images [H, W] of 0 to 1, labels, outlines of the FAZ (None: not known) and vessels with crossings taken apart (None without `host`).

    ROSSA has no labels of the FAZ. Those in rossa_faz.json were found by the model that this project shipped before, which had seen phantoms
    only, kept where they are compact and central, and looked over. `host`: the built host-demo, whose `vessels` takes crossings apart.
    """
    outlines = json.loads((HERE / "rossa_faz.json").read_text())
    out = []
    for path in sorted(folder.glob("image/*.png")):
        image = np.array(Image.open(path).convert("L"), np.float32) / 255
        source = folder / "label" / path.name
        label = np.array(Image.open(source)) > 0
        runs = outlines.get(f"{folder.name}/{path.stem}")
        faz = np.repeat(np.arange(len(runs)) % 2 == 1, runs) if runs else None
        out.append((image, label, None if faz is None else np.pad(faz, (0, label.size - faz.size)).reshape(label.shape), parts(source, host, cache)))
    return out


def parts(source, host, cache):
    """One number per vessel, made once."""
    if host is None:
        return None
    file = cache / f"{source.parent.parent.name}_{source.stem}.npy"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run([host, "vessels", source, file, "--least", "30", "--split-crossings", "--quiet"], check=True)
    return np.load(file).reshape(np.array(Image.open(source)).shape).astype(np.int32)


def stretch(x):
    """Every channel of [C, H, W]: percentiles 1 and 99.5 of every other pixel become 0 and 1; a range of 0.03 at least; 0 to 1.2."""
    out = []
    for c in x:
        small = c[::2, ::2]
        low, high = np.percentile(small, 1), np.percentile(small, 99.5)
        out.append(np.clip((c - low) / max(high - low, 0.03), 0, 1.2))
    return np.stack(out).astype(np.float32)


def smooth_noise(shape, cells):
    """Smooth random field, about -1 to 1."""
    small = np.random.randn(cells + 3, cells + 3).astype(np.float32)
    return ndi.zoom(small, (shape[0] / (cells + 3), shape[1] / (cells + 3)), order=3)[: shape[0], : shape[1]] * 0.8


def speckle(shape):
    """Speckle of two or three pixels, mean 0, deviation 1."""
    n = ndi.gaussian_filter(np.random.randn(*shape).astype(np.float32), random.uniform(0.3, 0.9))
    return n / (n.std() + 1e-6)


def capillaries(shape):
    """A mesh of thin curves, as the capillaries between vessels look when a small field is seen: level lines of smooth noise, 0 to 1."""
    sigma = random.uniform(1.8, 4.5)
    n = ndi.gaussian_filter(np.random.randn(*shape).astype(np.float32), sigma * np.array(random.choice([(1, 1), (1.3, 0.8), (0.8, 1.3)])))
    n /= n.std() + 1e-6
    mesh = np.exp(-(n / random.uniform(0.12, 0.4)) ** 2)
    return mesh * np.clip(0.65 + 0.35 * smooth_noise(shape, random.choice([3, 6])), 0, 1)


def centre(length, side, around):
    """Random middle of a cut of `side` pixels within `length`; with `around`, that pixel is well inside the cut."""
    low, high = min(side / 2, length / 2), max(length - side / 2, length / 2)
    if around is not None:
        low, high = max(low, around - 0.4 * side), min(high, around + 0.4 * side)
        if low >= high:
            return around
    return random.uniform(low, high)


def crop(arrays, size, zoom, orders, around=None):
    """The same random square, turned and zoomed (image pixels per source pixel), reflected outside; with `around` inside."""
    h, w = arrays[0].shape
    angle = random.choice([0, 0, random.uniform(-180, 180)])
    side = size / zoom
    cy, cx = (centre(n, side, None if around is None else around[k]) for k, n in enumerate((h, w)))
    c, s = np.cos(np.radians(angle)) / zoom, np.sin(np.radians(angle)) / zoom
    fx, fy = random.choice([1, -1]), random.choice([1, -1])
    m = np.array([[c * fy, -s * fx], [s * fy, c * fx]])
    offset = np.array([cy, cx]) - m @ np.array([size / 2, size / 2])
    return [ndi.affine_transform(a.astype(np.float32), m, offset, (size, size), order=o, mode="reflect") for a, o in zip(arrays, orders)]


def regions(size, faz, layers):
    """Where each layer cuts the plexus: a surface (pit, bowl, tilt, folds) between two heights. -> depth field and a step"""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    cy, cx = random.uniform(-0.35, 0.35), random.uniform(-0.35, 0.35)
    if faz is not None and faz.any() and random.random() < 0.7:
        cy, cx = (v / size - 0.5 for v in ndi.center_of_mass(faz))
    r = np.hypot(y - cy, (x - cx) * random.uniform(0.7, 1.4))
    surface = random.choice([r, r, r * r * 1.6, x * np.cos(a := random.uniform(0, 6.3)) + y * np.sin(a), r * 0.6 + x * 0.6])
    surface = surface + random.uniform(0.0, 0.12) * smooth_noise((size, size), random.choice([2, 4, 8]))
    surface = (surface - surface.min()) / (np.ptp(surface) + 1e-6)
    width = random.choice([2.0, random.uniform(0.15, 0.7), random.uniform(0.15, 0.7)])
    start, step = random.uniform(-0.2, 0.75), random.choice([-1, 1]) * random.uniform(0.005, 0.1)
    out = []
    for k in range(layers):
        low = start + step * k
        out.append(np.minimum(surface - low, low + width - surface))
    return out, random.uniform(0.01, 0.06)


def layer_stack(image, vessels, faz, size):
    """A stack of layers, regions per layer."""
    n = random.randint(4, 8)
    depths, soft = regions(size, faz, n)
    gain, dark = random.uniform(0.12, 1.0), random.uniform(0.0, 0.12)
    back = ndi.gaussian_filter(image, random.uniform(0.6, 3)) * random.uniform(0.0, 0.3) + dark
    fade = random.uniform(0.3, 1.0)
    layers, inside = [], []
    grain, gamma = random.uniform(0.15, 0.7), random.uniform(0.7, 1.6)
    sharp = np.clip(image, 0, 1.2) ** gamma
    floor = random.choice([0, random.uniform(0, 0.2), random.uniform(0.05, 0.35)])
    for d in depths:
        a = 1 / (1 + np.exp(-np.clip(d / soft, -20, 20)))
        inner = sharp * (1 + grain * speckle(image.shape)) * random.uniform(fade, 1) + floor * np.abs(speckle(image.shape))
        x = a * inner + (1 - a) * back * np.abs(1 + 0.8 * speckle(image.shape))
        layers.append(np.clip(x * gain, 0, 1))
        inside.append(d > 0)
    return layers, inside


def single(image):
    """An en-face image, and two more projections of it."""
    out = []
    for _ in range(3):
        x = np.clip(image, 0, 1.2) ** random.uniform(0.6, 1.7)
        if random.random() < 0.6:
            x = x * (1 + random.uniform(0.05, 0.35) * speckle(image.shape))
        if random.random() < 0.35:
            x = ndi.gaussian_filter(x, random.uniform(0.4, 1.4))
        if random.random() < 0.3:
            x = x * (1 + 0.35 * smooth_noise(image.shape, random.choice([2, 4])))
        if random.random() < 0.15:
            rows = np.random.rand(image.shape[0]) < 0.03
            x = x.copy()
            x[rows] *= random.uniform(0.2, 0.7)
        out.append(np.clip(x * random.uniform(0.5, 1.15) + random.uniform(-0.05, 0.12), 0, 1))
    return out


def deep(image, label, faz):
    """A layer below the large vessels: capillaries everywhere but in the FAZ, large vessels at most as shadows."""
    mesh = np.maximum(capillaries(image.shape), 0.7 * capillaries(image.shape))
    around = 1 - ndi.gaussian_filter(faz.astype(np.float32), random.uniform(1, 4))
    shadow = 1 - random.uniform(0, 0.7) * ndi.gaussian_filter(label.astype(np.float32), 1.5)
    rest = random.uniform(0, 0.3) * ndi.gaussian_filter(image, random.uniform(1, 4))
    image = (mesh * random.uniform(0.4, 0.9) + rest) * around * shadow
    return image.astype(np.float32), np.zeros_like(label), np.zeros(label.shape, np.int32)


class Sample:
    """One view: image [3, S, S], truths, and the layers around it."""

    def __init__(self, entry, size, layered):
        image, label, faz, parts = entry
        zoom = random.choice([1.05, 1.25, 1.5, 1.6, 1.6, 2.0, 2.4, 2.8, 3.2])
        has_faz = faz is not None and faz.any()
        arrays = [image, label, faz if has_faz else np.zeros_like(label), parts if parts is not None else np.zeros(label.shape, np.int32)]
        around = ndi.center_of_mass(faz) if has_faz and random.random() < 0.5 else None
        image, label, f, parts = crop(arrays, size, zoom, (1, 1, 1, 0), around)
        if random.random() < (0.65 if zoom > 1.8 else 0.15):
            inside = 1 - ndi.gaussian_filter(f, 3) if has_faz else 1
            image = np.maximum(image, random.uniform(0.25, 0.8) * np.percentile(image, 97) * capillaries(image.shape) * inside)
        self.label, self.faz, self.parts = label > 0.5, f > 0.5, parts.astype(np.int32)
        self.has_faz = faz is not None
        if layered and has_faz and self.faz.sum() > 80 and random.random() < 0.4:
            image, self.label, self.parts = deep(image, self.label, self.faz)
        if layered:
            self.layers, self.inside = layer_stack(image, self.label, self.faz, size)
        else:
            self.layers = single(image)
            self.inside = [np.ones_like(self.label)] * 3
        good = [k for k in range(len(self.layers)) if ((self.label | self.faz) & self.inside[k]).sum() > 60]
        self.at = random.choice(good) if good else random.randrange(len(self.layers))
        me = self.layers[self.at]
        if layered:
            near = self.layers if random.random() < 0.7 else [me]
            image = np.stack([me, np.max(near, 0), np.mean(near, 0)])
            self.enface = self.label & np.any(self.inside if len(near) > 1 else [self.inside[self.at]], 0)
        elif random.random() < 0.25:
            image = np.stack([me, np.max(self.layers, 0), np.mean(self.layers, 0)])
            self.enface = self.label
        else:
            image = np.stack([me, me, me])
            self.enface = self.label
        self.image = stretch(image)

    def truth(self, k=None):
        inside = self.inside[self.at if k is None else k]
        return self.label & inside, self.faz & inside

    def dense(self):
        """Truth [3, S, S] and weight."""
        vessel, faz = self.truth()
        target = np.stack([vessel, faz, self.enface]).astype(np.float32)
        weight = np.array([1, 1 if self.has_faz else 0, 0.5], np.float32)
        return target, weight

    def objects(self, count):
        """Masks over the layers' en-face truth, before they are cut by a layer."""
        whole = ndi.label(self.label, np.ones((3, 3)))[0]
        inside = self.inside[self.at]
        found = []
        for source, share in ((whole, 0.65), (self.parts, 0.35)):
            ids, sizes = np.unique(source[inside & (source > 0)], return_counts=True)
            found += [(source == i, share * n ** 0.5) for i, n in zip(ids, sizes) if n > 100]
        if (self.faz & inside).sum() > 80:
            found.append((self.faz, 0.6 * sum(w for _, w in found) + 1))
        if not found:
            return []
        weights = np.array([w for _, w in found])
        chosen = np.random.choice(len(found), count, p=weights / weights.sum())
        return [(found[i][0], found[i][0] is self.faz) for i in chosen]


def down(mask):
    """A mask at half size: any pixel of four."""
    h, w = mask.shape
    return mask.reshape(h // 2, 2, w // 2, 2).mean((1, 3)) >= 0.5


def pick(mask, count):
    """Clicks in a mask: the deepest point or any, then far points or any."""
    points = []
    if not mask.any():
        return points
    depth = ndi.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    for _ in range(count):
        far = random.choice([0, 8, 1000])
        if far:
            score = depth * far  # 1000: out to the very tips
            for y, x in points:
                yy, xx = np.ogrid[: mask.shape[0], : mask.shape[1]]
                score = np.where(mask, np.minimum(score, np.hypot(yy - y, xx - x)), 0)
            y, x = np.unravel_index(score.argmax(), mask.shape)
        else:
            ys, xs = np.nonzero(mask & (depth > min(1.0, depth.max() - 0.5)))
            i = random.randrange(len(ys))
            y, x = ys[i], xs[i]
        points.append((int(y), int(x)))
    return points


def disks(points, size, radius=2.5):
    out = np.zeros((size, size), np.float32)
    for y, x in points:
        y0, y1, x0, x1 = max(0, y - 4), y + 5, max(0, x - 4), x + 5
        yy, xx = np.mgrid[y0:min(y1, size), x0:min(x1, size)]
        out[y0:y1, x0:x1] = np.maximum(out[y0:y1, x0:x1], np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / (2 * radius ** 2)))
    return out
