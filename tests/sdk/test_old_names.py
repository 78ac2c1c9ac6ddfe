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


NAMES = {
    "area.sdk": {
        "asked": "param",
        "found": "output",
        "filled": "composed",
        "Row": "Output",
        "look": "lookup",
        "given": "without_blanks",
        "whose": "account_ids",
        "news": "new_events",
        "stamp": "timestamp",
        "fill": "fill_template",
    },
    "area.sdk.answers": {
        "found": "output",
        "filled": "composed",
        "Row": "Output",
        "look": "lookup",
        "fill": "fill_template",
    },
    "area.sdk.fields": {"asked": "param"},
    "area.sdk.http": {"given": "without_blanks"},
    "area.sdk.events": {"whose": "account_ids", "news": "new_events"},
    "area.sdk.polls": {"stamp": "timestamp"},
}


@pytest.mark.parametrize(("module", "old"), [(module, old) for module, names in NAMES.items() for old in names])
def test_a_name_that_changed_is_still_there(module: str, old: str):
    new = NAMES[module][old]
    with pytest.warns(DeprecationWarning, match=re.escape(f"{module}.{old} is now {module}.{new}")):
        value = getattr(importlib.import_module(module), old)
    assert value is getattr(importlib.import_module(module), new)


@pytest.mark.parametrize("module", NAMES)
def test_a_name_that_never_was_is_not(module: str):
    assert not hasattr(importlib.import_module(module), "nothing_like_this")
