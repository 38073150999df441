"""ImageJ (Debian: `apt install imagej xvfb`) runs scripts/imagej/SAM_OCTA2.ijm on a stack: points and a rectangle of the ROI manager come back as a stack
of labels and as regions."""

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import HOST, ROOT, VOLUME

JAR = Path("/usr/share/java/ij.jar")
MACRO = ROOT / "scripts/imagej/SAM_OCTA2.ijm"
np = pytest.importorskip("numpy", reason="numpy is not installed")
for missing in [what for what in ("java", "xvfb-run") if shutil.which(what) is None] + [str(JAR)] * (not JAR.is_file()):
    pytest.skip(f"{missing} is not there (apt install imagej xvfb)", allow_module_level=True)

# What a user does by hand: a point, T, a rectangle on the third slice, T, run the macro.
USER = """
arguments = split(getArgument(), "|");
open(arguments[0]);
makePoint(131, 126);
setSlice(1);
roiManager("add");
makeRectangle(30, 50, 40, 40);
setSlice(3);
roiManager("add");
run("Select None");
runMacro(arguments[1], arguments[2]);
text = "" + nSlices + "|" + bitDepth() + "|" + getTitle();
for (i = 0; i < roiManager("count"); i++) { roiManager("select", i); text = text + "\\n" + Roi.getName; }
roiManager("deselect");
run("Grays"); // without the table of colours the file holds numbers
saveAs("Tiff", arguments[3] + "/shown.tif");
File.saveString(text, arguments[3] + "/regions.txt");
run("Quit");
"""


def imagej(folder, *arguments):
    (folder / "user.ijm").write_text(USER)
    command = ["xvfb-run", "-a", "java", "-cp", JAR, "ij.ImageJ", "-macro", folder / "user.ijm", "|".join(map(str, arguments))]
    subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)  # a dialog waits for ever


def test_marks_become_labels_and_regions(tmp_path):
    if not Path(HOST).is_file():
        pytest.skip(f"{HOST} is not built: make build")
    stack = tmp_path / "stack.tif"
    subprocess.run([HOST, "convert", VOLUME, stack, "--quiet"], check=True)
    imagej(tmp_path, stack, MACRO, f"host={HOST} model={ROOT / 'sam2_weights/nano.safetensors'} follow=forward", tmp_path)
    head, *regions = (tmp_path / "regions.txt").read_text().splitlines()
    assert head == "12|8|Objects of stack.tif"
    assert "object 1, slice 1" in regions and "object 2, slice 3" in regions and "object 2, slice 1" not in regions
    subprocess.run([HOST, "convert", tmp_path / "shown.tif", tmp_path / "shown.npy", "--quiet"], check=True)
    labels = np.load(tmp_path / "shown.npy")
    assert labels.shape == (12, 256, 256) and labels[0, 126, 131] == 1
    listed = {tuple(int(word) for word in region.replace(",", "").split() if word.isdigit()) for region in regions}
    assert listed == {(number, k + 1) for k in range(12) for number in (1, 2) if (labels[k] == number).any()}
