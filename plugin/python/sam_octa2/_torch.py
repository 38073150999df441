"""PyTorch in the same process. The system's loader knows libtorch by its short name, so a process holds one of them.

The plugin refuses to start beside another version that was imported before. This module refuses the import of another version after
the plugin has started, which would end the process.
"""

from __future__ import annotations

import importlib.abc
import importlib.metadata
import sys
from importlib.machinery import ModuleSpec
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


def guard(version: str) -> None:
    """Watches over later imports of ``torch``. Does nothing the second time."""
    if not any(isinstance(finder, TorchGuard) for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchGuard(version))
