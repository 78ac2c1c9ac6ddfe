"""Deprecated: the module is now `area.vendors.microsoft`."""

import importlib
import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    warnings.warn("area.sdk.microsoft is now area.vendors.microsoft", DeprecationWarning, stacklevel=2)
    return getattr(importlib.import_module("area.vendors.microsoft"), name)
