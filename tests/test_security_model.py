"""The limits that docs/explanation/security-model.md names are those of the code."""

import importlib
import re
from datetime import timedelta
from pathlib import Path

import pytest

from area.settings import Settings

PAGE = (Path(__file__).parents[1] / "docs/explanation/security-model.md").read_text()
ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \| `((?:AREA_|area\.)[\w.]+)` \|$", PAGE, re.MULTILINE)
SHARES = re.findall(r"^\| ([^|]+) \| ([\d,]+) \| ([\d,]+) \| `(area\.[\w.]+)` \|$", PAGE, re.MULTILINE)
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def in_code(where: str) -> float:
    """The default of a setting, or a constant; a span of time in seconds."""
    if where.startswith("AREA_"):
        value = Settings.model_fields[where.removeprefix("AREA_").lower()].default
    else:
        module, _, name = where.rpartition(".")
        value = getattr(importlib.import_module(module), name)
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def in_words(default: str) -> float:
    """A number such as 1,000, or `15 minutes` in seconds."""
    match = re.fullmatch(r"([\d,.]+)(?: (second|minute|hour|day)s?)?", default)
    assert match, default
    return float(match[1].replace(",", "")) * UNITS.get(match[2] or "", 1)


def test_the_page_names_limits():
    assert len(ROWS) > 20
    section = PAGE.partition("## Limits")[2].partition("\n### ")[0]
    assert len(re.findall(r"^\| ", section, re.MULTILINE)) == len(ROWS) + 1  # each row but the head has been read


@pytest.mark.parametrize(("limit", "default", "where"), ROWS)
def test_a_limit_is_that_of_the_code(limit: str, default: str, where: str):
    assert in_words(default) == in_code(where), limit


@pytest.mark.parametrize(("what", "at_once", "waiting", "where"), SHARES)
def test_a_share_is_that_of_the_code(what: str, at_once: str, waiting: str, where: str):
    module, _, name = where.rpartition(".")
    pool = getattr(importlib.import_module(module), name)
    assert (pool._per_key, pool._most_per_key) == (in_words(at_once), in_words(waiting)), what


def test_every_share_is_named():
    sources = (Path(__file__).parents[1] / "src/area").rglob("*.py")
    pools = [name for file in sources for name in re.findall(r"^(\w+) = Fair\(", file.read_text(), re.MULTILINE)]
    assert sorted(pools) == sorted(where.rpartition(".")[2] for *_, where in SHARES)
