"""The example script, and the example of docs/viewers.md as it stands there."""

import os
import re
import subprocess
import sys

import numpy as np
from conftest import DEMO, ROOT

import sam_octa2
from sam_octa2 import Volume


def run(arguments, folder):
    environment = {**os.environ, "SAM_OCTA2_PLUGIN": str(sam_octa2.load().file)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_the_script(tmp_path):
    script = ROOT / "plugin/python/examples/segment.py"
    done = run([script, "--out", "a.nii.gz"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "slice 11:" in done.stdout and done.stdout.endswith("wrote a.nii.gz\n")
    labels = Volume.open(tmp_path / "a.nii.gz")
    assert labels.shape == Volume.open(DEMO).shape and np.asarray(labels).max() == 1
    wrong = run([script, "nowhere.nii"], tmp_path)
    assert wrong.returncode == 1 and wrong.stderr.startswith("error: ") and wrong.stderr.count("\n") == 1


def test_the_page(tmp_path):
    page = (ROOT / "docs/viewers.md").read_text()
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    (tmp_path / "page.py").write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1))
    done = run(["page.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert Volume.open(tmp_path / "labels.nii.gz").shape == Volume.open(DEMO).shape
