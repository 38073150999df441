"""``host-demo`` of the wheel: the program beside the library, with the libtorch of this Python's torch."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from . import _torch
from ._library import find


def main() -> NoReturn:
    """Becomes the program."""
    program = find().parent / "host-demo"
    if not program.is_file():
        sys.exit(f"{program}: not there (host-demo comes with the wheel; a checkout has target/release/host-demo)")
    folder = _torch.folder()
    if folder is not None:
        before = os.environ.get("LD_LIBRARY_PATH")
        os.environ["LD_LIBRARY_PATH"] = f"{folder}:{before}" if before else str(folder)
    os.execv(program, [str(program), *sys.argv[1:]])
