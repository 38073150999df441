"""The dock widget: choose an image and a model, click, follow, save. All work runs in napari's worker threads, one job at a time."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, Optional, Tuple

import napari
import numpy as np
from napari.layers import Image, Labels, Points
from napari.qt.threading import create_worker
from qtpy.QtCore import Qt
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

from sam_octa2 import Cancel, Cancelled, Model, SamOcta2Error, Slice, models

from .segmenter import Segmenter, volume_of

SIZES = ["2.1-tiny", "2.1-small", "2.1-base_plus", "2.1-large", "tiny", "small", "base_plus", "large"]
HELP = "Shift-click: on the object. Ctrl-click: beside it."


class SegmentWidget(QWidget):
    """Segments an image layer with SAM-OCTA2."""

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.segmenter: Optional[Segmenter] = None
        self.labels: Optional[Labels] = None
        self.points: Optional[Points] = None
        self._started_with: Tuple[Any, ...] = ()
        self._models: Dict[Tuple[str, str], Model] = {}
        self._jobs: Deque[Tuple[str, Callable[..., Any], Tuple[Any, ...]]] = deque()
        self._worker: Any = None
        self._cancel: Optional[Cancel] = None
        self._error: Optional[str] = None
        self._build()
        self._list_layers()
        self.viewer.layers.events.inserted.connect(self._list_layers)
        self.viewer.layers.events.removed.connect(self._list_layers)
        self.viewer.mouse_drag_callbacks.append(self._clicked)

    # the widget's parts

    def _build(self) -> None:
        self.image = QComboBox()
        self.model = _choice(self._models_at_hand(), "an official size or a file")
        self.config = _choice(["", *SIZES], "only for files that do not say it")
        self.object = QSpinBox(minimum=1, maximum=65535)
        self.direction = QComboBox()
        self.direction.addItems(["both", "forward", "backward"])
        self.progress = QProgressBar()
        self.status = QLabel(HELP, wordWrap=True)
        form = QFormLayout()
        form.addRow("Image", self.image)
        form.addRow("Model", _row(self.model, _button("…", lambda: self._browse(self.model, "Model"))))
        form.addRow("Configuration", _row(self.config, _button("…", lambda: self._browse(self.config, "Configuration"))))
        form.addRow("Object", self.object)
        form.addRow("Direction", self.direction)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(_row(_button("Follow", self.follow), _button("Cancel", self.cancel)))
        layout.addWidget(_row(_button("Undo", self.undo), _button("Clear slice", self.clear)))
        layout.addWidget(_row(_button("New session", self.restart), _button("Save labels…", self._ask_and_save)))
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addStretch()

    def _models_at_hand(self) -> Any:
        try:
            return [model["name"] for model in models() if model["path"]]
        except SamOcta2Error as error:
            napari.utils.notifications.show_error(str(error))
            return []

    def _list_layers(self, event: Any = None) -> None:
        chosen = self.image.currentText()
        self.image.clear()
        self.image.addItems([layer.name for layer in self.viewer.layers if isinstance(layer, Image)])
        self.image.setCurrentText(chosen)

    def _browse(self, field: QComboBox, title: str) -> None:
        path, _ = QFileDialog.getOpenFileName(self, title)
        if path:
            field.setCurrentText(path)

    def _ask_and_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Labels", "labels.nii.gz", "*.nii.gz *.nii *.tif *.npy *.json *.dcm")
        if path:
            self.save(path)

    # what the user does; everything that computes becomes a job

    def _clicked(self, viewer: Any, event: Any) -> Iterator[None]:
        """Shift- or Ctrl-click, and no drag, on a slice of the image."""
        modifiers = {str(getattr(key, "name", key)) for key in event.modifiers}
        if modifiers not in ({"Shift"}, {"Control"}) or viewer.dims.ndisplay != 2:
            return
        yield
        if event.type != "mouse_move":
            self.click(event.position, "Shift" in modifiers)

    def click(self, position: Any, positive: bool = True) -> None:
        """A click at a place of the viewer's world."""
        layer = self._layer()
        if layer is None:
            return
        place = layer.world_to_data(position)[-3:]
        frame, row, column = (0.0, *place) if len(place) == 2 else place
        inside = all(0 <= round(at) < size for at, size in zip((frame, row, column), self._shape(layer)))
        if inside:
            model = (self.model.currentText(), self.config.currentText())
            self._do("click", self._click, layer, model, (round(frame), row, column, self.object.value(), positive))

    def follow(self) -> None:
        """Follows all objects through the stack."""
        if self.segmenter is not None:
            self._do("follow", self._follow, self.direction.currentText())

    def cancel(self) -> None:
        """Stops what runs and forgets what waits; what is done stays."""
        self._jobs.clear()
        if self._cancel is not None:
            self._cancel.trigger()

    def undo(self) -> None:
        """Takes back the last click on the slice that is shown."""
        if self.segmenter is not None:
            self._do("undo", self.segmenter.undo, self._frame(), self.object.value())

    def clear(self) -> None:
        """Takes back all clicks on the slice that is shown."""
        if self.segmenter is not None:
            self._do("clear", self.segmenter.clear, self._frame(), self.object.value())

    def save(self, path: str) -> None:
        """Writes the masks, with the volume's geometry."""
        if self.segmenter is not None:
            self._do("save", self.segmenter.save, path)

    def restart(self) -> None:
        """The next click begins anew, with labels of its own."""
        self.cancel()
        self._started_with = ()
        self.status.setText(HELP)

    # jobs; these run in a worker thread and touch no part of the widget

    def _click(self, layer: Image, model: Tuple[str, str], click: Tuple[Any, ...]) -> None:
        """The first click on an image with a model begins a session."""
        if self.segmenter is None or self._started_with != (layer, model):
            if model not in self._models:
                self._models[model] = Model.load(model[0], model[1] or None, cancel=self._cancel)
            self.segmenter = Segmenter(volume_of(layer.data, layer.scale, layer.metadata), self._models[model])
            self.labels = self.points = None
            self._started_with = (layer, model)
        self.segmenter.click(*click)

    def _follow(self, direction: str) -> Iterator[Slice]:
        if self.segmenter is not None:
            yield from self.segmenter.follow(direction, self._cancel)

    # one job after the other

    def _do(self, name: str, work: Callable[..., Any], *arguments: Any) -> None:
        self._jobs.append((name, work, arguments))
        self._next()

    def _next(self) -> None:
        if self._worker is not None or not self._jobs:
            return
        name, work, arguments = self._jobs.popleft()
        self._cancel = Cancel()
        self.status.setText(f"{name} …")
        self._worker = create_worker(work, *arguments, _ignore_errors=True, _start_thread=False)
        self._worker.errored.connect(self._failed)
        self._worker.finished.connect(self._finished)
        if hasattr(self._worker, "yielded"):
            self._worker.yielded.connect(self._slice_done)
        self._worker.start()

    def _slice_done(self, slice: Slice) -> None:
        self.progress.setMaximum(slice.total)
        self.progress.setValue(slice.done)
        if self.labels is not None:
            self.labels.refresh()

    def _failed(self, error: Exception) -> None:
        self._jobs.clear()
        self._error = "cancelled" if isinstance(error, Cancelled) else str(error)

    def _finished(self) -> None:
        self._worker = None
        self._show()
        self.status.setText(self._error or HELP)
        self._error = None
        self._next()

    @property
    def busy(self) -> bool:
        """Is there work under way?"""
        return self._worker is not None

    # layers

    def _layer(self) -> Optional[Image]:
        name = self.image.currentText()
        return self.viewer.layers[name] if name in self.viewer.layers else None

    def _shape(self, layer: Image) -> Tuple[int, ...]:
        shape = tuple(layer.data.shape[:-1] if layer.rgb else layer.data.shape)
        return shape if len(shape) == 3 else (1, *shape)

    def _frame(self) -> int:
        layer = self._layer()
        place = layer.world_to_data(self.viewer.dims.point)[-3:] if layer is not None else ()
        return round(place[0]) if len(place) == 3 else 0

    def _show(self) -> None:
        """Masks and clicks in layers of their own, which are made the first time."""
        layer = self._layer()
        if self.segmenter is None or layer is None:
            return
        flat = len(layer.scale) == 2
        if self.labels is None:
            data = self.segmenter.labels[0] if flat else self.segmenter.labels
            kept = {"scale": layer.scale, "translate": layer.translate}
            self.labels = self.viewer.add_labels(data, name=f"{layer.name} labels", opacity=0.6, **kept)
            self.points = self.viewer.add_points(
                np.empty((0, len(layer.scale))), name=f"{layer.name} clicks", size=6, **kept
            )
            self.viewer.layers.selection.active = layer
        places, positive = self.segmenter.prompts()
        if self.points is not None:
            self.points.data = places[:, 1:] if flat else places
            if positive:
                self.points.face_color = ["lime" if on else "red" for on in positive]
        self.labels.refresh()


def _choice(items: Any, hint: str) -> QComboBox:
    box = QComboBox(editable=True)
    box.addItems(items)
    box.setMinimumContentsLength(14)
    field = box.lineEdit()
    if isinstance(field, QLineEdit):
        field.setPlaceholderText(hint)
    return box


def _button(text: str, pressed: Callable[[], Any]) -> QPushButton:
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
