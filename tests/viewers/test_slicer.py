"""3D Slicer's own core (PyPI `trame-slicer[standalone]`, without a window) opens our .seg.nrrd with names and colours, and we open what it writes.

    python -m venv slicer && slicer/bin/pip install "trame-slicer[standalone]==2.0.0" pytest requests && slicer/bin/pytest tests/viewers/test_slicer.py
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import HOST, ROOT, VOLUME

os.environ.setdefault("SAM_OCTA2_PLUGIN", str(Path(HOST).parent / "libsam_octa2.so"))
sys.path.insert(0, str(ROOT / "plugin/python"))
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


@pytest.fixture(scope="module")
def editor(tmp_path_factory):
    """A segment editor with the demo's volume, an empty segment and our effect."""
    from undo_stack import UndoStack

    from sam_octa2 import Model
    from sam_octa2_slicer.effect import SamOctaEffect

    app = core.SlicerApp()
    volume = app.io_manager.load_volumes(str(VOLUME))[0]
    editor = app.segmentation_editor
    stack = UndoStack()
    editor.set_undo_stack(stack)
    editor.set_active_segmentation(editor.create_empty_segmentation_node(), volume)
    segment = editor.add_empty_segment(segment_name="Vessel", segment_color=[1.0, 0.0, 0.5])
    editor.set_active_segment_id(segment)
    effect = editor.set_active_effect_type(SamOctaEffect)
    effect.model = Model.load(str(ROOT / "sam2_weights/nano.safetensors"), precision="f32", device="cpu")
    return app, editor, effect, stack, segment


def test_a_click_in_millimetres_fills_the_segment_and_undo_takes_both_back(editor):
    app, editor, effect, stack, segment = editor
    segmenter = effect.segmenter()
    ras = (segmenter.affine @ [131, 126, 2, 1])[:3]
    assert np.allclose(segmenter.ijk(tuple(ras)), [131, 126, 2])
    area = effect.click(tuple(ras))
    inside = editor.get_segment_labelmap(segment, as_numpy_array=True)
    assert inside.sum() == area > 0 and inside[2, 126, 131] == 1
    assert segmenter.session.mask_of(2, 1).area == area
    about = segmenter.session.object(1)
    assert (about["name"], about["colour"]) == ("Vessel", "#ff0080")

    slices = effect.follow("both", slices=2)
    followed = editor.get_segment_labelmap(segment, as_numpy_array=True)
    assert slices == 5 and {k for k in range(len(followed)) if followed[k].any()} <= {0, 1, 2, 3, 4} and followed.sum() > area
    stack.undo()
    assert editor.get_segment_labelmap(segment, as_numpy_array=True).sum() == area
    assert segmenter.session.describe()["objects"][0]["frames"] == [2]
    stack.redo()
    assert editor.get_segment_labelmap(segment, as_numpy_array=True).sum() == followed.sum()


def test_what_cannot_be_is_said(editor):
    from sam_octa2 import InvalidArgument

    _, editor, effect, *_ = editor
    with pytest.raises(InvalidArgument, match="outside of the volume"):
        effect.click((1e4, 0.0, 0.0))


def test_left_clicks_in_a_slice_view_are_taken(editor):
    from slicer import vtkMRMLInteractionEventData, vtkMRMLSliceNode, vtkMRMLViewNode
    from vtkmodules.vtkCommonCore import vtkCommand
    from vtkmodules.vtkInteractionWidgets import vtkEvent

    _, editor, effect, *_ = editor
    assert effect.create_pipeline(vtkMRMLViewNode(), effect.get_parameter_node()) is None
    pipeline = effect.create_pipeline(vtkMRMLSliceNode(), effect.get_parameter_node())
    pipeline.SetActive(True)
    event = vtkMRMLInteractionEventData()
    event.SetType(int(vtkCommand.MouseMoveEvent))
    assert not pipeline.CanProcessInteractionEvent(event)[0]
    event.SetType(int(vtkCommand.LeftButtonPressEvent))
    event.SetWorldPosition(list((effect.segmenter().affine @ [40, 60, 2, 1])[:3]))
    event.SetModifiers(vtkEvent.ControlModifier)
    assert pipeline.CanProcessInteractionEvent(event)[0] and pipeline.ProcessInteractionEvent(event)
    prompts = effect.segmenter().session.describe()["objects"][0]["prompts"]
    assert [point[:2] for prompt in prompts for point in prompt.get("points", [])][-1] == pytest.approx([40, 60], abs=1e-3)
