#!/usr/bin/env python3
"""`make wheel-test`: installs the wheel of `make wheel` into an empty environment, away from the checkout, and segments there: with torch imported
after the plugin, before it, and by `host-demo`. `--napari` opens napari, too. Downloads torch (3 GB) unless pip has it.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEGMENT = """
{before}
from sam_octa2 import Model, Session, Volume, find, manifest
import numpy as np, sys
volume = Volume.open(sys.argv[1])
with Session(volume, Model.load("nano", precision="f32")) as session:
    mask = session.click(0, 131, 126)
    followed = [slice.masks[0].area for slice in session.follow("both")]
print(mask.area, sum(followed), find())
{after}
"""
NAPARI = """
import napari, numpy as np
viewer = napari.Viewer(show=False)
viewer.add_image(np.zeros((4, 64, 64), np.uint8))
dock, widget = viewer.window.add_plugin_dock_widget("sam-octa2")
print(type(widget).__name__)
viewer.close()
"""


def run(*command, **more):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("SAM_OCTA2", "LIBTORCH", "LD_LIBRARY", "PYTHON"))}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env={**clean, **more.pop("env", {})}, **more)
    if done.returncode != 0:
        sys.exit(f"wheel-test: {' '.join(map(str, command))[:200]} failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")
    return done.stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--napari", action="store_true")
    options = parser.parse_args()
    wheels = sorted((ROOT / "dist").glob("sam_octa2-*.whl"))
    if not wheels:
        sys.exit("wheel-test: there is no wheel in dist/; run `make wheel` first")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python, data = Path(folder) / "bin/python", ROOT / "tests/data/demo"
        run(python, "-m", "pip", "install", "--quiet", f"{wheels[-1]}{'[napari]' if options.napari else ''}", cwd=folder)
        print(f"wheel-test: {wheels[-1].name} is installed", flush=True)
        volume, answers = data / "volume.nii.gz", []
        for before, after in [("", "import torch; print(torch.__version__)"), ("import torch", "print(torch.ones(2).sum())")]:
            answers.append(run(python, "-c", SEGMENT.format(before=before, after=after), volume, cwd=folder).splitlines()[0])
        area, total, where = answers[0].split()
        if answers[0] != answers[1] or int(area) == 0 or int(total) < int(area) or not where.startswith(folder):
            sys.exit(f"wheel-test: {answers}")
        print(f"wheel-test: a click gives {area} pixels, followed {total}, with torch imported before and after", flush=True)
        program = Path(folder) / "bin/host-demo"
        prompts = [volume, "--prompts", data / "prompts.json", "--model", "nano", "--out", f"{folder}/labels.nii.gz", "--json", "--quiet"]
        run(program, "segment", *prompts, cwd=folder)
        print("wheel-test: host-demo segments, too", flush=True)
        if options.napari:
            print("wheel-test: napari shows", run(python, "-c", NAPARI, cwd=folder, env={"QT_QPA_PLATFORM": "offscreen"}).splitlines()[-1])


if __name__ == "__main__":
    main()
