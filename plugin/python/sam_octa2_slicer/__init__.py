"""SAM-OCTA2 in 3D Slicer's segment editor: clicks in millimetres become segments, which can be followed through the volume.

`segmenter` has everything that needs no window: it works on Slicer's nodes in any of Slicer's programs. `effect` is the effect of the
segment editor of `trame-slicer`, Slicer's core in Python.
"""

from .segmenter import Segmenter

__all__ = ["Segmenter"]
