"""The effect of the segment editor in `trame-slicer`: a left click marks the active segment, Ctrl and click says what does not belong to it.

    editor.set_active_effect_type(SamOctaEffect).model = Model.load("nano")

Slicer's undo takes back voxels and session together.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np
from slicer import vtkMRMLAbstractViewNode, vtkMRMLInteractionEventData, vtkMRMLNode, vtkMRMLSliceNode
from trame_slicer.segmentation import ModificationMode, SegmentationEffect, SegmentationEffectPipeline
from trame_slicer.utils import vtk_image_to_np
from undo_stack import UndoCommand
from vtkmodules.vtkCommonCore import vtkCommand
from vtkmodules.vtkInteractionWidgets import vtkEvent

from sam_octa2 import Cancel, InvalidArgument, Model, Session

from .segmenter import Ras, Segmenter


class _SessionStep(UndoCommand):
    """The session's part of an undo: its last step."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def undo(self) -> None:
        self._session.undo()

    def redo(self) -> None:
        self._session.redo()


class SamOctaEffect(SegmentationEffect):
    """Clicks with a model of SAM-OCTA2 on the editor's volume, one session for each volume."""

    #: what answers; without one, `nano` is loaded at the first click
    model: Optional[Model] = None

    def __init__(self) -> None:
        super().__init__()
        self.set_mode(ModificationMode.Set)
        self._segmenter: Optional[Segmenter] = None
        self._of: Tuple[Any, Any] = (None, None)

    def segmenter(self) -> Segmenter:
        """Of the editor's volume; another one when volume or model changed. Errors: there is no volume."""
        volume = self.modifier.volume_node if self.modifier else None
        if volume is None:
            raise InvalidArgument("choose a volume and a segmentation in the editor first")
        self.model = self.model or Model.load("nano")
        if self._segmenter is None or self._of != (volume, self.model):
            self._segmenter, self._of = Segmenter(volume, self.model), (volume, self.model)
        return self._segmenter

    def click(self, ras: Ras, positive: bool = True, cancel: Optional[Cancel] = None) -> int:
        """A click for the active segment. -> voxels of the answer on its slice"""
        segmenter, segment = self.segmenter(), self._segment()
        mask = segmenter.click(segment, ras, positive=positive, cancel=cancel)
        self._show(segmenter, segment)
        return mask.area

    def follow(self, direction: str = "both", slices: Optional[int] = None, cancel: Optional[Cancel] = None) -> int:
        """Follows the active segment through the volume. -> slices done"""
        segmenter, segment = self.segmenter(), self._segment()
        done = segmenter.follow(segment, direction=direction, slices=slices, cancel=cancel)
        self._show(segmenter, segment)
        return done

    def _segment(self) -> str:
        segment = self.modifier.active_segment_id if self.modifier else ""
        if not segment:
            raise InvalidArgument("choose a segment in the editor first, or add one")
        return str(segment)

    def _show(self, segmenter: Segmenter, segment: str) -> None:
        """Name and colour go into the session, voxels into the segment; one undo takes back both."""
        slicers = self.modifier.segmentation.get_segment(segment)
        colour = [round(255 * part) for part in slicers.GetColor()]
        labelmap = self.modifier.create_modifier_labelmap()
        np.copyto(vtk_image_to_np(labelmap), segmenter.voxels(segment), casting="unsafe")
        labelmap.Modified()
        with self.modifier.group_undo_commands("SAM-OCTA2"):
            if self.modifier.segmentation.undo_stack:
                self.modifier.segmentation.undo_stack.push(_SessionStep(segmenter.session))
            self.modifier.apply_labelmap(labelmap)
        segmenter.name(segment, slicers.GetName(), colour)

    def _create_pipeline(self, view_node: vtkMRMLAbstractViewNode, parameter: vtkMRMLNode) -> Optional[SegmentationEffectPipeline]:
        return _Clicks() if isinstance(view_node, vtkMRMLSliceNode) else None


class _Clicks(SegmentationEffectPipeline[SamOctaEffect]):
    """Left clicks in a slice view."""

    def CanProcessInteractionEvent(self, event: vtkMRMLInteractionEventData) -> Tuple[bool, float]:
        return bool(self.IsActive() and event.GetType() == int(vtkCommand.LeftButtonPressEvent)), 0

    def ProcessInteractionEvent(self, event: vtkMRMLInteractionEventData) -> bool:
        against = bool(event.GetModifiers() & vtkEvent.ControlModifier)
        self._effect.click(tuple(event.GetWorldPosition()), positive=not against)
        return True
