"""Connectors import the SDK and what vendors share, and nothing below: what they import is what a third party's may."""

import ast
from pathlib import Path

import pytest

import area.connectors
import area.sdk

CONNECTORS = Path(area.connectors.__file__).parent
MODULES = [path for path in CONNECTORS.rglob("*.py") if not path.name.startswith(("test_", "conftest", "build"))]
ROOMS = (
    "decoding",
    "dedupe",
    "fields",
    "forms",
    "keys",
    "mail",
    "selection",
    "sensitive",
    "shapes",
    "sockets",
    "verify",
)
ROOMS += ("credentials", "timers", "http")
# run in a process of their own, loaded by their path: they may import what the SDK stands on
DECODERS = {"calendar/ics.py", "email/parser.py", "rss/reader.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CONNECTORS)))
def test_a_connector_imports_the_sdk_alone(path: Path):
    connector = path.relative_to(CONNECTORS).parts[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("area.") for alias in node.names), ast.unparse(node)
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("area"):
            continue
        module, names = node.module or "", {alias.name for alias in node.names}
        if module.startswith("area.kit.") and str(path.relative_to(CONNECTORS)) in DECODERS:
            continue
        if (module, names) == ("area", {"__version__"}):
            continue
        assert module.split(".")[:2] in (["area", "sdk"], ["area", "vendors"], ["area", "connectors"]), module
        if module.startswith("area.connectors"):
            assert module.split(".")[2:3] in ([], [connector]), module
        if module == "area.sdk":
            assert names <= {*area.sdk.__all__}, f"not exported by area.sdk: {names - {*area.sdk.__all__}}"
        elif module.startswith("area.sdk."):
            assert module.removeprefix("area.sdk.") in ROOMS, f"{module} is no room for connectors"
            assert not names & {*area.sdk.__all__}, f"import {names & {*area.sdk.__all__}} from area.sdk"
        assert not any(name.startswith("_") for name in names), names


def test_what_the_sdk_exports_is_there_and_in_order():
    assert [name for name in area.sdk.__all__ if not hasattr(area.sdk, name)] == []
    assert len(area.sdk.__all__) == len({*area.sdk.__all__})
