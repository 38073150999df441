"""The dock widget: choose an image and a model, mark, follow, save. All work runs in napari's worker threads, one job at a time (`jobs`); what is shown stands
in `shown`."""

from __future__ import annotations

from typing import Any, Dict, Iterator, Optional, Tuple

import napari
import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from sam_octa2 import InvalidArgument, Model, SamOcta2Error, Script, Slice, capabilities

from .grid import data_of, shape_of, volume_of
from .jobs import Jobs
from .segmenter import Segmenter
from .shown import Shown

SIZES = ["2.1-tiny", "2.1-small", "2.1-base_plus", "2.1-large", "tiny", "small", "base_plus", "large"]
HELP = "Shift-click: on the object. Ctrl-click: beside it. Shift-drag: a box. Paint into the labels to correct."
FIND_ALL = """
let options = #{};
for key in ["config", "device"] { if arg(key, "") != "" { options[key] = arg(key, ""); } }
let model = load_model(arg("model"), options);
if !model.dense_head { throw `${arg("model")} finds nothing without a prompt; nano does` }
let found = model.segment_all(arg("volume"));
[found.vessels, found.faz]
"""

#: what decides about a session: the layer, its data, model, configuration, device
Choice = Tuple[Any, Any, str, str, str]


class SegmentWidget(QWidget):
    """Segments an image layer with SAM-OCTA2."""

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        # napari hands out proxies that are new at each access: layers must be themselves to be told apart
        self.viewer: Any = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.segmenter: Optional[Segmenter] = None
        self.shown: Optional[Shown] = None
        self._began_with: Optional[Choice] = None
        self._models: Dict[Tuple[str, str, str], Model] = {}
        self._attached = False
        self._docked = False
        self._build()
        self.jobs = Jobs(self._working, self._slice_done, self._finished)
        self.attach()

    # the widget's parts

    def _build(self) -> None:
        self.image = QComboBox()
        names, devices = _at_hand()
        self.model = _choice(names, "an official size or a file")
        self.config = _choice(["", *SIZES], "only for files that do not say it")
        self.device = QComboBox()
        self.device.addItems(["auto", *devices])
        self.object = QSpinBox(minimum=1, maximum=65535)
        self.direction = QComboBox()
        self.direction.addItems(["both", "forward", "backward"])
        self.progress = QProgressBar()
        self.status = QLabel(HELP, wordWrap=True)
        form = QFormLayout()
        form.addRow("Image", self.image)
        form.addRow("Model", _row(self.model, _button("…", lambda: self._browse(self.model, "Model"))))
        form.addRow("Configuration", _row(self.config, _button("…", lambda: self._browse(self.config, "Configuration"))))
        form.addRow("Device", self.device)
        form.addRow("Object", self.object)
        form.addRow("Direction", self.direction)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        for pair in (
            (_button("Follow", self.follow), _button("Cancel", self.cancel)),
            (_button("Undo", self.undo), _button("Redo", self.redo)),
            (_button("Remove last prompt", self.take_back), _button("Clear slice", self.clear)),
            (_button("Labels as mask", self.mask_from_labels), _button("Find all", self.find_all)),
            (_button("New session", self.restart), _button("Save labels…", self._ask_and_save)),
        ):
            layout.addWidget(_row(*pair))
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addStretch()

    def _browse(self, field: QComboBox, title: str) -> None:
        path, _ = QFileDialog.getOpenFileName(self, title)
        if path:
            field.setCurrentText(path)

    def _ask_and_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Labels", "labels.nii.gz", "*.nii.gz *.nii *.tif *.npy *.json *.dcm")
        if path:
            self.save(path)

    # in the viewer, and out of it

    def attach(self) -> None:
        """Listens to the viewer."""
        if self._attached:
            return
        self._attached = True
        layers = self.viewer.layers.events
        for event in (layers.inserted, layers.removed, layers.reordered):
            event.connect(self._list_layers)
        layers.removed.connect(self._removed)
        self.viewer.mouse_drag_callbacks.append(self._clicked)
        self._list_layers()

    def detach(self) -> None:
        """Stops its work and listens no more: the dock was closed."""
        if not self._attached:
            return
        self._attached = False
        self.jobs.cancel()
        layers = self.viewer.layers.events
        for event in (layers.inserted, layers.removed, layers.reordered):
            event.disconnect(self._list_layers)
        layers.removed.disconnect(self._removed)
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._list_layers)
        if self._clicked in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._clicked)

    def event(self, event: QEvent) -> bool:
        """A dock that is closed lets its widget go: that ends it here, and a dock that takes it again brings it back."""
        if event.type() == QEvent.Type.ParentChange:
            docked = self.parent() is not None
            if self._docked and not docked:
                self.detach()
            elif docked and not self._docked:
                self.attach()
            self._docked = docked
        return bool(super().event(event))

    def closeEvent(self, event: Any) -> None:
        """The window of the widget was closed."""
        self.detach()
        super().closeEvent(event)

    def _list_layers(self, event: Any = None) -> None:
        chosen = self.image.currentData()
        self.image.clear()
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._list_layers)
            layer.events.name.connect(self._list_layers)
            if isinstance(layer, Image):
                self.image.addItem(layer.name, layer)
        self.image.setCurrentIndex(max(0, self.image.findData(chosen)) if chosen is not None else 0)

    def _removed(self, event: Any) -> None:
        """Whoever removes the labels, or the image, is done with the session."""
        if self.shown is not None and self.shown.goes_with(event.value):
            self.segmenter = None
            QTimer.singleShot(0, self.restart)  # removes more layers, which napari cannot do while it removes one

    # what the user does; everything that computes becomes a job

    def _clicked(self, viewer: Any, event: Any) -> Iterator[None]:
        """Shift- or Ctrl-click on a slice of the image; Shift and a drag make a box."""
        modifiers = {str(getattr(key, "name", key)) for key in event.modifiers}
        if modifiers not in ({"Shift"}, {"Control"}) or viewer.dims.ndisplay != 2:
            return
        camera = getattr(viewer, "scene", viewer).camera
        start, pan = event.position, camera.mouse_pan
        camera.mouse_pan = False  # the picture stays while a box is drawn
        try:
            yield
            moved = False
            while event.type == "mouse_move":
                moved = True
                yield
        finally:
            camera.mouse_pan = pan
        if not moved:
            self.click(event.position, "Shift" in modifiers)
        elif "Shift" in modifiers:
            self.box(start, event.position)

    def click(self, position: Any, positive: bool = True) -> None:
        """A click at a place of the viewer's world."""
        place = self._place(position)
        if place is not None:
            self._mark("click", "click", place[0], place[1], place[2], self.object.value(), positive)

    def box(self, start: Any, end: Any) -> None:
        """A box between two places of the viewer's world."""
        first, last = self._place(start), self._place(end)
        if first is not None and last is not None:
            self._mark("box", "box", first[0], (first[1:], last[1:]), self.object.value())

    def mask_from_labels(self) -> None:
        """The object as it is painted on the slice shown becomes a mask prompt: in the labels layer that is selected, else in the session's own."""
        layer, selected = self._layer(), self.viewer.layers.selection.active
        painted = selected if isinstance(selected, Labels) else self.shown.labels if self.shown else None
        if layer is None or painted is None:
            return self.status.setText("Select a labels layer in which the object is painted.")
        values, frame = np.asarray(painted.data), self._frame()
        values = values if values.ndim == 3 else values[np.newaxis]
        if values.shape != shape_of(layer):
            return self.status.setText(f"The labels in {painted.name} do not have the size of {layer.name}.")
        self._mark("mask", "mask", frame, (values[frame] == self.object.value()).astype(np.uint8), self.object.value())

    def follow(self) -> None:
        """Follows all objects through the stack."""
        self._do("follow", self._follow, self.direction.currentText())

    def cancel(self) -> None:
        """Stops what runs and forgets what waits; what is done stays."""
        self.jobs.cancel()

    def undo(self) -> None:
        """Takes the last step back: a click, a correction, a propagation."""
        self._do("undo", lambda: self._session().undo())

    def redo(self) -> None:
        """Does the step again that was undone last."""
        self._do("redo", lambda: self._session().redo())

    def take_back(self) -> None:
        """Takes back the last prompt of the object on the slice that is shown."""
        frame, object = self._frame(), self.object.value()
        self._do("remove last prompt", lambda: self._session().take_back(frame, object))

    def clear(self) -> None:
        """Takes back all prompts of the object on the slice that is shown."""
        frame, object = self._frame(), self.object.value()
        self._do("clear", lambda: self._session().clear(frame, object))

    def find_all(self) -> None:
        """Vessels and avascular zone of all slices without a prompt, as layers of their own."""
        layer = self._layer()
        if layer is not None:
            self.jobs.do("find all", self._find_all, self._choice(layer))

    def save(self, path: str) -> None:
        """Writes what the labels layer shows, at the place of the image."""
        if self.shown is not None:
            layer = self.shown.image
            self._do("save", lambda: self._session().save(path, volume_of(layer)))

    def restart(self) -> None:
        """The next click begins anew, with labels of its own; the clicks of the last session go."""
        self.jobs.cancel()
        self._began_with = self.segmenter = None
        shown, self.shown = self.shown, None
        if shown is not None:
            shown.leave()
        self.status.setText(HELP)

    def _mark(self, name: str, verb: str, *marks: Any) -> None:
        layer = self._layer()
        if layer is not None:
            self._take_layer()
            self.jobs.do(name, self._marked, self._choice(layer), verb, marks)

    def _do(self, name: str, work: Any, *arguments: Any) -> None:
        if self.segmenter is not None:
            self._take_layer()
            self.jobs.do(name, work, *arguments)

    def _take_layer(self) -> None:
        """The array that the labels layer shows now counts, also if another one was put into it."""
        if self.segmenter is not None and self.shown is not None:
            problem = self.shown.take_over(self.segmenter)
            if problem:
                self.status.setText(problem)

    # jobs; these run in a worker thread and touch no part of the widget

    def _choice(self, layer: Image) -> Choice:
        return (layer, layer.data, self.model.currentText(), self.config.currentText(), self.device.currentText())

    def _marked(self, choice: Choice, verb: str, marks: Tuple[Any, ...]) -> None:
        """The first mark on an image with a model begins a session."""
        began = self._began_with
        if self.segmenter is None or began is None or any(a is not b and not _equal(a, b) for a, b in zip(began, choice)):
            volume = volume_of(choice[0])
            self.segmenter = Segmenter(volume, self._loaded(*choice[2:]))
            self._began_with = choice
        getattr(self.segmenter, verb)(*marks)

    def _loaded(self, model: str, config: str, device: str) -> Model:
        which = (model, config, device)
        if which not in self._models:
            self._models[which] = Model.load(model, config or None, device=device, cancel=self.jobs.token)
        return self._models[which]

    def _follow(self, direction: str) -> Iterator[Slice]:
        yield from self._session().follow(direction, self.jobs.token)

    def _find_all(self, choice: Choice) -> Tuple[Image, Any]:
        layer, _, model, config, device = choice
        args = {"volume": volume_of(layer), "model": model, "config": config, "device": device}
        found = Script().run(FIND_ALL, args=args, cancel=self.jobs.token)
        return layer, [np.array(labels.numpy()) for labels in found]

    def _session(self) -> Segmenter:
        if self.segmenter is None:
            raise InvalidArgument("there is no session yet: mark an object first")
        return self.segmenter

    def _working(self, name: str) -> None:
        self.status.setText(f"{name} …")

    def _slice_done(self, slice: Slice) -> None:
        self.progress.setMaximum(slice.total)
        self.progress.setValue(slice.done)
        if self.shown is not None:
            self.shown.labels.refresh()

    def _finished(self, result: Any, problem: Optional[str]) -> None:
        if not self._attached:
            return
        if isinstance(result, tuple):
            Shown.add_found(self.viewer, *result)
        elif self.segmenter is not None and self._began_with is not None:
            if self.shown is None or self.shown.segmenter is not self.segmenter:
                if self.shown is not None:
                    self.shown.leave()
                self.shown = Shown(self.viewer, self._began_with[0], self.segmenter)
            self.shown.refresh()
        told = self.segmenter.notices() if self.segmenter is not None and not problem and not self.busy else []
        self.status.setText(problem or "\n".join(told) or HELP)

    @property
    def busy(self) -> bool:
        """Is there work under way?"""
        return self.jobs.busy

    # layers

    def _layer(self) -> Optional[Image]:
        layer = self.image.currentData()
        return layer if layer in self.viewer.layers else None

    def _place(self, position: Any) -> Optional[Tuple[int, float, float]]:
        """Slice, row and column of a place of the world, if it lies in the image; what is wrong with the image is said."""
        layer = self._layer()
        if layer is None:
            return None
        try:
            data_of(layer)
        except SamOcta2Error as error:
            self.status.setText(str(error))
            return None
        at = tuple(layer.world_to_data(position)[-layer.ndim :])
        frame, row, column = at if len(at) == 3 else (0.0, *at)
        inside = all(0 <= round(place) < size for place, size in zip((frame, row, column), shape_of(layer)))
        return (round(frame), float(row), float(column)) if inside else None

    def _frame(self) -> int:
        layer = self._layer()
        place = layer.world_to_data(self.viewer.dims.point)[-3:] if layer is not None and layer.ndim >= 3 else ()
        return round(place[0]) if len(place) == 3 else 0


def _equal(a: Any, b: Any) -> bool:
    return isinstance(a, str) and a == b


def _at_hand() -> Tuple[Any, Any]:
    """Models that are here, and devices."""
    try:
        told = capabilities()
    except SamOcta2Error as error:
        napari.utils.notifications.show_error(str(error))
        return [], []
    usable = [model["name"] for model in told["models"] if model["path"] and not model["unsupported"]]
    return usable, told["devices"]


def _choice(items: Any, hint: str) -> QComboBox:
    box = QComboBox(editable=True)
    box.addItems(items)
    box.setMinimumContentsLength(14)
    field = box.lineEdit()
    if isinstance(field, QLineEdit):
        field.setPlaceholderText(hint)
    return box


def _button(text: str, pressed: Any) -> QPushButton:
    button = QPushButton(text)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    button.clicked.connect(lambda: pressed())
    return button


def _row(*parts: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part, stretch=0 if isinstance(part, QPushButton) and part.text() == "…" else 1)
    return row
