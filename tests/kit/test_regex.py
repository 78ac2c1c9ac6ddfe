"""Patterns from users: what they match, what is refused, and that none is slow."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from area.kit import regex
from area.kit.regex import MAX_PATTERN, MAX_TEXT, RegexError


def cpu_seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def test_search_and_fullmatch() -> None:
    pattern = regex.compile("v[0-9]+")
    assert pattern.search("release v12 is out")
    assert not pattern.search("release V12 is out")
    assert regex.compile("(?i)v[0-9]+").search("release V12 is out")
    assert pattern.fullmatch("v12")
    assert not pattern.fullmatch("v12 ")
    assert regex.compile("é.ü").fullmatch("éöü")
    assert regex.compile("").search("")
    assert not pattern.fullmatch("v" + "1" * MAX_TEXT)


def test_it_is_cached() -> None:
    assert regex.compile("a+b") is regex.compile("a+b")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?=a)b", "Look-arounds"),
        ("a(?!b)", "Look-arounds"),
        ("(?<=a)b", "Look-arounds"),
        ("(?<!a)b", "Look-arounds"),
        (r"(a)\1", r"Back-references such as \\1"),
        ("(a", "missing"),
        ("[z-a]", "z-a"),
        ("a{1001}", "repetition"),
        ("*", "repetition"),
        ("\\", "trailing"),
        ("a\ud800", "half a character"),
        ("a" * (MAX_PATTERN + 1), "the limit is 1,000"),
        ("a" * 1_000_000, "the limit is 1,000"),
        ("(.?){900}", "too complex"),
        (r"(\pL{100}){10}", "too complex"),
    ],
)
def test_what_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(RegexError, match=message) as refusal:
        regex.compile(pattern)
    assert len(str(refusal.value)) < 200


def test_nothing_is_written_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RegexError):
        regex.compile("(unclosed")
    pattern = regex.compile("(a?){300}a{300}")
    pattern.search("a" * 10_000)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * MAX_TEXT + "b"),
        ("(x+x+)+y", "x" * MAX_TEXT),
        ("(a|aa)+$", "a" * MAX_TEXT + "b"),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * MAX_TEXT),
        ("(.*)*x", "y" * MAX_TEXT),
        ("(a?){200}a{200}b", "a" * MAX_TEXT),
        ("(a|b)*a(a|b){400}c", "ab" * (MAX_TEXT // 2)),
    ],
)
def test_catastrophic_patterns_are_linear(pattern: str, text: str) -> None:
    """Exponential elsewhere; here a second at the very worst, for the largest text and program that are allowed."""
    compiled = regex.compile(pattern)
    assert cpu_seconds(lambda: compiled.search(text)) < 3
    assert cpu_seconds(lambda: compiled.fullmatch(text[:MAX_TEXT])) < 3


def test_a_long_text_is_looked_at_from_its_beginning() -> None:
    assert regex.compile("^a+").search("a" * 10_000_000)
    assert not regex.compile("b").search("a" * MAX_TEXT + "b")


@settings(deadline=None)
@given(st.text(max_size=50), st.text(st.characters(codec=None, categories=None), max_size=50))
def test_anything_compiles_or_is_refused_with_a_sentence(pattern: str, text: str) -> None:
    try:
        compiled = regex.compile(pattern)
    except RegexError as error:
        assert str(error).endswith(".")  # noqa: PT017 -- either of two ends is right
        return
    compiled.search(text)
    compiled.fullmatch(text)
