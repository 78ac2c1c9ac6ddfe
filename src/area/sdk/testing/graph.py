"""Deprecated: the module is now `area.sdk.testing.msgraph`."""

import importlib
import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    warnings.warn("area.sdk.testing.graph is now area.sdk.testing.msgraph", DeprecationWarning, stacklevel=2)
    return getattr(importlib.import_module("area.sdk.testing.msgraph"), name)
