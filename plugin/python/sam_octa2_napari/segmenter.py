"""What the widget does, without Qt: a session on the data of an image layer, and the array of a labels layer that shows its masks."""

from __future__ import annotations

from typing import Any, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from sam_octa2 import Cancel, Mask, Model, Session, Slice, Volume


class Segmenter:
    """Clicks on a volume and paints the answers into `labels`. Numbers of other objects in there, drawn by hand say, are left alone."""

    def __init__(self, volume: Volume, model: Model, labels: Optional[npt.NDArray[np.uint16]] = None) -> None:
        self.session = Session(volume, model)
        self.labels = np.zeros(volume.shape[:3], np.uint16) if labels is None else labels

    def click(self, frame: int, row: float, column: float, object: int = 1, positive: bool = True) -> Mask:
        """A click at a place of the labels."""
        mask = self.session.click(frame, column, row, object=object, positive=positive)
        self.repaint(frame)
        return mask

    def undo(self, frame: int, object: int) -> None:
        """Takes back the last prompt of an object on a slice."""
        self.session.undo(frame, object)
        self.repaint(frame)

    def clear(self, frame: int, object: int) -> None:
        """Takes back all prompts of an object on a slice."""
        self.session.clear(frame, object)
        self.repaint(frame)

    def follow(self, direction: str, cancel: Optional[Cancel] = None) -> Iterator[Slice]:
        """Follows all objects, painting slice by slice."""
        try:
            for slice in self.session.follow(direction, cancel=cancel):
                self._paint(slice.frame, slice.masks, [mask.object for mask in slice.masks])
                yield slice
        finally:
            labels = self.session.labels()
            for frame, painted in enumerate(labels.numpy()):
                self._merge(frame, painted, labels.objects)

    def repaint(self, frame: int) -> None:
        """Shows what the session knows of a slice."""
        objects = self.session.describe()["objects"]
        here = [self.session.mask_of(frame, each["id"]) for each in objects if frame in each["frames"]]
        self._paint(frame, here, [each["id"] for each in objects])

    def _paint(self, frame: int, masks: Sequence[Mask], own: List[int]) -> None:
        """Where masks overlap, the larger logit wins, as in the labels that the plugin writes."""
        painted = np.zeros(self.labels.shape[1:], np.uint16)
        best = np.zeros(self.labels.shape[1:], np.float32)
        for mask in masks:
            logits = mask.numpy("logits")
            better = logits > best
            painted[better] = mask.object
            best[better] = logits[better]
        self._merge(frame, painted, own)

    def _merge(self, frame: int, painted: npt.NDArray[np.uint16], own: List[int]) -> None:
        """Replaces what is painted of the session's `own` objects."""
        now = self.labels[frame]
        free = (now == 0) | np.isin(now, own)
        now[free] = painted[free]

    def prompts(self) -> Tuple[npt.NDArray[np.float64], List[bool]]:
        """All clicks: frame, row and column of each, and whether it is on the object."""
        places: List[Tuple[float, float, float]] = []
        positive: List[bool] = []
        for each in self.session.describe()["objects"]:
            for prompt in each["prompts"]:
                places += [(prompt["frame"], y, x) for x, y in prompt["points"]]
                positive += [label == 1 for label in prompt["labels"]]
        return np.array(places, np.float64).reshape(-1, 3), positive

    def save(self, path: str) -> None:
        """Writes the masks with the volume's geometry, in the format of the path's ending."""
        self.session.labels().write(path)


def volume_of(data: Any, scale: Sequence[float], metadata: Any) -> Volume:
    """The volume of an image layer: the one that the reader opened, or the layer's array, lent."""
    for opened in (metadata.get("sam_octa2"), data):
        if isinstance(opened, Volume):
            return opened
    array = np.asarray(data)
    if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] == 3 and len(scale) == 2):
        array, scale = array[np.newaxis], (1.0, *scale)
    z, y, x = (float(step) for step in scale)
    return Volume.from_array(array, np.diag([x, y, z, 1.0]))
