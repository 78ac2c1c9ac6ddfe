"""Suggestions, and JSON that PostgreSQL takes."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from area.kit.text import MAX_DEPTH, TOO_DEEP, clean_json, clean_text, did_you_mean, dump_json, nearest

ANY_TEXT = st.text(st.characters(codec=None, categories=None))  # surrogates and NUL too
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.binary() | st.datetimes(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(ANY_TEXT | st.integers() | st.none() | st.booleans(), inner)
        | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


def storable(value: Any) -> bool:
    """Whether PostgreSQL's jsonb takes it: no NUL, no surrogates, no NaN."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and storable(key) and storable(part) for key, part in value.items())
    if isinstance(value, list):
        return all(storable(part) for part in value)
    return value is None or isinstance(value, bool | int) or (isinstance(value, float) and abs(value) < float("inf"))


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("titel", "title"),
        ("TITLE", "title"),
        ("html_bdy", "html_body"),
        ("Titles", "title"),
        ("zzz", None),
        ("", None),
    ],
)
def test_nearest(word: str, name: str | None) -> None:
    assert nearest(word, ["title", "html_body", "author"]) == name


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("timer.nothing", None),  # what both begin with says nothing
        ("timer.sunste", "timer.sunset"),
        ("inbox.post_notice", "inbox.post"),
        ("TIMER.Sunset_at", "timer.sunset"),
        ("timr.sunset", "timer.sunset"),
    ],
)
def test_nearest_component(word: str, name: str | None) -> None:
    assert nearest(word, ["timer.sunset", "timer.weekly", "inbox.post"]) == name


def test_nearest_is_quick_on_anything() -> None:
    assert nearest("x" * 1_000_000, ["x" * 1_000_000]) is None
    assert nearest("title", []) is None


def test_did_you_mean() -> None:
    assert did_you_mean("titel", {"title"}) == '; did you mean "title"?'
    assert did_you_mean("zzz", {"title"}) == "."


def test_clean_text() -> None:
    assert clean_text("a\0b") == "a\ufffdb"
    assert clean_text("a\ud800b") == "a\ufffdb"
    assert clean_text("\udc00\ud800") == "\ufffd\ufffd"
    assert clean_text("\ud83d\ude00") == "😀"
    assert clean_text("naïve 😀") == "naïve 😀"


@settings(deadline=None)
@given(ANY_TEXT)
def test_clean_text_is_always_utf8(text: str) -> None:
    clean = clean_text(text)
    clean.encode()
    assert clean_text(clean) == clean


class Colour(StrEnum):
    RED = "red"


class Level(Enum):
    HIGH = 3


class Model(BaseModel):
    name: str
    secret: SecretStr


@dataclass
class Pair:
    left: int
    right: Any


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        (float("inf"), None),
        (float("nan"), None),
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        (2**64, "18446744073709551616"),
        (-(2**63) - 1, "-9223372036854775809"),
        (datetime(2026, 11, 23, 12, tzinfo=UTC), "2026-11-23T12:00:00+00:00"),
        (date(2026, 11, 23), "2026-11-23"),
        (time(12, 30), "12:30:00"),
        (timedelta(minutes=1), 60.0),
        (b"text", "text"),
        (b"\xff\xfe", "//4="),
        ((1, 2), [1, 2]),
        ({1}, [1]),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        (Model(name="a\0", secret=SecretStr("x")), {"name": "a\ufffd", "secret": "**********"}),
        (Pair(1, float("inf")), {"left": 1, "right": None}),
        (
            {1: 1, None: 2, False: 3, 1.5: 4, "a\0": 5, Level.HIGH: 6, (1, 2): 7},
            {"1": 1, "null": 2, "false": 3, "1.5": 4, "a\ufffd": 5, "3": 6, "[1,2]": 7},
        ),
    ],
)
def test_clean_json(value: Any, clean: Any) -> None:
    assert clean_json(value) == clean
    assert type(clean_json(value)) is type(clean)


def test_an_integer_of_any_size() -> None:
    assert clean_json(10**5000).startswith("0x")
    assert orjson.loads(dump_json({"n": 10**5000}))["n"].startswith("0x")


def nested(depth: int, wrap: Any) -> Any:
    value: Any = "end"
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}])
def test_depth_is_cut(wrap: Any) -> None:
    assert clean_json(nested(MAX_DEPTH, wrap)) == nested(MAX_DEPTH, wrap)
    assert TOO_DEEP in json.dumps(clean_json(nested(MAX_DEPTH + 1, wrap)))
    assert TOO_DEEP.encode() in dump_json(nested(100_000, wrap))
    assert orjson.loads(dump_json(nested(250, wrap))) == nested(250, wrap)


def test_a_cycle_is_cut() -> None:
    value: list[Any] = []
    value.append(value)
    assert TOO_DEEP.encode() in dump_json(value)


@settings(deadline=None)
@given(ANY_VALUE)
def test_anything_becomes_storable(value: Any) -> None:
    assert storable(clean_json(value))
    assert clean_json(clean_json(value)) == clean_json(value)
    written = dump_json(value)
    assert b"\\u0000" not in written.replace(b"\\\\", b"")
    assert storable(orjson.loads(written))


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.text("abc\\u0é"), st.lists, max_leaves=10))
def test_plain_data_is_left_as_it_is(value: Any) -> None:
    assert clean_json(value) == value
    assert dump_json(value) == orjson.dumps(value)


def test_dump_json() -> None:
    assert dump_json({"a": [1, "é"]}) == '{"a":[1,"é"]}'.encode()
    assert dump_json("a\0") == '"a\ufffd"'.encode()
    assert dump_json("\\u0000") == rb'"\\u0000"'
    assert dump_json({"\ud800": "\udfff"}) == '{"\ufffd":"\ufffd"}'.encode()
    assert dump_json(float("nan")) == b"null"
