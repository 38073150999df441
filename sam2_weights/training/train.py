"""Trains the network of nano from random weights on ROSSA (MIT, arXiv 2309.09483).

    python train.py ROSSA OUT --host target/release/host-demo --hours 2      # the same command goes on where it stopped

First the dense maps alone (`--dense-steps`), then prompts, too. With `--phantoms N --start OTHER/checkpoint.pt` it goes on from another run with a
share of phantoms, whose layers show the FAZ as a surface cuts it. Writes OUT/checkpoint.pt every four minutes and OUT/log.txt.
"""
import argparse
import pathlib
import random
import time
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from data import *
from export import unfolded
from model import Nano
from phantoms import PhantomSample, load_phantoms

torch.set_num_threads(1)
# Processors without instructions for bfloat16 compute it seven times slower than float32.
BF16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast():
    return torch.autocast("cpu", torch.bfloat16, enabled=BF16)


def seed_all(seed):
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def dice_loss(p, t, dims):
    return 1 - (2 * (p * t).sum(dims) + 1) / (p.sum(dims) + t.sum(dims) + 1)


def dense_loss(logits, target, weight):
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((2, 3))
    return ((bce + dice_loss(logits.sigmoid(), target, (2, 3))) * weight).sum() / weight.sum()


def mask_loss(logits, target):
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = (bce * (1 - torch.exp(-bce)) ** 1).mean((1, 2, 3)) * 4
    present = target.flatten(1).any(1).float()
    d = dice_loss(logits.sigmoid(), target, (1, 2, 3))
    return (focal + d * (0.2 + 0.8 * present)).mean()


class Prompted:
    """One object of a sample, with what the network is told of it."""

    def __init__(self, sample, whole, is_faz, dense_p):
        size = sample.image.shape[1] // 2
        self.size = size
        at = sample.at
        self.truth = down(whole & sample.inside[at])
        self.is_faz = is_faz
        self.vessel_p, self.faz_p = dense_p
        self.plus, self.minus = [], []
        self.connected = None
        self.box = np.zeros((size, size), np.float32)
        self.own = np.zeros((size, size), np.float32)
        self.previous = np.zeros((size, size), np.float32)
        self.anchor = np.zeros((size, size), np.float32)
        others = down((sample.label & ~whole) & sample.inside[at])
        follow = random.random() < 0.5 and len(sample.layers) > 1
        if follow:
            n = len(sample.layers)
            k, j = max(0, min(n - 1, at + random.choice([-1, 1]))), random.randrange(n)
            # now and then the whole object, more than its layer shows: what is visible has to be seen, not copied
            seen = [sample.inside[i] if random.random() < 0.6 else np.ones_like(whole) for i in (k, j)]
            self.previous = self.damage(down(whole & seen[0]), others)
            self.anchor = self.damage(down(whole & seen[1]), others)
            if not (self.previous.any() or self.anchor.any()):
                follow = False
        if not follow or random.random() < 0.15:
            if random.random() < 0.12 and self.truth.any():
                ys, xs = np.nonzero(self.truth)
                j = lambda: random.randint(-3, 3)
                self.box[max(0, ys.min() + j()):ys.max() + 1 + j(), max(0, xs.min() + j()):xs.max() + 1 + j()] = 1
            else:
                self.plus = pick(self.truth, random.choice([1, 1, 2, 3, 3, 3, 5]))
            if random.random() < 0.3 and others.any():
                self.minus = pick(others, random.choice([1, 2]))

    def damage(self, mask, others):
        m = mask.astype(np.float32)
        c = random.random()
        if c < 0.3 and mask.any():  # a piece is missing
            ys, xs = np.nonzero(mask)
            i, r = random.randrange(len(ys)), random.randint(4, self.size // 4)
            m[max(0, ys[i] - r):ys[i] + r, max(0, xs[i] - r):xs[i] + r] = 0
        elif c < 0.45:
            m = ndi.binary_erosion(mask).astype(np.float32) if random.random() < 0.5 else ndi.binary_dilation(mask).astype(np.float32)
        if random.random() < 0.1 and others.any():  # a piece of another one is in it
            ys, xs = np.nonzero(others)
            i, r = random.randrange(len(ys)), random.randint(3, 12)
            a = np.zeros_like(others)
            a[max(0, ys[i] - r):ys[i] + r, max(0, xs[i] - r):xs[i] + r] = 1
            m = np.maximum(m, a & others)
        if random.random() < 0.5:
            m = ndi.gaussian_filter(m, random.uniform(0.3, 0.9))
        return m * random.uniform(0.7, 1)

    def maps(self):
        size = self.size
        plus, minus = disks(self.plus, size), disks(self.minus, size)
        seeds = np.zeros((size, size), bool)
        for y, x in self.plus:
            seeds[max(0, y - 1):y + 2, max(0, x - 1):x + 2] = True
        seeds |= (self.previous > 0.5) | (self.anchor > 0.5)
        against = np.zeros((size, size), bool)
        for y, x in self.minus:
            against[max(0, y - 1):y + 2, max(0, x - 1):x + 2] = True
        clicks = (len(self.plus), len(self.minus))
        if self.connected is None or self.connected[0] != clicks:
            self.connected = clicks, (connect(seeds, self.vessel_p), connect(seeds, self.faz_p), connect(against, np.maximum(self.vessel_p, self.faz_p)))
        vessel, faz, no = self.connected[1]
        return np.stack([plus, minus, self.box, self.own, self.previous, self.anchor, vessel, faz, no])

    def correct(self, p):
        """A click in the largest error; the answer is fed back."""
        self.own = p
        wrong = (p > 0.5) != self.truth
        parts, n = ndi.label(wrong)
        if n and random.random() < 0.5:
            part = parts == 1 + np.argmax(ndi.sum(wrong, parts, range(1, n + 1)))
            click = pick(part, 1)
            (self.plus if self.truth[click[0]] else self.minus).extend(click)


def strengths(dense):
    """[3, S, S] probabilities -> vessel seen from the front (at half size, the larger of two by two), FAZ."""
    p = F.max_pool2d(dense[None], 2)[0].numpy()
    return np.maximum(p[0], p[2]), p[1]


def train_prompts(net, samples, fine, coarse, dense, objects, passes):
    prompted, index = [], []
    with torch.no_grad():
        probability = dense.sigmoid()
    for i, sample in enumerate(samples):
        dense_p = strengths(probability[i])
        for whole, is_faz in sample.objects(objects):
            prompted.append(Prompted(sample, whole, is_faz, dense_p))
            index.append(i)
    if not prompted:
        return dense.sum() * 0, 0
    target = torch.tensor(np.stack([p.truth for p in prompted])).float()[:, None]
    f, c, d = fine[index], coarse[index], dense[index].detach()
    total = 0
    for n in range(passes):
        maps = torch.tensor(np.stack([p.maps() for p in prompted]))
        with autocast():
            logits = net.answer(f, c, d, maps.contiguous(memory_format=torch.channels_last))
        logits = logits.float()
        total = total + mask_loss(logits, target) / passes
        if n + 1 < passes:
            p = logits.detach().sigmoid()[:, 0].numpy()
            for one, answer in zip(prompted, p):
                one.correct(answer)
    with torch.no_grad():
        hit = (logits > 0).float()
        d = 1 - dice_loss(hit, target, (1, 2, 3))
    return total, float(d.mean())


def start(net, file, samples):
    """The weights of another run's checkpoint, or of an exported file."""
    if file.endswith(".pt"):
        net.load_state_dict(torch.load(file, weights_only=False)["ema"])
        return

    def forward():
        fine, coarse, dense = net.encode(torch.tensor(np.stack([s.image for s in samples])))
        train_prompts(net, samples, fine, coarse, dense, 3, 1)

    unfolded(load_file(file), net, forward)


class Source(torch.utils.data.IterableDataset):
    """Endless batches of samples, made beside the training."""

    def __init__(self, pool, seed, dense_batches, phantoms, share):
        self.phantoms, self.share = phantoms, share
        self.pool, self.seed, self.dense_batches = pool, seed, dense_batches

    def one(self, size):
        if self.phantoms and random.random() < self.share:
            return PhantomSample(random.choice(self.phantoms), size)
        return Sample(random.choice(self.pool), size, random.random() < 0.55)

    def __iter__(self):
        seed_all(self.seed)
        n = 0
        while True:
            dense_only = n < self.dense_batches
            size, batch = (288, 6) if dense_only else random.choice([(320, 5), (416, 3), (512, 2)])
            yield [self.one(size) for _ in range(batch)]
            n += 1


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("rossa", type=pathlib.Path, help="ROSSA's folder, with train_manual and train_sam")
    a.add_argument("out", type=pathlib.Path)
    a.add_argument("--host", help="the built host-demo")
    a.add_argument("--hours", type=float, default=2, help="of the processor, so that a busy machine trains as long as an idle one")
    a.add_argument("--dense-steps", type=int, default=1500, help="steps with the dense maps alone")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--rate", type=float, default=2e-3, help="learning rate; falls as a cosine")
    a.add_argument("--start", help="weights to go on from: another run's checkpoint.pt, or nano.safetensors")
    a.add_argument("--phantoms", type=int, default=0)
    a.add_argument("--share", type=float, default=0.35, help="share of phantoms among the samples")
    o = a.parse_args()
    seed_all(o.seed)
    out = o.out
    out.mkdir(exist_ok=True, parents=True)
    manual, sam = (load(o.rossa / name, o.host, out / "parts") for name in ("train_manual", "train_sam"))
    pool = manual * 3 + sam  # labels made by hand count more
    phantoms = load_phantoms(o.host, out / "phantoms", o.phantoms)
    net = Nano()
    if o.start:
        start(net, o.start, [Sample(random.choice(pool), 320, k % 2 == 0) for k in range(12)])
    opt = torch.optim.AdamW(net.parameters(), o.rate, weight_decay=1e-3, betas=(0.9, 0.99))
    ema = {k: v.clone() for k, v in net.state_dict().items()}
    spent, step = 0.0, 0
    file = out / "checkpoint.pt"
    if file.exists():
        s = torch.load(file, weights_only=False)
        net.load_state_dict(s["net"])
        opt.load_state_dict(s["opt"])
        ema, spent, step = s["ema"], s["spent"], s["step"]
        seed_all(step)
    net = net.to(memory_format=torch.channels_last)
    source = Source(pool, o.seed * 1000003 + step, max(0, o.dense_steps - step), phantoms, o.share)
    batches = iter(torch.utils.data.DataLoader(source, batch_size=None, num_workers=1, prefetch_factor=6))
    last, log, saved = time.process_time(), [], spent
    net.train()
    while spent < o.hours * 3600:
        done = spent / (o.hours * 3600)
        rate = o.rate * (0.5 + 0.5 * np.cos(np.pi * done)) * min(1, step / 60 + 0.05) + 1e-5
        for g in opt.param_groups:
            g["lr"] = rate
        dense_only = step < o.dense_steps
        samples = next(batches)
        image = torch.tensor(np.stack([s.image for s in samples]))
        target, weight = zip(*(s.dense() for s in samples))
        with autocast():
            fine, coarse, dense = net.encode(image.contiguous(memory_format=torch.channels_last))
        dense = dense.float()
        loss = dense_loss(dense, torch.tensor(np.stack(target)), torch.tensor(np.stack(weight)))
        row = [float(loss)]
        if not dense_only:
            more, d = train_prompts(net, samples, fine, coarse, dense, 3, random.choice([1, 2, 2, 3]))
            loss = loss + more
            row += [float(more), d]
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        step += 1
        decay = min(0.998, step / (step + 20))
        with torch.no_grad():
            for k, v in net.state_dict().items():
                ema[k].copy_(v) if not v.is_floating_point() else ema[k].mul_(decay).add_(v, alpha=1 - decay)
        log.append(row + [0] * (3 - len(row)))
        now = time.process_time()
        spent += now - last
        last = now
        if step % 25 == 0:
            line = f"{step} {spent:.0f}s dense %.3f prompt %.3f dice %.3f lr {rate:.5f}" % tuple(np.mean(log[-50:], 0))
            print(line, flush=True)
            with open(out / "log.txt", "a") as text:
                print(line, file=text)
        if spent - saved > 240 or spent >= o.hours * 3600:
            saved = spent
            torch.save({"net": net.state_dict(), "opt": opt.state_dict(), "ema": ema, "spent": spent, "step": step}, str(file) + ".tmp")
            pathlib.Path(str(file) + ".tmp").rename(file)


if __name__ == "__main__":
    main()
