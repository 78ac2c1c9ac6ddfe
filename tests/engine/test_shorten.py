"""What is kept of a body that is larger than an event."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from area.hooks.shorten import LEFT_OUT, ROOM, decode
from area.kit.zygote import Unreadable


def shortened(value, most=50_000):
    written = decode(orjson.dumps(value), most=most)
    assert len(written) <= most
    return orjson.loads(written)


def test_what_fits_stays():
    value = {"commits": [{"id": number} for number in range(100)], "a": {"b": None}}
    assert shortened(value) == value


def test_lists_are_cut_and_the_rest_stays():
    value = {"commits": [{"id": number, "text": "x" * 100} for number in range(2048)], "repository": {"name": "r"}}
    stored = shortened(value)
    assert stored["repository"] == {"name": "r"}
    assert stored["commits"] == value["commits"][: len(stored["commits"])]
    assert 200 < len(stored["commits"]) < 2048
    assert stored[LEFT_OUT] == [{"path": "commits", "kept": len(stored["commits"]), "of": 2048}]


def test_lists_within_lists_and_texts_are_cut():
    value = {"commits": [{"added": ["file"] * 100_000, "id": 1}], "output": {"text": "é" * 100_000}, "n": 1}
    stored = shortened(value)
    assert stored["n"] == stored["commits"][0]["id"] == 1
    assert {note["path"] for note in stored[LEFT_OUT]} == {"commits.0.added", "output.text"}
    assert value["output"]["text"].startswith(stored["output"]["text"])


@pytest.mark.parametrize("body", [b"[]", b"{", b"", b"1", b"[" * 100_000])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(Unreadable):
        decode(body, most=50_000)


values = st.recursive(
    st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=3000),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=5), inner, max_size=10),
    max_leaves=60,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=5), values, max_size=8))
def test_any_object_is_an_object_that_fits(value):
    most = ROOM + 30_000
    stored = orjson.loads(decode(orjson.dumps(value), most=most))
    assert set(value) <= set(stored)
    assert len(orjson.dumps(stored)) <= most + ROOM
