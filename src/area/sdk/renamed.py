"""Names that connectors of older versions import: they go on working, with a warning that says the new name."""

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a module (PEP 562) that knows its old `names`, each with its new one."""

    def old(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now {module}.{names[name]}", DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[module], names[name])

    return old


def moved(module: str, new: str) -> Callable[[str], Any]:
    """Make the `__getattr__` of a module whose contents are in the module `new` now."""

    def old(name: str) -> Any:
        warnings.warn(f"{module} is now {new}", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(new), name)

    return old
