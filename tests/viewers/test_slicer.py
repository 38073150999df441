"""3D Slicer's own core (PyPI `trame-slicer[standalone]`, without a window) opens our .seg.nrrd with names and colours, and we open what it writes.

    python -m venv slicer && slicer/bin/pip install "trame-slicer[standalone]==2.0.0" pytest requests && slicer/bin/pytest tests/viewers/test_slicer.py
"""

import json
import subprocess

import pytest

from conftest import HOST, ROOT, VOLUME

np = pytest.importorskip("numpy", reason="numpy is not installed")
core = pytest.importorskip("trame_slicer.core", reason='Slicer\'s core is not installed (pip install "trame-slicer[standalone]")')

SCRIPT = """
let volume = open_volume(arg("volume"));
let session = new_session(volume, load_model(arg("model"), #{precision: "f32", device: "cpu"}));
session.points(0, 1, [[128, 128]]);
session.points(0, 2, [[40, 60]]);
session.set_object(1, #{name: "Foveal avascular zone", colour: "#ff0080"});
session.set_object(2, #{name: "Vessel", colour: "#00c040"});
session.labels().save(arg("out") + "/labels.seg.nrrd");
session.labels().save(arg("out") + "/labels.npy");
"""


def host(*arguments):
    done = subprocess.run([HOST, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Two objects with names and colours, written for Slicer and for numpy."""
    folder = tmp_path_factory.mktemp("slicer")
    (folder / "name.rhai").write_text(SCRIPT)
    model = ROOT / "sam2_weights/nano.safetensors"
    host("run", folder / "name.rhai", "--quiet", "--set", f"volume={VOLUME}", "--set", f"model={model}", "--set", f"out={folder}",
         "--allow", folder, "--allow", VOLUME, "--allow", model)
    return folder


def bounded(labels):
    """The part that has labels."""
    places = np.nonzero(labels)
    return labels[tuple(slice(place.min(), place.max() + 1) for place in places)].astype(int)


def test_names_colours_and_voxels_arrive_and_come_back(labels):
    from vtk.util.numpy_support import vtk_to_numpy

    app = core.SlicerApp()
    node = app.io_manager.load_segmentation(str(labels / "labels.seg.nrrd"))
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetNthSegment(at) for at in range(segmentation.GetNumberOfSegments())]
    colours = [tuple(round(255 * part) for part in segment.GetColor()) for segment in segments]
    assert [segment.GetName() for segment in segments] == ["Foveal avascular zone", "Vessel"]
    assert colours == [(255, 0, 128), (0, 192, 64)]
    ours = np.load(labels / "labels.npy")
    image = node.GetBinaryLabelmapInternalRepresentation("Segment_1")
    theirs = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    for segment in segments:
        number = segment.GetLabelValue()
        assert (theirs == number).sum() == (ours == number).sum() > 0

    back = labels / "slicer.seg.nrrd"
    app.io_manager.write_segmentation(node, str(back))
    host("convert", back, labels / "back.npy", "--quiet")
    assert np.array_equal(bounded(np.load(labels / "back.npy")), bounded(ours))  # Slicer writes the part with segments in it
    about = json.loads(host("info", back, "--json"))
    assert about["spacing"] == pytest.approx(json.loads(host("info", VOLUME, "--json"))["spacing"])
