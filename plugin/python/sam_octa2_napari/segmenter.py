"""What the widget does, without Qt: a session on a volume, and the array of a labels layer that shows its masks.

The array belongs to the user too. Numbers of other objects in it, drawn by hand say, are left alone. What is drawn or erased under the number of an object
of the session becomes a mask prompt of it, a correction, before the session works on; and what is saved is the array.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from sam_octa2 import Cancel, InvalidArgument, Labels, Mask, Model, Session, Slice, Volume

Painted = npt.NDArray[np.uint16]


class Segmenter:
    """Clicks on a volume and paints the answers into `labels`."""

    def __init__(self, volume: Volume, model: Model, labels: Optional[Painted] = None) -> None:
        self.volume = volume
        self.session = Session(volume, model)
        self.labels: Any = np.zeros(volume.shape[:3], np.uint16) if labels is None else labels
        self._shown: Any = np.zeros_like(self.labels)  # what the session painted last
        # what the user painted last, by frame and object: the model answers a drawn mask at its own resolution, corners rounded
        self._drawn: Dict[Tuple[int, int], npt.NDArray[np.bool_]] = {}

    # marking

    def click(self, frame: int, row: float, column: float, object: int = 1, positive: bool = True) -> Mask:
        """A click at a place of the labels."""
        return self._marked(frame, object, lambda: self.session.click(frame, column, row, object=object, positive=positive))

    def box(self, frame: int, corners: Sequence[Tuple[float, float]], object: int = 1) -> Mask:
        """A box between two corners, row and column each."""
        (top, left), (bottom, right) = np.min(corners, axis=0), np.max(corners, axis=0)
        return self._marked(frame, object, lambda: self.session.box(frame, (left, top, right, bottom), object=object))

    def mask(self, frame: int, pixels: npt.ArrayLike, object: int = 1) -> Mask:
        """A drawn mask: the object is where it is not 0."""
        if not np.any(pixels):
            raise InvalidArgument(f"nothing is painted on slice {frame} for object {object}")
        mask = self._marked(frame, object, lambda: self.session.mask(frame, pixels, object=object))
        self._drawn[frame, object] = np.asarray(pixels) != 0
        self.repaint(frame)
        return mask

    def _marked(self, frame: int, object: int, mark: Callable[[], Mask]) -> Mask:
        self.take_paint(object)
        mask = mark()
        self._drawn.pop((frame, object), None)
        self.repaint(frame)
        return mask

    def take_paint(self, object: Optional[int] = None) -> None:
        """What the user painted under the numbers of the session's objects, and of one that is about to be, becomes mask prompts of these."""
        own = self._objects()
        own += [object] if object is not None and object not in own else []
        if not own or np.array_equal(self.labels, self._shown):
            return
        for frame, (now, shown) in enumerate(zip(self.labels, self._shown)):
            mine = (now == 0) | np.isin(now, own)  # over other numbers nothing is said
            if not ((now != shown) & mine).any():
                continue
            for number in own:
                here = np.where(mine, now == number, shown == number)
                if np.array_equal(here, shown == number):
                    continue
                if here.any():  # all rubbed out is no prompt: it is shown and saved so
                    self.session.mask(frame, here.astype(np.uint8), object=number)
                self._drawn[frame, number] = here
            self._shown[frame] = now

    # back and forth

    def undo(self) -> None:
        """Takes the last step back: a click, a correction, a propagation."""
        self.take_paint()
        step = self.session.undo()
        self._drawn.pop((step.get("frame", -1), step.get("object", 0)), None)
        self.repaint_all()

    def redo(self) -> None:
        """Does the step again that was undone last."""
        self.session.redo()
        self.repaint_all()

    def take_back(self, frame: int, object: int) -> None:
        """Takes back the last prompt of an object on a slice."""
        self.take_paint()
        self.session.remove_prompt(frame, object=object)
        self._drawn.pop((frame, object), None)
        self.repaint(frame)

    def clear(self, frame: int, object: int) -> None:
        """Takes back all prompts of an object on a slice."""
        self.take_paint()
        self.session.clear(frame, object)
        self._drawn.pop((frame, object), None)
        self.repaint(frame)

    def follow(self, direction: str, cancel: Optional[Cancel] = None) -> Iterator[Slice]:
        """Follows all objects, painting slice by slice."""
        self.take_paint()
        try:
            for slice in self.session.follow(direction, cancel=cancel):
                self._paint(slice.frame, slice.masks, [mask.object for mask in slice.masks])
                yield slice
        finally:
            self.repaint_all()

    # painting

    def _objects(self) -> List[int]:
        return [each["id"] for each in self.session.describe()["objects"]]

    def repaint(self, frame: int) -> None:
        """Shows what the session knows of a slice."""
        objects = self.session.describe()["objects"]
        here = [self.session.mask_of(frame, each["id"]) for each in objects if frame in each["frames"]]
        self._paint(frame, here, [each["id"] for each in objects])

    def repaint_all(self) -> None:
        """Shows what the session knows; objects that it knows no more are gone."""
        labels = self.session.labels()
        own = sorted({*self._objects(), *(int(number) for number in np.unique(self._shown[self._shown != 0]))})
        for frame, painted in enumerate(labels.numpy()):
            self._merge(frame, painted, own)

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

    def _merge(self, frame: int, painted: Painted, own: List[int]) -> None:
        """Replaces what is painted of the session's `own` objects."""
        drawn = {object: pixels for (at, object), pixels in self._drawn.items() if at == frame}
        painted = np.where(np.isin(painted, list(drawn)), 0, painted).astype(np.uint16)
        for object, pixels in drawn.items():
            painted[pixels] = object
        now = self.labels[frame]
        free = (now == 0) | np.isin(now, own)
        now[free] = painted[free]
        self._shown[frame] = np.where(np.isin(now, own), now, 0)

    # results

    def prompts(self) -> Tuple[npt.NDArray[np.float64], List[bool]]:
        """All clicks: frame, row and column of each, and whether it is on the object."""
        places: List[Tuple[float, float, float]] = []
        positive: List[bool] = []
        for each in self.session.describe()["objects"]:
            for prompt in each["prompts"]:
                places += [(prompt["frame"], y, x) for x, y in prompt["points"]]
                positive += [label == 1 for label in prompt["labels"]]
        return np.array(places, np.float64).reshape(-1, 3), positive

    def boxes(self) -> List[npt.NDArray[np.float64]]:
        """All boxes: four corners of each, frame, row and column."""
        found = []
        for each in self.session.describe()["objects"]:
            for prompt in each["prompts"]:
                if prompt.get("box"):
                    left, top, right, bottom = prompt["box"]
                    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
                    found.append(np.array([(prompt["frame"], *corner) for corner in corners], np.float64))
        return found

    def notices(self) -> List[str]:
        """Empty answers, missed clicks, lost objects: a sentence each."""
        return [each["text"] for each in self.session.notices()]

    def save(self, path: str, volume: Volume) -> None:
        """Writes the array, paint included, with the geometry of a volume, in the format of the path's ending."""
        Labels.of(volume, self.labels).write(path)
