#!/usr/bin/env python3
"""Segments a stack from one click and writes labels with the stack's geometry.

python segment.py                                        # the demo stack with the demo's model, whose masks mean nothing
python segment.py scan.nii.gz --model 2.1-tiny --click 0,250,420 --out labels.nii.gz
"""

import argparse
from pathlib import Path

from sam_octa2 import Model, SamOcta2Error, Session, Volume

DATA = Path(__file__).resolve().parents[3] / "tests/data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?", default=DATA / "demo/volume.nii.gz", help="a file or folder")
    parser.add_argument("--model", default=DATA / "parity/mini21.pt", help="an official size or a checkpoint")
    parser.add_argument("--config", help="its configuration, where the file does not say it")
    parser.add_argument("--click", default="0,131,126", metavar="SLICE,X,Y", help="on the object")
    parser.add_argument("--direction", default="both", choices=["forward", "backward", "both"])
    parser.add_argument("--out", default="labels.nii.gz")
    args = parser.parse_args()
    if args.model == DATA / "parity/mini21.pt":
        args.config = DATA / "parity/mini21.yaml"

    volume = Volume.open(args.input)
    print(volume)
    session = Session(volume, Model.load(args.model, args.config))
    frame, x, y = (float(number) for number in args.click.split(","))
    print(session.click(int(frame), x, y))
    try:
        for slice in session.follow(args.direction):
            print(f"slice {slice.frame}: {slice.masks[0].area} pixels  ({slice.done}/{slice.total})")
    except KeyboardInterrupt:
        print("stopped; what is done is kept")
    session.labels().write(args.out)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    try:
        main()
    except SamOcta2Error as error:
        raise SystemExit(f"error: {error}") from None
