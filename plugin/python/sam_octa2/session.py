"""Sessions: what a user marks on a volume, what the model answers, and how it is followed through the stack."""

from __future__ import annotations

import ctypes
import queue
import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt

from . import _abi, _memory
from ._calls import Progress, calling, long, running
from ._errors import Cancelled, InvalidArgument
from ._library import Handle, PathLike, frame_number, load, object_number, options, whole
from .cancel import Cancel
from .mask import Labels, Mask
from .model import Model
from .volume import Volume


@dataclass(frozen=True)
class Slice:
    """What a propagation says about one slice."""

    #: its number, from 0
    frame: int
    #: of every object that was followed here
    masks: Tuple[Mask, ...]
    #: this many slices are done ...
    done: int
    #: ... of so many
    total: int


OnSlice = Callable[[Slice], Optional[bool]]


class Session(Handle):
    """Prompts and masks on one volume. One call at a time: another one meanwhile raises `Busy`.

    `window`: values that the model sees as 0 and 1 (``"auto"``, ``"LOW,HIGH"``, ``"1%,99%"``, ...); `compat`: ``"reference"`` behaves as the
    Python package sam2 does; `overlap`: which object gets a voxel of the labels that several claim (``"larger_logit"``, ``"keep"`` the first, the
    ``"later"``, ``"forbid"``; a locked object and a prompted slice come before); `memory_precision`: what memories are rounded to (``"f32"``, ``"bf16"``, ``"f16"``); `feature_cache_bytes`,
    `state_bytes`: limits of its memory; `history_bytes`: limit of what only `undo` and `redo` need. `features`: a folder that keeps the features of
    encoded slices, so that later sessions need not encode them again; `features_bytes`: limit of what its files take.
    """

    _kind = "session"
    _instead = "pass the bytes of session.save() to Session.restore"

    def __init__(
        self,
        volume: Volume,
        model: Model,
        *,
        window: Optional[str] = None,
        compat: Optional[str] = None,
        overlap: Optional[str] = None,
        memory_precision: Optional[str] = None,
        feature_cache_bytes: Optional[int] = None,
        state_bytes: Optional[int] = None,
        history_bytes: Optional[int] = None,
        features: Optional[PathLike] = None,
        features_bytes: Optional[int] = None,
        cancel: Optional[Cancel] = None,
    ) -> None:
        how = options(
            window=window,
            compat=compat,
            overlap=overlap,
            memory_precision=memory_precision,
            feature_cache_bytes=feature_cache_bytes,
            state_bytes=state_bytes,
            history_bytes=history_bytes,
            features=features,
            features_bytes=features_bytes,
        )
        super().__init__(long(load().handle, "session_create", volume._pointer, model._pointer, how, cancel=cancel))

    @classmethod
    def restore(
        cls, volume: Volume, model: Model, state: Any, *,
        progress: Optional[Progress] = None, cancel: Optional[Cancel] = None, **how: Any,
    ) -> "Session":
        """The session that `save` wrote down. Volume and model must be the same; the options are those of a new session."""
        raw = np.frombuffer(state, np.uint8)
        given = (volume._pointer, model._pointer, raw.ctypes.data, raw.size, options(**how))
        return cls._of(long(load().handle, "session_restore", *given, progress=progress, cancel=cancel))

    def save(self, *, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None) -> bytes:
        """Everything that the session knows."""
        return _memory.array_of(long(load().view, "session_save", self._pointer, progress=progress, cancel=cancel)).tobytes()

    def describe(self) -> Dict[str, Any]:
        """Objects with their prompts and slices, memory in use, window."""
        told: Dict[str, Any] = load().json("session_describe", self._pointer)
        return told

    def notices(self) -> List[Dict[str, Any]]:
        """What there is to tell about the answers: `kind` (`empty`, `missed_click`, `lost`), `object`, `text` and the scores."""
        told: List[Dict[str, Any]] = self.describe()["notices"]
        return told

    # marking

    def click(self, frame: int, x: float, y: float, *, object: int = 1, positive: bool = True) -> Mask:
        """A click on the object, or beside it; returns the answer to all prompts of the slice."""
        return self.prompt(frame, object=object, points=[(x, y)], labels=[int(positive)])

    def points(
        self,
        frame: Optional[int],
        points: npt.ArrayLike,
        labels: Optional[Sequence[int]] = None,
        *,
        object: int = 1,
        patient: bool = False,
    ) -> Mask:
        """Several clicks at once; `labels` says 1 (on the object) or 0 (beside it) for each."""
        return self.prompt(frame, object=object, points=points, labels=labels, patient=patient)

    def box(self, frame: Optional[int], corners: npt.ArrayLike, *, object: int = 1, patient: bool = False) -> Mask:
        """A box: left, top, right, bottom; in millimetres two corners of three numbers."""
        return self.prompt(frame, object=object, box=corners, patient=patient)

    def mask(self, frame: int, pixels: Union[Mask, npt.ArrayLike], *, object: int = 1) -> Mask:
        """A drawn mask, `[rows, columns]`: the object is where it is not 0. (`mask_of` asks for the session's own.)"""
        return self.prompt(frame, object=object, mask=pixels)

    def scribble(
        self,
        frame: Optional[int],
        line: npt.ArrayLike,
        *,
        object: int = 1,
        width: float = 3.0,
        positive: bool = True,
        patient: bool = False,
    ) -> Mask:
        """A stroke along the object, or beside it: `line` holds its places, `width` how wide it was drawn, in pixels. It becomes clicks."""
        return self.prompt(frame, object=object, line=line, line_width=width, line_positive=positive, patient=patient)

    def polygon(self, frame: Optional[int], corners: npt.ArrayLike, *, object: int = 1, patient: bool = False) -> Mask:
        """An outline as a drawn mask. With a click or a box beside it (`prompt`) the model starts from it."""
        return self.prompt(frame, object=object, polygon=corners, patient=patient)

    def prompt(
        self,
        frame: Optional[int] = None,
        *,
        object: int = 1,
        points: Optional[npt.ArrayLike] = None,
        labels: Optional[Sequence[int]] = None,
        box: Optional[npt.ArrayLike] = None,
        mask: Union[None, Mask, npt.ArrayLike] = None,
        line: Optional[npt.ArrayLike] = None,
        line_width: float = 3.0,
        line_positive: bool = True,
        polygon: Optional[npt.ArrayLike] = None,
        choice: Optional[int] = None,
        patient: bool = False,
        replace: bool = False,
        progress: Optional[Progress] = None,
        cancel: Optional[Cancel] = None,
    ) -> Mask:
        """Points, box, mask, scribble and polygon in any mixture, on one slice.

        Coordinates are pixels of the slice, x to the right, y down. With `patient` they are millimetres in the patient (RAS+), x, y, z,
        and the slice is found from them. `replace` forgets the earlier points and box of the slice. `choice`: which of the model's masks of
        a click is the answer, 1 to 3; `preview` shows them.
        """
        prompt, kept = _prompt(
            frame, object, points, labels, box, mask, line, line_width, line_positive, polygon, choice, patient, replace
        )
        with calling(progress, cancel) as call:
            answer = load().handle("session_prompt", self._pointer, prompt, call.host)
        del kept
        return Mask._of(answer)

    def preview(
        self,
        frame: Optional[int] = None,
        *,
        object: int = 1,
        points: Optional[npt.ArrayLike] = None,
        labels: Optional[Sequence[int]] = None,
        box: Optional[npt.ArrayLike] = None,
        mask: Union[None, Mask, npt.ArrayLike] = None,
        line: Optional[npt.ArrayLike] = None,
        line_width: float = 3.0,
        line_positive: bool = True,
        polygon: Optional[npt.ArrayLike] = None,
        choice: Optional[int] = None,
        patient: bool = False,
        replace: bool = False,
        progress: Optional[Progress] = None,
        cancel: Optional[Cancel] = None,
    ) -> Tuple[Mask, List[Mask]]:
        """What `prompt` would answer, and the masks to choose from (`choice` 1 first; none where the model has one mask for a prompt). For a
        pointer that hovers: nothing is changed, and nothing is to be undone."""
        prompt, kept = _prompt(
            frame, object, points, labels, box, mask, line, line_width, line_positive, polygon, choice, patient, replace
        )
        places, count = (ctypes.c_void_p * 8)(), ctypes.c_uint64()
        with calling(progress, cancel) as call:
            load().call("session_preview", self._pointer, prompt, call.host, places, len(places), count)
        del kept
        answer, *choices = (Mask._of(place) for place in places if place)
        return answer, choices

    def encode(
        self, frame: int, *, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None
    ) -> None:
        """Computes the features of a slice now, so that the first click on it is answered at once."""
        with calling(progress, cancel) as call:
            load().call("session_encode", self._pointer, frame_number(frame), call.host)

    # taking back

    def undo(self) -> Dict[str, Any]:
        """Takes the last step back, whatever it was: a prompt, a propagation, ...; all is as it was before, bit for bit. Returns the step."""
        undone: Dict[str, Any] = load().json("session_undo", self._pointer)
        return undone

    def redo(self) -> Dict[str, Any]:
        """Does the step again that was undone last, without computing it again. Returns the step."""
        done: Dict[str, Any] = load().json("session_redo", self._pointer)
        return done

    def history(self) -> Dict[str, Any]:
        """`done`: the steps in force; `undo`: how many of them can be undone; `undone`: those that can be redone, the next one first;
        `record`: all that was done, in order."""
        told: Dict[str, Any] = load().json("session_history", self._pointer)
        return told

    def script(self, *, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None) -> str:
        """The session as a script that does the same again (`Script.run`, `host-demo run`)."""
        return long(load().text, "session_script", self._pointer, progress=progress, cancel=cancel)

    def remove_prompt(self, frame: int, index: Optional[int] = None, object: int = 1) -> None:
        """Removes one prompt of an object on a slice: `index` counts from 0 in the order given; without it, the last one."""
        at = 2**64 - 1 if index is None else whole("prompt", index, 0, 2**63)
        long(load().call, "session_remove_prompt", self._pointer, frame_number(frame), object_number(object), at)

    def clear(self, frame: int, object: int = 1) -> None:
        """Takes back all prompts of an object on a slice; what was tracked there comes back."""
        long(load().call, "session_clear_slice", self._pointer, frame_number(frame), object_number(object))

    def set_object(
        self,
        object: int,
        *,
        name: Optional[str] = None,
        colour: Union[None, str, Sequence[int]] = None,
        property: Optional[str] = None,
        visible: Optional[bool] = None,
        locked: Optional[bool] = None,
    ) -> None:
        """Names, colours, describes, shows, hides, locks or unlocks an object; one that is new is added. What is not given stays, an empty
        text takes a property back.

        `colour`: ``"#rrggbb"`` or three numbers up to 255; `property`: ``"vessel"``, ``"faz"``, ... or codes (``"SCT^59820001^Blood Vessel"``).
        The writers of labels say it. Nothing changes the masks of a locked object, and it loses no voxel of the labels."""
        if colour is not None and not isinstance(colour, str):
            colour = "#" + "".join(f"{whole('colour', channel, 0, 255):02x}" for channel in colour)
        how = options(name=name, colour=colour, property=property, visible=visible, locked=locked)
        load().call("session_set_object", self._pointer, object_number(object), how)

    def object(self, object: int) -> Dict[str, Any]:
        """One object: `name`, `colour`, `property`, `visible`, `locked`, `frames`, `prompts`, ..."""
        told: Dict[str, Any] = load().json("session_object", self._pointer, object_number(object))
        return told

    def remove_object(self, object: int) -> None:
        """Removes an object with all its prompts and masks."""
        load().call("session_remove_object", self._pointer, object_number(object))

    def reset(self) -> None:
        """Removes all objects."""
        load().call("session_reset", self._pointer)

    def free_caches(self) -> None:
        """Gives up what can be computed again."""
        load().call("session_free_caches", self._pointer)

    # results

    def mask_of(self, frame: int, object: int = 1) -> Mask:
        """The mask of an object on a slice."""
        return Mask._of(load().handle("session_mask", self._pointer, frame_number(frame), object_number(object)))

    def labels(self, *, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None) -> Labels:
        """All masks as one stack of object numbers, on the grid of the volume."""
        return Labels._of(long(load().handle, "session_labels", self._pointer, progress=progress, cancel=cancel))

    # following

    def propagate(
        self,
        direction: str = "forward",
        *,
        start: Optional[int] = None,
        max_frames: Optional[int] = None,
        objects: Optional[Sequence[int]] = None,
        patience: Optional[int] = None,
        threshold: Optional[float] = None,
        on_slice: Optional[OnSlice] = None,
        progress: Optional[Progress] = None,
        cancel: Optional[Cancel] = None,
    ) -> int:
        """Follows objects through the stack (``forward``, ``backward``, ``both``); the number of slices done.

        `objects`: which ones; without it all that are not locked. `patience`: an object that was gone on so many slices in a row is followed no
        further, up to its next prompted slice (`notices` says where it was lost); `threshold`: the presence score up to which it counts as gone.

        `on_slice` gets every slice; where it returns ``False`` the propagation ends there, and what is done stays. After `cancel`, or where
        `progress` returns ``False``, the same, and `Cancelled` is raised.
        """
        follower = _Follower(on_slice)
        chosen = None if objects is None else [object_number(object) for object in objects]
        if chosen == []:
            raise InvalidArgument("objects names none; leave it out to follow all")
        how = options(
            direction=direction,
            start=start,
            max_frames=max_frames,
            objects=chosen,
            patience=patience,
            threshold=threshold,
        )
        try:
            with calling(progress, cancel) as call:
                call.on_slice = follower
                struct = _abi.OnSlice(size=ctypes.sizeof(_abi.OnSlice), context=call.key, call=_heard)
                load().call("session_propagate", self._pointer, how, struct, call.host)
        except Cancelled:
            if not follower.enough:
                raise
        return follower.done

    def follow(
        self,
        direction: str = "forward",
        *,
        start: Optional[int] = None,
        max_frames: Optional[int] = None,
        objects: Optional[Sequence[int]] = None,
        patience: Optional[int] = None,
        threshold: Optional[float] = None,
        cancel: Optional[Cancel] = None,
    ) -> Iterator[Slice]:
        """The same as a loop: ``for slice in session.follow("both")``. The work runs in a thread of its own, a few slices ahead. Leaving
        the loop stops it, and what is done stays; the session is busy until the loop has ended."""
        slices: "queue.Queue[Union[Slice, BaseException, None]]" = queue.Queue()
        room = threading.Semaphore(4)  # slices ahead of the loop
        left = threading.Event()

        def hear(slice: Slice) -> None:
            while not (left.is_set() or (cancel and cancel.triggered)):
                if room.acquire(timeout=0.1):
                    slices.put(slice)
                    return

        def work() -> None:
            end: Optional[BaseException] = None
            try:
                self.propagate(
                    direction,
                    start=start,
                    max_frames=max_frames,
                    objects=objects,
                    patience=patience,
                    threshold=threshold,
                    on_slice=hear,
                    progress=lambda *_: not left.is_set(),
                    cancel=cancel,
                )
            except BaseException as error:  # raised again in the loop's thread
                end = error
            slices.put(end)

        worker = threading.Thread(target=work, name="sam_octa2 follow", daemon=True)
        worker.start()
        try:
            while True:
                item = slices.get()
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                room.release()
                yield item
        finally:
            left.set()
            worker.join()


class _Follower:
    """Receives the slices of a propagation."""

    def __init__(self, on_slice: Optional[OnSlice]) -> None:
        self.on_slice = on_slice
        self.done = 0
        self.enough = False

    def __call__(self, frame: int, masks: Any, count: int, done: int, total: int) -> bool:
        self.done = done
        if self.on_slice is None:
            return True
        retained = (load().plain("mask_retain", masks[at]) for at in range(count))
        slice = Slice(frame, tuple(Mask._of(pointer) for pointer in retained if pointer), done, total)
        self.enough = self.on_slice(slice) is False
        return not self.enough


@_abi.SLICE
def _heard(context: int, frame: int, masks: Any, count: int, done: int, total: int) -> int:
    call = running(context)
    return call.guarded(call.on_slice, frame, masks, count, done, total) if call else 1


def _numbers(name: str, values: npt.ArrayLike, width: int) -> npt.NDArray[np.float64]:
    """Places, one to a row."""
    numbers = np.ascontiguousarray(values, np.float64)
    if numbers.size % width:
        raise InvalidArgument(f"{name}: {numbers.size} numbers, but every place has {width}")
    return numbers.reshape(-1, width)


def _prompt(
    frame: Optional[int],
    object: int,
    points: Optional[npt.ArrayLike],
    labels: Optional[Sequence[int]],
    box: Optional[npt.ArrayLike],
    mask: Union[None, Mask, npt.ArrayLike],
    line: Optional[npt.ArrayLike],
    line_width: float,
    line_positive: bool,
    polygon: Optional[npt.ArrayLike],
    choice: Optional[int],
    patient: bool,
    replace: bool,
) -> Tuple[_abi.Prompt, List[npt.NDArray[Any]]]:
    """A prompt for C, and what it points to."""
    if frame is None and (not patient or all(places is None for places in (points, box, line, polygon))):
        raise InvalidArgument("which slice? Only places in the patient's millimetres say it themselves")
    width = 3 if patient else 2
    prompt = _abi.Prompt(size=ctypes.sizeof(_abi.Prompt), object=object_number(object))
    prompt.frame = 0 if frame is None else frame_number(frame)
    prompt.flags = _abi.PROMPT_PATIENT * patient | _abi.PROMPT_REPLACE * replace
    prompt.choice = 0 if choice is None else whole("choice", choice, 1, 3)
    kept: List[npt.NDArray[Any]] = []
    if points is not None:
        places = _numbers("points", points, width)
        prompt.points, prompt.point_count = places.ctypes.data, len(places)
        kept.append(places)
        if labels is not None:
            signs = np.ascontiguousarray(labels, np.int32).ravel()
            if len(signs) != len(places):
                raise InvalidArgument(f"{len(places)} points, but {len(signs)} labels")
            prompt.labels = signs.ctypes.data
            kept.append(signs)
    if box is not None:
        corners = _numbers("box", box, width)
        if len(corners) != 2:
            raise InvalidArgument(f"a box has {2 * width} numbers, not {corners.size}")
        prompt.bounds = corners.ctypes.data
        kept.append(corners)
    if line is not None:
        places = _numbers("line", line, width)
        prompt.line, prompt.line_count = places.ctypes.data, len(places)
        prompt.line_width, prompt.line_label = line_width, int(line_positive)
        kept.append(places)
    if polygon is not None:
        places = _numbers("polygon", polygon, width)
        prompt.polygon, prompt.polygon_count = places.ctypes.data, len(places)
        kept.append(places)
    if mask is not None:
        pixels = mask.numpy("dense") if isinstance(mask, Mask) else np.asarray(mask)
        pixels = pixels if pixels.dtype == np.uint8 else (pixels != 0).view(np.uint8)
        prompt.mask = ctypes.pointer(_memory.describe(pixels))
        kept.append(pixels)
    return prompt, kept
