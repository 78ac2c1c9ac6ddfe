"""Names that connectors of older versions import go on working, with a warning that says the new one."""

import importlib
import re

import pytest

MODULES = {
    "area.sdk.google": ("area.vendors.google", "scope"),
    "area.sdk.microsoft": ("area.vendors.microsoft", "GRAPH"),
    "area.sdk.testing.graph": ("area.sdk.testing.msgraph", "graph"),
    "area.sdk.testing.graphs": ("area.sdk.testing.graphql", "graphed"),
}


@pytest.mark.parametrize("old", MODULES)
def test_a_module_that_moved_is_still_there(old: str):
    new, name = MODULES[old]
    with pytest.warns(DeprecationWarning, match=re.escape(f"{old} is now {new}")):
        value = getattr(importlib.import_module(old), name)
    assert value is getattr(importlib.import_module(new), name)
