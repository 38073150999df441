"""Drives `host-demo serve` with MONAI Label's own client. Skips with a message where it is missing.

    pip install pytest numpy requests && pip install --no-deps monailabel==0.8.5
    pytest tests/viewers/test_monai.py
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

import pytest
from conftest import HOST, VOLUME, start

np = pytest.importorskip("numpy", reason="numpy is not installed")
pytest.importorskip("requests", reason="requests is not installed")

ARGUMENTS = ["--follow", "4"]


def client_class():
    """`monailabel/client/client.py` alone: the package itself wants torch and MONAI."""
    spec = importlib.util.find_spec("monailabel")
    folder = Path(spec.submodule_search_locations[0]) if spec else None
    if not folder or not (folder / "client/client.py").is_file():
        pytest.skip("monailabel is not installed: pip install --no-deps monailabel==0.8.5")
    module = types.ModuleType("monai_client")
    sys.modules["monai_client"] = module
    exec(compile((folder / "client/client.py").read_text(), "client.py", "exec"), module.__dict__)
    return module.MONAILabelClient


def labels(file, folder):
    """A label file as numbers, slices, rows, columns."""
    import subprocess

    out = folder / "read.npy"
    subprocess.run([HOST, "convert", file, out, "--quiet"], check=True)
    return np.load(out)


def test_clicks_on_an_image_that_was_sent(served, tmp_path, voxels):
    client = client_class()(served, tmpdir=str(tmp_path))
    info = client.info()
    assert "nano" in info["models"] and "config" not in info
    assert client.upload_image(str(VOLUME), "scan")["image"] == "scan"
    params = {"foreground": [[131, 126, 6]], "background": [], "result_extension": ".nrrd", "result_dtype": "uint8"}
    file, result = client.infer("nano", "scan", params)
    mask = labels(file, tmp_path)
    assert result["label_names"] == {"object": 1} and mask.shape == voxels.shape and mask[6, 126, 131] != 0
    file, _ = client.infer("nano", "scan", {**params, "background": [[10, 10, 6]]})
    assert labels(file, tmp_path)[6, 10, 10] == 0


def test_sessions(served, tmp_path):
    client = client_class()(served, tmpdir=str(tmp_path))
    session = client.create_session(str(VOLUME))["session_id"]
    assert client.get_session(session)
    file, _ = client.infer("nano", "", {"foreground": [[131, 126, 6]]}, session_id=session)
    assert labels(file, tmp_path).any()
    client.remove_session(session)
    with pytest.raises(Exception):
        client.get_session(session)


def test_errors(served, tmp_path):
    client = client_class()(served, tmpdir=str(tmp_path))
    for model, image, params in (("other", "scan", {}), ("nano", "unknown", {}), ("nano", "scan", {"foreground": [[999, 1, 1]]})):
        with pytest.raises(Exception):
            client.infer(model, image, params)


def test_login_with_the_token(tmp_path):
    import requests

    process, address = start("--token", "0123456789abcdef")
    try:
        assert requests.get(f"{address}/auth/", timeout=30).json() == {"enabled": True}
        assert requests.get(f"{address}/info/", timeout=30).status_code == 401
        wrong = requests.post(f"{address}/auth/token", data={"username": "u", "password": "wrong"}, timeout=30)
        assert wrong.status_code == 401
        right = requests.post(f"{address}/auth/token", data={"username": "u", "password": "0123456789abcdef"}, timeout=30).json()
        headers = {"Authorization": f"Bearer {right['access_token']}"}
        assert requests.get(f"{address}/info/", headers=headers, timeout=30).status_code == 200
    finally:
        process.kill()
        process.wait()


def test_nothing_is_stored(served, tmp_path):
    import requests

    answer = requests.put(f"{served}/datastore/label", params={"image": "scan"}, files={"label": b"x"}, timeout=30)
    assert answer.status_code == 501 and "save" in json.loads(answer.text)["detail"]
