"""What the tests share: the library (`$SAM_OCTA2_PLUGIN` or the checkout's), the demo volume, the small model with random weights."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sam_octa2
from sam_octa2 import Model, Session, Volume

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "tests/data/demo/volume.nii.gz"
MODEL = ROOT / "tests/data/parity/mini21.pt"
CONFIG = ROOT / "tests/data/parity/mini21.yaml"


def pytest_configure(config):
    try:
        sam_octa2.load()
    except sam_octa2.SamOcta2Error as error:
        pytest.exit(str(error), returncode=4)


@pytest.fixture(scope="session")
def model():
    return Model.load(MODEL, CONFIG, device="cpu", precision="f32")


@pytest.fixture(scope="session")
def demo():
    """The demo volume as an array."""
    return np.asarray(Volume.open(DEMO))


@pytest.fixture
def volume(demo):
    """Its first four slices, lent."""
    return Volume.from_array(demo[:4], np.diag([0.5, 0.25, 2.0, 1.0]))


@pytest.fixture
def session(volume, model):
    with Session(volume, model) as session:
        yield session


@pytest.fixture
def elsewhere():
    """Runs Python code in a process of its own; what it printed."""

    def run(code, **environment):
        import os

        result = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "SAM_OCTA2_PLUGIN": str(sam_octa2.load().file), **environment},
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout.strip()

    return run
