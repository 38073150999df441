"""Asks `host-demo serve` what ITK-SNAP 4.4 asks, and where PyPI `itksnap-dls` is installed its reference server (mock models) too: the same
statuses, fields and sizes.

    pip install pytest numpy requests itksnap-dls==0.1.5
    pytest tests/viewers/test_itksnap.py
"""

import base64
import gzip
import importlib.util
import json
import socket
import subprocess
import sys
import time

import pytest

np = pytest.importorskip("numpy", reason="numpy is not installed")
requests = pytest.importorskip("requests", reason="requests is not installed")

ARGUMENTS = ["--follow", "4"]
CLICK = (131, 126, 6)


class Snap:
    """ITK-SNAP's side."""

    def __init__(self, address, volume):
        self.address, self.volume = address, volume

    def get(self, path, **query):
        return requests.get(f"{self.address}/{path}", params=query, timeout=300)

    def send(self, path, array, **query):
        z, y, x = array.shape
        identity = [1, 0, 0, 0, 1, 0, 0, 0, 1]
        metadata = {"dimensions": [x, y, z], "spacing": [1, 1, 1], "origin": [0, 0, 0], "direction": identity,
                    "components_per_pixel": 1, "component_type": "float32"}
        files = {"file": ("image.gz", gzip.compress(array.astype("<f4").tobytes(), 1), "application/gzip"),
                 "metadata": (None, json.dumps(metadata), "application/json")}
        return requests.post(f"{self.address}/{path}", params=query, files=files, timeout=300)

    def mask(self, answer):
        assert answer.status_code == 200, answer.text
        raw = gzip.decompress(base64.b64decode(answer.json()["result"], validate=True))
        assert len(raw) == self.volume.size, "ITK-SNAP reads every voxel"
        mask = np.frombuffer(raw, "int8").reshape(self.volume.shape)
        assert set(np.unique(mask)) <= {0, 1}
        return mask

    def conversation(self):
        """What a user does; the masks."""
        version = self.get("status").json()["version"]
        assert [int(part) for part in version.split(".")] >= [0, 1, 2]
        session = self.get("start_session").json()["session_id"]
        answer = self.send(f"upload_raw/{session}", self.volume, filename="upload.nii.gz")
        assert answer.status_code == 200, answer.text
        x, y, z = CLICK
        yield self.mask(self.get(f"process_point_interaction/{session}", x=x, y=y, z=z, foreground="true"))
        assert self.get(f"reset_interactions/{session}").status_code == 200
        drawn = np.zeros(self.volume.shape, "float32")
        drawn[z, y, x - 10 : x + 10] = 1
        yield self.mask(self.send(f"process_scribble_interaction/{session}", drawn, foreground="true"))
        assert self.get(f"reset_interactions/{session}").status_code == 200
        drawn[z, y - 10 : y + 10, x - 10 : x + 10] = 1
        yield self.mask(self.send(f"process_lasso_interaction/{session}", drawn, foreground="true"))


@pytest.fixture(scope="module")
def reference():
    if not all(importlib.util.find_spec(name) for name in ("itksnap_dls", "torch", "fastapi")):
        pytest.skip("itksnap-dls is not installed: pip install itksnap-dls==0.1.5")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "itksnap_dls", "--mock-models", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            if process.poll() is not None:
                pytest.skip(f"itksnap-dls does not start: {process.stdout.read()[-300:]}")
            try:
                requests.get(f"{address}/status", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.2)
        yield address
    finally:
        process.kill()
        process.wait()


def test_a_user_of_itk_snap(served, voxels):
    point, scribble, lasso = Snap(served, voxels).conversation()
    x, y, z = CLICK
    assert point[z, y, x] == 1 and scribble.any() and lasso[z, y - 10 : y + 10, x - 10 : x + 10].all()
    assert lasso[z].sum() == 400


def test_the_reference_server_answers_alike(served, reference, voxels):
    ours, theirs = Snap(served, voxels), Snap(reference, voxels)
    for path in ("status", "start_session", "v2/models"):
        one, other = ours.get(path), theirs.get(path)
        if other.status_code == 200:
            missing = set(other.json()) - set(one.json())
            assert one.status_code == 200 and not missing, f"{path} lacks {missing}"
            assert all(type(one.json()[key]) is type(value) for key, value in other.json().items())
    for one, other in zip(ours.conversation(), theirs.conversation()):
        assert one.shape == other.shape and one.any() and other.any()


def test_failures_are_never_a_success(served, voxels):
    snap = Snap(served, voxels)
    assert snap.get("process_point_interaction/unknown", x=1, y=1, z=1, foreground="true").status_code == 404
    session = snap.get("start_session").json()["session_id"]
    assert snap.get(f"process_point_interaction/{session}", x=1, y=1, z=1, foreground="true").status_code == 409
    assert snap.send(f"process_lasso_interaction/{session}", voxels, foreground="true").status_code == 409
    assert snap.send(f"upload_raw/{session}", voxels).status_code == 200
    answer = snap.send(f"process_scribble_interaction/{session}", voxels[:3], foreground="true")
    assert answer.status_code == 400 and "\n" not in answer.text.strip()
