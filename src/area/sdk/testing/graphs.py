"""Deprecated: the module is now `area.sdk.testing.graphql`."""

import importlib
import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    warnings.warn("area.sdk.testing.graphs is now area.sdk.testing.graphql", DeprecationWarning, stacklevel=2)
    return getattr(importlib.import_module("area.sdk.testing.graphql"), name)
