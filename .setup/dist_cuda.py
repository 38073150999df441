#!/usr/bin/env python3
"""`make dist CUDA=1`: dist/sam_octa2-VERSION-PLATFORM-cuda, the folder of `make dist` for a machine with a GPU whose Python has torch.

libtorch and NVIDIA's libraries stay out of it (5 GB): `use-torch.sh` takes those of the torch wheel that is there. With it come the test programs, their
data and the benchmark, so that a first day with a card (docs/gpu.md) needs neither Rust nor a checkout.
"""
import json
import shutil
import subprocess
import sys

import dist

TESTS = ["gpu", "parity", "session", "train"]
# what the tests read, and the benchmark
DATA = ["tests/data/demo", "tests/data/parity", "tests/data/io/npy/float64.npy", "tests/data/io/pictures/grey8.bmp", "tests/data/io/dicom/multiframe.dcm",
        "tests/bench", "core/src/model", "core/src/session"]
README = """SAM-OCTA2 {version} for a machine with a GPU of NVIDIA ({platform}), without libtorch

  pip install torch=={torch}      unless it is there
  ./use-torch.sh [PYTHON]         takes libtorch and NVIDIA's libraries from the torch of PYTHON (python3)
  ./host-demo --help              then everything works as docs/ says; --device cuda:0
  ./test-gpu.sh [PYTHON]          what a first day with a card has to show (docs/gpu.md); DEVICE=cpu: on the CPU
  python3 tests/bench/inference.py --device cuda:0 --peers python3
                                  speed, beside PyPI sam2 where PYTHON has it

{glibc}
For research; not a medical device.
"""


def built(*arguments):
    """Programs that cargo builds: {name: path}."""
    command = ["cargo", "build", "--release", "--workspace", "--message-format", "json", *arguments]
    done = subprocess.run(command, cwd=dist.ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        dist.fail("the test programs cannot be built")
    messages = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    return {message["target"]["name"]: message["executable"] for message in messages if message.get("executable")}


def fill(folder, version, crates, name):
    for file in ["libsam_octa2.so", "libsam_octa2_engine.so", "libsam_octa2.json", "host-demo"]:
        dist.copy(dist.BUILT / file, folder / file)
    programs = built(*[word for test in TESTS for word in ("--test", test)], "--example", "inference")
    for test in [*TESTS, "inference"]:
        dist.copy(dist.Path(programs[test]), folder / "tests/programs" / test)
    for file in [*folder.glob("*.so"), folder / "host-demo", *(folder / "tests/programs").iterdir()]:
        dist.run("strip", "--strip-unneeded", file)
    dist.change_rpath(folder / "libsam_octa2_engine.so")
    dist.copy((dist.LIBTORCH / "torch").resolve() / "build-version", folder / "libtorch/build-version")
    for part in DATA:
        dist.copy(dist.ROOT / part, folder / part)
    for script in ["use-torch.sh", "test-gpu.sh"]:
        dist.copy(dist.ROOT / ".setup/gpu" / script, folder / script)
    dist.documents(folder)
    needs = f"Needs glibc {dist.newest(folder, 'GLIBC')} and libstdc++ (GLIBCXX {dist.newest(folder, 'GLIBCXX')}) or newer."
    torch = (folder / "libtorch/build-version").read_text().strip()
    (folder / "README.txt").write_text(README.format(version=version, platform=name, torch=torch, glibc=needs))
    (folder / "licences").mkdir()
    dist.rust_licences(crates, folder / "licences/rust.txt")
    dist.checksums(folder)


if __name__ == "__main__":
    try:
        dist.make(fill, "-cuda")
    except (OSError, KeyboardInterrupt) as error:
        sys.exit(f"dist: {error or 'interrupted'}")
