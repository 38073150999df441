"""PyTorch in the same process. The system's loader knows libtorch by its short name, so a process holds one of them.

The plugin refuses to start beside another version that was imported before. This module refuses the import of another version after
the plugin has started, which would end the process.
"""

from __future__ import annotations

import ctypes
import importlib.abc
import importlib.metadata
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Optional, Sequence


class TorchGuard(importlib.abc.MetaPathFinder):
    """Finds nothing; refuses ``import torch`` of another version than the plugin's."""

    def __init__(self, version: str) -> None:
        self.version = version

    def find_spec(
        self, name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        """``None``: the next finder is asked."""
        if name != "torch":
            return None
        try:
            installed = importlib.metadata.version("torch")
        except importlib.metadata.PackageNotFoundError:
            return None
        if installed.split("+")[0] != self.version:
            raise ImportError(
                f"torch {installed} cannot be imported here: SAM-OCTA2 has loaded libtorch {self.version} in this process, and a "
                f"process can hold only one; install torch {self.version}, or segment in a process without torch",
                name="torch",
            )
        return None


def folder() -> Optional[Path]:
    """Where the libraries of this Python's torch lie, without importing it."""
    spec = importlib.util.find_spec("torch") if "torch" not in sys.modules else sys.modules["torch"].__spec__
    if spec is None or spec.origin is None:
        return None
    libraries = Path(spec.origin).parent / "lib"
    return libraries if (libraries / "libtorch_cpu.so").is_file() else None


def open_beside(library: Path, version: str) -> None:
    """Opens the libtorch of this Python's torch for a library that brings none (the wheel's), wherever the torch is installed: the loader
    then finds it by its name. Another version stays closed, and the plugin says what is missing."""
    if (library.parent / "libtorch").exists() or library.parent.name != "lib":
        return
    try:
        installed = importlib.metadata.version("torch").split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return
    libraries = folder()
    if installed == version and libraries is not None:
        ctypes.CDLL(str(libraries / "libtorch_cpu.so"))


def guard(version: str) -> None:
    """Watches over later imports of ``torch``. Does nothing the second time."""
    if not any(isinstance(finder, TorchGuard) for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchGuard(version))
