"""Finding and opening the library, the manifest, errors."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import sam_octa2
from sam_octa2 import InvalidArgument, SamOcta2Error, Volume


def test_the_version_is_the_plugins():
    manifest = json.loads((ROOT / "plugin/libsam_octa2.json").read_text())
    project = re.search(r'^version = "(.*)"$', (ROOT / "plugin/python/pyproject.toml").read_text(), re.MULTILINE)
    assert sam_octa2.__version__ == project.group(1) == manifest["version"]
    loaded = sam_octa2.load().manifest
    assert {key: loaded[key] for key in ("version", "c_abi", "torch")} == {key: manifest[key] for key in ("version", "c_abi", "torch")}


def test_where_the_library_is_looked_for(tmp_path, monkeypatch):
    one, other = tmp_path / "libsam_octa2.so", tmp_path / "other.so"
    one.touch(), other.touch()
    monkeypatch.setenv("SAM_OCTA2_PLUGIN", str(other))
    assert sam_octa2.find() == other
    assert sam_octa2.find(one) == sam_octa2.find(tmp_path) == one
    monkeypatch.setenv("SAM_OCTA2_PLUGIN", "/nowhere.so")
    with pytest.raises(SamOcta2Error, match=r"^\$SAM_OCTA2_PLUGIN: /nowhere.so: not there$") as caught:
        sam_octa2.find()
    assert caught.value.code == "not_found"


def test_the_manifest_is_read_without_loading(tmp_path):
    (tmp_path / "libsam_octa2.so").write_text("no library")
    (tmp_path / "libsam_octa2.json").write_text('{"version": "9.9.9"}')
    assert sam_octa2.manifest(tmp_path) == {"version": "9.9.9"}


@pytest.mark.parametrize(
    "make, message",
    [(lambda p: p.write_text("no library"), "is no SAM-OCTA2 library"), (lambda p: p.write_bytes(Path("/lib/x86_64-linux-gnu/libm.so.6").read_bytes()), "is no SAM-OCTA2 library")],
)
def test_something_else_is_refused(make, message, tmp_path, elsewhere):
    make(tmp_path / "libsam_octa2.so")
    code = "import sam_octa2\ntry: sam_octa2.load()\nexcept sam_octa2.SamOcta2Error as e: print(e)"
    told = elsewhere(code, SAM_OCTA2_PLUGIN=str(tmp_path))
    assert message in told and "\n" not in told


def test_one_library_in_a_process(tmp_path):
    (tmp_path / "libsam_octa2.so").touch()
    assert sam_octa2.load() is sam_octa2.load(sam_octa2.load().file)
    with pytest.raises(InvalidArgument, match="can use only one"):
        sam_octa2.load(tmp_path)


def test_loading_needs_no_libtorch(elsewhere):
    code = "import sam_octa2; sam_octa2.load(); print(open('/proc/self/maps').read().count('libtorch'))"
    assert elsewhere(code) == "0"


def test_errors_say_what_and_where(tmp_path):
    with pytest.raises(SamOcta2Error, match="nowhere.nii") as caught:
        Volume.open(tmp_path / "nowhere.nii")
    error = caught.value
    assert (error.status, error.code) == (-3, "not_found")
    assert error.detail == {"file": str(tmp_path / "nowhere.nii"), "os_error": 2}
    assert "\n" not in str(error)
    with pytest.raises(InvalidArgument, match="zero character"):
        Volume.open("a\0b")
    with pytest.raises(InvalidArgument, match="options"):
        Volume.open(tmp_path, spacing="wide")


def test_capabilities():
    told = sam_octa2.capabilities()
    assert told["torch"] == sam_octa2.manifest()["torch"]
    assert {model["name"] for model in sam_octa2.models()} >= {"tiny", "2.1-large"}
    sam_octa2.set_threads(0)
    with pytest.raises(InvalidArgument):
        sam_octa2.set_threads(-1)


def test_whole_tasks():
    told = sam_octa2.task("info", {"input": ROOT / "tests/data/demo/volume.nii.gz"})
    assert told["report"]["shape"][:3] == [12, 256, 256]


def test_info_and_convert_need_no_libtorch(elsewhere, tmp_path):
    source, target = str(ROOT / "tests/data/demo/volume.nii.gz"), str(tmp_path / "volume.npy")
    code = f"""import sam_octa2
print(sam_octa2.task("info", {{"input": {source!r}}})["report"]["format"])
sam_octa2.task("convert", {{"input": {source!r}, "output": {target!r}}})
print(open("/proc/self/maps").read().count("libtorch"))"""
    assert elsewhere(code).split() == ["nifti", "0"]
    assert np.load(target).shape == (12, 256, 256)


def test_a_failure_inside_is_an_error():
    library = sam_octa2.load()
    with pytest.raises(SamOcta2Error) as caught:
        library.call("selftest", b"panic", None)
    assert caught.value.code == "panic"
    assert sam_octa2.capabilities()
