"""The napari plugin: its manifest and reader, the logic without Qt, and the widget.

napari needs a screen with OpenGL: `xvfb-run -a pytest ...` has one. `SAM_OCTA2_SCREENSHOT=FILE.png` saves what the viewer shows
(docs/images/napari.png).
"""

import os
import time

import numpy as np
import pytest
from conftest import CONFIG, DEMO, MODEL

from sam_octa2 import Volume
from sam_octa2_napari.reader import get_reader
from sam_octa2_napari.segmenter import Segmenter, volume_of


def test_the_reader(tmp_path):
    ((data, about, kind),) = get_reader(str(DEMO))(str(DEMO))
    assert kind == "image" and about["name"] == "volume" and not about["rgb"]
    np.testing.assert_array_equal(data, np.asarray(Volume.open(DEMO)))
    np.testing.assert_allclose(about["scale"], about["metadata"]["sam_octa2"].spacing[::-1])
    assert get_reader([str(DEMO)]) is None


def test_the_volume_of_a_layer(demo):
    opened = Volume.from_array(demo)
    assert volume_of(demo, (1, 1, 1), {"sam_octa2": opened}) is opened
    assert volume_of(opened, (1, 1, 1), {}) is opened
    assert volume_of(demo, (3, 2, 1), {}).spacing == (1, 2, 3)
    assert volume_of(demo[0], (2, 1), {}).shape == (1, 256, 256)
    colour = np.zeros((16, 16, 3), np.uint8)
    assert volume_of(colour, (2, 1), {}).shape == (1, 16, 16, 3)
    assert volume_of(colour[np.newaxis], (1, 2, 1), {}).shape == (1, 16, 16, 3)


def test_segmenting_without_qt(volume, model, tmp_path):
    segmenter = Segmenter(volume, model)
    segmenter.labels[0, :20] = 9  # drawn by hand
    mask = segmenter.click(0, 126, 131)
    segmenter.click(0, 40, 40, object=2)
    segmenter.click(0, 10, 10, object=2, positive=False)
    places, positive = segmenter.prompts()
    assert places.tolist() == [[0, 126, 131], [0, 40, 40], [0, 10, 10]] and positive == [True, True, False]
    assert (segmenter.labels[0, :20] == 9).all()
    done = [(slice.frame, slice.done, slice.total) for slice in segmenter.follow("both")]
    assert done == [(frame, frame + 1, 4) for frame in range(4)]
    drawn = segmenter.labels == 9
    np.testing.assert_array_equal(segmenter.labels[~drawn], np.asarray(segmenter.session.labels())[~drawn])
    segmenter.save(str(tmp_path / "labels.nii.gz"))
    assert Volume.open(tmp_path / "labels.nii.gz").shape == volume.shape
    segmenter.undo(0, 2)
    segmenter.clear(0, 2)
    assert len(segmenter.prompts()[0]) == 1 and mask.object == 1


napari = pytest.importorskip("napari")
on_screen = pytest.mark.skipif("DISPLAY" not in os.environ, reason="needs a screen: xvfb-run -a pytest ...")


def test_the_manifest():
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_distribution("sam-octa2")
    manifest.validate_imports()
    assert {command.id for command in manifest.contributions.commands} == {"sam-octa2.read", "sam-octa2.widget"}


@pytest.fixture
def viewer():
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1120, 700)
    yield viewer
    viewer.close()


def wait(condition, seconds=120):
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        QApplication.processEvents()
        time.sleep(0.01)
    QApplication.processEvents()


@on_screen
def test_the_widget(viewer, tmp_path):
    viewer.open(DEMO, plugin="sam-octa2")
    dock, widget = viewer.window.add_plugin_dock_widget("sam-octa2", "SAM-OCTA2")
    layer = viewer.layers["volume"]
    widget.model.setCurrentText(str(MODEL))
    widget.config.setCurrentText(str(CONFIG))
    viewer.dims.set_current_step(0, 5)

    widget.click(layer.data_to_world((5, 126, 131)))
    wait(lambda: not widget.busy)
    labels = viewer.layers["volume labels"]
    assert set(np.unique(labels.data[5])) == {0, 1} and not labels.data[4].any()
    widget.object.setValue(2)
    click(viewer, layer.data_to_world((5, 206, 41)), "Shift")
    click(viewer, layer.data_to_world((5, 20, 20)), "Control")
    click(viewer, layer.data_to_world((5, 90, 90)))  # without a key: nothing
    wait(lambda: not widget.busy)
    np.testing.assert_allclose(viewer.layers["volume clicks"].data, [[5, 126, 131], [5, 206, 41], [5, 20, 20]], atol=1e-3)
    assert set(np.unique(labels.data[5])) == {0, 1, 2}

    widget.follow()
    wait(lambda: not widget.busy, 300)
    assert widget.progress.value() == widget.progress.maximum() == 12, widget.status.text()
    np.testing.assert_array_equal(labels.data, np.asarray(widget.segmenter.session.labels()))
    assert all(frame.any() for frame in labels.data)
    assert widget.grab().toImage().width() > 100
    if os.environ.get("SAM_OCTA2_SCREENSHOT"):
        viewer.reset_view()
        wait(lambda: True)
        Image = pytest.importorskip("PIL.Image")
        shot = Image.fromarray(viewer.screenshot(canvas_only=False)).convert("RGB")
        shot.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(os.environ["SAM_OCTA2_SCREENSHOT"], optimize=True)

    widget.undo()
    wait(lambda: not widget.busy)
    assert len(viewer.layers["volume clicks"].data) == 2
    widget.save(str(tmp_path / "labels.nii.gz"))
    wait(lambda: not widget.busy)
    np.testing.assert_array_equal(np.asarray(Volume.open(tmp_path / "labels.nii.gz")), labels.data)

    widget.follow()
    wait(lambda: widget.progress.value() < 9)
    widget.cancel()
    wait(lambda: not widget.busy)
    assert widget.status.text() == "cancelled"
    widget.object.setValue(3)
    widget.undo()
    wait(lambda: not widget.busy)
    assert "3" in widget.status.text(), "an error is shown"

    widget.follow()
    viewer.window.remove_dock_widget(dock)
    click(viewer, layer.data_to_world((5, 126, 131)), "Shift")
    viewer.layers.remove("volume clicks")
    wait(lambda: not widget.busy)


@on_screen
def test_large_files_stay_on_disk(viewer, tmp_path, monkeypatch):
    np.save(tmp_path / "stack.npy", np.arange(5 * 16 * 16, dtype=np.uint16).reshape(5, 16, 16))
    volume = Volume.open(tmp_path / "stack.npy")
    layer = viewer.add_image(volume)  # what the reader gives for them
    viewer.dims.set_current_step(0, 3)
    wait(lambda: True)
    assert layer.data is volume and layer.get_value((3, 2, 1)) == 3 * 256 + 2 * 16 + 1


def click(viewer, place, *modifiers):
    """As from the mouse."""
    from types import SimpleNamespace

    event = SimpleNamespace(type="mouse_press", position=place, modifiers=modifiers)
    for callback in viewer.mouse_drag_callbacks:
        steps = callback(viewer, event)
        if steps is not None:
            next(steps, None)
            event.type = "mouse_release"
            next(steps, None)
            event.type = "mouse_press"
