"""Old names that existing connectors import: they keep working, with a warning that gives the new name."""

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Build a module's `__getattr__` (PEP 562) that maps its old `names` to new ones."""

    def old(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now {module}.{names[name]}", DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[module], names[name])

    return old


def moved(module: str, new: str) -> Callable[[str], Any]:
    """Build the `__getattr__` of a module whose contents are now in the module `new`."""

    def old(name: str) -> Any:
        warnings.warn(f"{module} is now {new}", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(new), name)

    return old
