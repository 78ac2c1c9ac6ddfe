"""Deprecated: the module is now `area.vendors.google`."""

import importlib
import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    warnings.warn("area.sdk.google is now area.vendors.google", DeprecationWarning, stacklevel=2)
    return getattr(importlib.import_module("area.vendors.google"), name)
