"""Places in a text where a value must be encoded, so that it can't change the text around it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from area.kit.budget import Budget
from area.kit.decoding import parse_json
from area.kit.template.filters import escape_markdown, host_checked, path_encoded, url_encoded
from area.kit.template.values import Filter, Unfit, as_paid_text

Encode = Callable[[str, Budget], str]


@dataclass(frozen=True, slots=True)
class Place:
    """Encodes values at a place.

    `encode` gets the known text before the placeholder, and whether it is the first placeholder; it returns None where
    values stay as they are. `by_hand` are the filters that do the same; `raw` always is. A text that is exactly one
    placeholder stays as it is, unless `alone`. With `deep`, texts within objects and lists are encoded one by one.
    """

    encode: Callable[[str, bool], Encode | None]
    by_hand: frozenset[str] = frozenset()
    alone: bool = False
    deep: bool = False


def encoding(encode: Encode, *, deep: bool = False) -> Filter:
    """`encode` as a filter. Numbers, booleans and missing values keep their type, since nothing in them is special."""

    def apply(value: Any, budget: Budget) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if deep and isinstance(value, Mapping):
            return {str(key): apply(inner, budget) for key, inner in value.items()}
        if deep and isinstance(value, list | tuple):
            return [apply(inner, budget) for inner in value]
        return encode(as_paid_text(value, budget), budget)

    return apply


def _in_address(before: str, first: bool) -> Encode | None:  # noqa: FBT001 -- `Place.encode`
    """The first value is a URL itself, or the beginning of one, and stays as it is."""
    if first and not before.strip():
        return None
    _, colon, after = before.partition("://")
    if "?" in before or "#" in before:
        return url_encoded
    if colon and "/" not in after:
        return host_checked
    return path_encoded if colon or "/" in before else None


def _in_markup(before: str, first: bool) -> Encode | None:  # noqa: FBT001, ARG001 -- `Place.encode`
    opened = max(before.rfind("<![CDATA["), before.rfind("<!--"))
    if opened >= 0 and not re.search(r"\]\]>|-->", before[opened:]):
        return _in_cdata if before.startswith("<![CDATA[", opened) else _in_comment
    return _escaped


def _escaped(text: str, budget: Budget) -> str:
    budget.spend(2 + len(text) // 2)
    return escape(text)


def _in_cdata(text: str, budget: Budget) -> str:
    """XML 1.0 §2.7: a section ends at the first `]]>`, so each `>` is placed outside it."""
    budget.spend(2 + len(text) // 16 + text.count(">"))
    return text.replace(">", "]]>&gt;<![CDATA[")


def _in_comment(text: str, budget: Budget) -> str:
    """XML 1.0 §2.5: a comment must not contain `--`."""
    budget.spend(2 + len(text) // 2)
    return escape(text).replace("-", "&#45;")


def _json_value(value: Any, budget: Budget) -> Any:
    """A value without quotes in a JSON document: text that is JSON is that value, any other a string."""
    if not isinstance(value, str):
        return value
    budget.spend(2 + (len(value) >> 3))
    try:
        return parse_json(value)
    except ValueError:
        return value


bare_json: Filter = _json_value

ADDRESS = Place(_in_address, frozenset({"urlencode"}))
FORM = Place(lambda before, first: url_encoded, frozenset({"urlencode"}))  # noqa: ARG005 -- `Place.encode`
MARKUP = Place(_in_markup, frozenset({"escape_html"}))
MARKDOWN = Place(lambda before, first: escape_markdown, frozenset({"escape_markdown"}))  # noqa: ARG005 -- the same


def segments(separator: str, what: str, instead: str = "") -> Place:
    """A path whose segments are separated by `separator`: no value may add a segment, except the first of all.

    A separator in a value is replaced by `instead`; without that it fails the run, and `what` names the path in the
    error.
    """

    def encode(text: str, budget: Budget) -> str:
        budget.spend(2 + (len(text) >> 4))
        if text in (".", "..") or (separator in text and not instead):
            raise Unfit(f'"{text[:50]}" can\'t be a part of {what}.')
        return text.replace(separator, instead)

    return Place(lambda before, first: None if first and not before.strip() else encode)


def marks(pattern: str, instead: str | Callable[[re.Match[str]], str], *by_hand: str) -> Place:
    r"""Text in which some signs of a value would be an order to who reads it: those that fit `pattern` are replaced.

    Two values may follow one another, so the pattern must also fit what a value ends with: `<(?=@|\Z)` rather than
    `<(?=@)`.
    """
    expression = re.compile(pattern, re.MULTILINE)

    def encode(text: str, budget: Budget) -> str:
        budget.spend(2 + len(text) // 8)
        return expression.sub(instead, text)

    return Place(lambda before, first: encode, frozenset(by_hand), alone=True)  # noqa: ARG005 -- `Place.encode`
