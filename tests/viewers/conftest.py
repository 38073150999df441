"""A server of the small model for the tests of viewers. SAM_OCTA2_HOST names another host-demo than that of `make build`."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST = os.environ.get("SAM_OCTA2_HOST", str(ROOT / "target/release/host-demo"))
VOLUME = ROOT / "tests/data/demo/volume.nii.gz"


def start(*arguments):
    """Starts `host-demo serve` on a free port: the process and its address."""
    if not Path(HOST).is_file():
        pytest.skip(f"{HOST} is not built: make build")
    model = ["--model", ROOT / "sam2_weights/nano.safetensors", "--device", "cpu", "--precision", "f32"]
    process = subprocess.Popen([HOST, "serve", *model, "--port", "0", *arguments], stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    address = re.search(r"http://[^/ ]+", line)
    if not address:
        process.kill()
        pytest.fail(f"the server did not start: {line!r}")
    return process, address.group()


@pytest.fixture(scope="module")
def served(request):
    """The address of a server; a module's ARGUMENTS go to it."""
    process, address = start(*getattr(request.module, "ARGUMENTS", []))
    yield address
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def voxels(tmp_path_factory):
    """The demo's volume, slices, rows, columns."""
    np = pytest.importorskip("numpy", reason="numpy is not installed")
    if not Path(HOST).is_file():
        pytest.skip(f"{HOST} is not built: make build")
    file = tmp_path_factory.mktemp("volume") / "volume.npy"
    subprocess.run([HOST, "convert", VOLUME, file, "--quiet"], check=True)
    return np.load(file)
