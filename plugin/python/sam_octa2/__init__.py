"""SAM-OCTA2: segments OCT-angiography stacks, and any other stack of slices, with Segment Anything 2.

::

    from sam_octa2 import Model, Session, Volume

    volume = Volume.open("stack.nii.gz")            # or Volume.from_array(array)
    session = Session(volume, Model.load("2.1-tiny"))
    session.click(0, 250, 420)                      # slice, x, y
    for slice in session.follow("both"):
        print(slice.frame, slice.masks[0].area)
    session.labels().write("labels.nii.gz")
"""

from ._errors import Busy, Cancelled, InvalidArgument, SamOcta2Error, ScriptError
from ._library import find, load, manifest
from .cancel import Cancel, run_async
from .mask import Labels, Mask
from .model import Model
from .script import Script
from .session import Session, Slice
from .system import capabilities, get_model, models, set_threads, start, task
from .volume import Volume

__version__ = "0.1.0"

__all__ = [
    "Busy",
    "Cancel",
    "Cancelled",
    "InvalidArgument",
    "Labels",
    "Mask",
    "Model",
    "SamOcta2Error",
    "Script",
    "ScriptError",
    "Session",
    "Slice",
    "Volume",
    "capabilities",
    "find",
    "get_model",
    "load",
    "manifest",
    "models",
    "run_async",
    "set_threads",
    "start",
    "task",
]
