"""What a session shows in the viewer: labels, clicks and boxes, in layers that lie where the image lies."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
from napari.layers import Image, Labels, Points, Shapes

from .grid import PLACE, place_of
from .segmenter import Segmenter


class Shown:
    """The layers of one session."""

    def __init__(self, viewer: Any, image: Image, segmenter: Segmenter) -> None:
        self.viewer, self.image, self.segmenter = viewer, image, segmenter
        self.flat = image.ndim == 2
        data = segmenter.labels[0] if self.flat else segmenter.labels
        self.labels: Labels = viewer.add_labels(data, name=f"{image.name} labels", opacity=0.6, **place_of(image))
        self.points: Optional[Points] = None
        self.boxes: Optional[Shapes] = None
        for name in PLACE:
            getattr(image.events, name).connect(self._moved)
        self._select()

    def _select(self) -> None:
        if self.image in self.viewer.layers:
            self.viewer.layers.selection.active = self.image

    def _moved(self, event: Any = None) -> None:
        """The image was moved: the others follow."""
        for layer in (self.labels, self.points, self.boxes):
            if layer is not None:
                for name, value in place_of(self.image).items():
                    setattr(layer, name, value)

    def goes_with(self, layer: Any) -> bool:
        """Does the session end with this layer?"""
        return layer is self.labels or layer is self.image

    def leave(self) -> None:
        """The session is over: its labels stay, as a layer like any other, and its marks go."""
        for name in PLACE:
            getattr(self.image.events, name).disconnect(self._moved)
        for layer in (self.points, self.boxes):
            if layer is not None and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def take_over(self, segmenter: Segmenter) -> Optional[str]:
        """The array in the layer becomes the session's; what to say if it cannot."""
        data = self.labels.data
        data = data[np.newaxis] if self.flat else data
        if data.shape != segmenter.labels.shape:
            return f"The data of {self.labels.name} have another size; what the session knows is shown again."
        if data.dtype != np.uint16 or not np.shares_memory(data, segmenter.labels):
            segmenter.labels = np.array(np.clip(data, 0, 65535), np.uint16)
            self.labels.data = segmenter.labels[0] if self.flat else segmenter.labels
        return None

    def refresh(self) -> None:
        """Shows what the session knows."""
        wanted = self.segmenter.labels[0] if self.flat else self.segmenter.labels
        if self.labels.data is not wanted and not np.shares_memory(self.labels.data, wanted):
            self.labels.data = wanted
        self.labels.refresh()
        self._show_clicks()
        self._show_boxes()

    def _show_clicks(self) -> None:
        places, positive = self.segmenter.prompts()
        places = places[:, 1:] if self.flat else places
        colours = ["lime" if on else "red" for on in positive]
        if self.points is None or self.points not in self.viewer.layers:
            if positive:
                name = f"{self.image.name} clicks"
                self.points = self.viewer.add_points(places, name=name, size=6, face_color=colours, **place_of(self.image))
                self._select()
            return
        self.points.data = places
        if positive:
            self.points.face_color = colours

    def _show_boxes(self) -> None:
        boxes = [corners[:, 1:] if self.flat else corners for corners in self.segmenter.boxes()]
        if self.boxes is None or self.boxes not in self.viewer.layers:
            if not boxes:
                return
            self.boxes = self.viewer.add_shapes(
                ndim=self.image.ndim, name=f"{self.image.name} boxes", edge_color="lime", face_color="transparent", **place_of(self.image)
            )
            self._select()
        self.boxes.data = []
        if boxes:
            self.boxes.add_rectangles(boxes, edge_color="lime", face_color="transparent")

    @staticmethod
    def add_found(viewer: Any, image: Image, found: Any) -> None:
        """Layers of what was found without a prompt."""
        for name, labels in zip(("vessels", "FAZ"), found):
            data = labels[0] if image.ndim == 2 else labels
            viewer.add_labels(data, name=f"{image.name} {name}", opacity=0.6, **place_of(image))
