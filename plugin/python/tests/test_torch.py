"""PyTorch in the same process.

With a real one: `SAM_OCTA2_TEST_TORCH=PYTHON`, an interpreter that has numpy and any version of torch.
"""

import importlib.util
import os
import subprocess

import pytest
from conftest import CONFIG, DEMO, MODEL, ROOT

import sam_octa2

WORK = f"""
def torch_works():
    import torch
    assert float((torch.ones(3, 3) @ torch.ones(3, 3)).sum()) == 27
def plugin_works():
    from sam_octa2 import Model, Session, Volume
    mask = Session(Volume.open({str(DEMO)!r}), Model.load({str(MODEL)!r}, {str(CONFIG)!r}, device="cpu", precision="f32")).click(0, 131, 126)
    print(mask.numpy("logits").tobytes().hex()[:4096], mask.area)
    return mask
"""


@pytest.fixture
def python():
    """Runs code with the real torch; what it printed, the last line of its errors."""
    interpreter = os.environ.get("SAM_OCTA2_TEST_TORCH")
    if not interpreter:
        pytest.skip("SAM_OCTA2_TEST_TORCH names no Python with torch")

    def run(code):
        folders = [str(ROOT / "plugin/python"), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "SAM_OCTA2_PLUGIN": str(sam_octa2.load().file)}
        done = subprocess.run([interpreter, "-c", WORK + code], capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode in (0, 1), f"died with {done.returncode}: {done.stderr}"
        return done.stdout.strip(), (done.stderr.strip().splitlines() or [""])[-1]

    return run


def test_either_order(python):
    version, error = python("import torch; print(torch.__version__)")
    assert not error, error
    alone, _ = python("plugin_works()")
    torch_first, one = python("torch_works(); plugin_works()")
    plugin_first, other = python("plugin_works(); torch_works()")
    assert plugin_first == alone
    if version.split("+")[0] == sam_octa2.manifest()["torch"]:
        assert torch_first == alone and not one and not other
        same = "import torch; m = plugin_works(); t = torch.from_dlpack(m); assert t.sum() == m.area; t.zero_(); assert m.numpy().sum() == m.area"
        assert python(same) == (alone, "")
    else:
        assert one.startswith("sam_octa2._errors.SamOcta2Error: libtorch " + version)
        assert other.startswith("ImportError: torch " + version.split("+")[0]) and "process without torch" in other


@pytest.mark.parametrize("version, refused", [("2.12.1+cpu", True), ("2.13.0+cu130", False), ("2.13.0", False)])
def test_a_later_import_of_torch(version, refused, tmp_path, elsewhere):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("print('imported')")
    (tmp_path / "torch-0.dist-info").mkdir()
    (tmp_path / "torch-0.dist-info/METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import sam_octa2; sam_octa2.load()
if {refused}: import importlib.util; assert importlib.util.find_spec("torch")  # the engine is not open yet
sam_octa2.start(); sam_octa2.start()
try: import torch
except ImportError as error: print(error)
print(len(sys.meta_path), sam_octa2.capabilities()["torch"])
"""
    told = elsewhere(code)
    assert told.startswith(f"torch {version} cannot be imported here" if refused else "imported"), told
    assert told.endswith(sam_octa2.manifest()["torch"])


def test_without_torch_nothing_changes():
    if importlib.util.find_spec("torch") is None:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("torch")
