#!/usr/bin/env python3
"""Draws the training of `nano` from the folders of scripts/train_nano.rhai: `nano_curves.py OUT sam2_weights/nano-curves.svg`.

A column per phase that ran here and has prompts on whole objects (or those named with --phases): the loss, mean of 20 steps, above; Dice of the held-out
phantoms by epoch below. Needs nothing but Python. A phase without a validation yet has an empty panel.
"""

import argparse
import csv
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 110, 46, 34, 34
STEPS = 20


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def mean(numbers):
    return sum(numbers) / len(numbers)


def losses(folder):
    """[(step, loss)], a point per STEPS steps."""
    steps = [(int(row["step"]), float(row["loss"])) for row in rows(folder / "steps.csv")]
    parts = [steps[i : i + STEPS] for i in range(0, len(steps), STEPS)]
    return [(part[-1][0], mean([loss for _, loss in part])) for part in parts]


def dice(folder):
    """[(epoch, mean Dice of the held-out phantoms)]."""
    by_epoch = {}
    for row in rows(folder / "metrics.csv"):
        if row["subset"] == "validation" and row["dice"]:
            by_epoch.setdefault(int(row["epoch"]), []).append(float(row["dice"]))
    return [(epoch, mean(values)) for epoch, values in sorted(by_epoch.items())]


def panel(x, y, points, top, name, marks):
    """Axes and a line; `top` is the value at the upper edge."""
    text = [f'<path d="M{x} {y}v{HEIGHT}h{WIDTH}" fill="none" stroke="#888"/>']
    text += [f'<text x="{x - 4}" y="{y + 4}" text-anchor="end">{top:.3g}</text>',
             f'<text x="{x - 4}" y="{y + HEIGHT + 4}" text-anchor="end">0</text>',
             f'<text x="{x + 6}" y="{y + HEIGHT - 8}">{name}</text>']
    if points:
        last = points[-1][0]
        text.append(f'<text x="{x + WIDTH}" y="{y + HEIGHT + 14}" text-anchor="end">{last}</text>')
        places = [(x + WIDTH * at / last, y + HEIGHT * (1 - min(value / top, 1))) for at, value in points]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        text.append(f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="1.5"/>')
        if marks:
            text += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="#0072b2"/>' for a, b in places]
            text.append(f'<text x="{places[-1][0] - 6:.1f}" y="{places[-1][1] - 8:.1f}" text-anchor="end">{points[-1][1]:.2f}</text>')
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of train_nano.rhai")
    parser.add_argument("svg", type=Path)
    parser.add_argument("--phases", nargs="+", default=["5-objects", "6-sequences", "7-more-objects"])
    options = parser.parse_args()
    folders = [options.run / phase for phase in options.phases if (options.run / phase / "steps.csv").is_file()]
    if not folders:
        parser.error(f"{options.run}: none of {', '.join(options.phases)} has a steps.csv")
    text = []
    for i, folder in enumerate(folders):
        x = LEFT + i * (WIDTH + LEFT + 10)
        loss = losses(folder)
        # the first steps are far above the rest
        ordered = sorted(value for _, value in loss)
        top = 1.1 * ordered[int(0.95 * (len(ordered) - 1))] if ordered else 1.0
        text.append(f'<text x="{x}" y="18" font-weight="bold">{folder.name}</text>')
        text += panel(x, TOP, loss, top, "loss by step", False)
        text += panel(x, TOP + HEIGHT + GAP, dice(folder), 1.0, "Dice by epoch, held-out phantoms", True)
    width, height = LEFT + len(folders) * (WIDTH + LEFT + 10), TOP + 2 * HEIGHT + GAP + 22
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif" font-size="11">'
    options.svg.write_text("\n".join([head, f'<rect width="{width}" height="{height}" fill="#fff"/>', *text, "</svg>"]) + "\n")


if __name__ == "__main__":
    main()
