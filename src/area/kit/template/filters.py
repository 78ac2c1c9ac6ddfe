"""The closed list of pure filters."""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from area.kit.budget import MAX_TEXT, Budget
from area.kit.decoding import parse_json
from area.kit.sentences import Sentence
from area.kit.template import lists, texts
from area.kit.template.dates import date_add_filter, date_filter
from area.kit.template.html import strip_html
from area.kit.template.numbers import number_filter, round_filter
from area.kit.template.reading import SHOWN, Argument
from area.kit.template.values import (
    BadArgument,
    Filter,
    FilterOfTwo,
    Unfit,
    argument_int,
    argument_path,
    argument_text,
    as_paid_text,
    bounded,
    is_empty,
    to_json,
)

Function = Callable[[str], str]
# "any" is a value that is known only when an event comes
Shape = Literal["any", "text", "number", "boolean", "list", "object"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A filter: its syntax, its factory, its number of arguments, and whether it takes text.

    `takes` are the values it can process at all, or empty for all of them; `gives` is what it makes. With `of_two`, its
    only argument may also be the path of a second value. `pattern`: backslashes in its first argument are its own.
    """

    usage: str
    build: Callable[..., Filter]
    least: int = 0
    most: int = 0
    text: bool = False
    takes: frozenset[Shape] = frozenset()
    gives: Shape = "any"
    of_two: FilterOfTwo | None = None
    pattern: bool = False


def _plain(function: Function, characters: int, of_ascii: int = 64) -> Callable[[], Filter]:
    """A filter that processes that many characters per step."""

    def apply(text: str, budget: Budget) -> str:
        budget.spend(2 + len(text) // (of_ascii if text.isascii() else characters))
        return function(text)

    return lambda: apply


def _truncate(length: Argument, end: Argument = "…") -> Filter:
    size = argument_int(length, Sentence("the length"), 1, MAX_TEXT)
    tail = argument_text(end, Sentence("the end"))
    if len(tail) > size:
        raise BadArgument(Sentence("the end is longer than the whole."))

    def truncate(text: str, budget: Budget) -> str:
        if len(text) <= size:
            return text
        budget.spend(2 + (size >> 6))
        return text[: size - len(tail)].rstrip() + tail

    return truncate


def _default(fallback: Argument) -> Filter:
    return lambda value, _: fallback if is_empty(value) else value


def _default_of_two(value: Any, _: Budget, other: Any) -> Any:
    return other if is_empty(value) else value


def _merge(other: Argument = None) -> Filter:
    if other is None:
        return lists.merge
    text = argument_text(other, Sentence("the object"))
    return lambda value, budget: lists.merge_with(value, budget, text)


def _replace(old: Argument, new: Argument) -> Filter:
    sought, other = argument_text(old, Sentence("what to replace")), argument_text(new, Sentence("the replacement"))
    if not sought:
        raise BadArgument(Sentence("what to replace must not be empty."))

    def replace(text: str, budget: Budget) -> str:
        budget.spend(2 + (len(text) >> 4))
        # counted first, so that a text that would be too large is never created
        number = text.count(sought)
        size = bounded(len(text) + number * (len(other) - len(sought)))
        budget.spend(number // 4 + (size >> 5))
        return text.replace(sought, other)

    return replace


def _join(separator: Argument = ", ") -> Filter:
    between = argument_text(separator, Sentence("the separator"))

    def join(value: Any, budget: Budget) -> str:
        if not isinstance(value, list | tuple):
            return as_paid_text(value, budget)
        budget.spend(2 + 4 * len(value))
        pieces = []
        size = 0
        for item in value:
            text = item if type(item) is str else as_paid_text(item, budget)
            size = bounded(size + len(text) + len(between))
            pieces.append(text)
        budget.spend(size >> 5)
        return between.join(pieces)

    return join


def _raw(value: Any, _: Budget) -> Any:
    return value


def _first(value: Any, _: Budget) -> Any:
    return (value[0] if value else None) if isinstance(value, list | tuple | str) else value


def _last(value: Any, _: Budget) -> Any:
    return (value[-1] if value else None) if isinstance(value, list | tuple | str) else value


def _length(value: Any, budget: Budget) -> int:
    return len(value if isinstance(value, str | list | tuple | dict) else as_paid_text(value, budget))


def _parse_json(path: Argument = None) -> Filter:
    steps = None if path is None else argument_path(path)

    def parse(value: Any, budget: Budget) -> Any:
        if isinstance(value, str):
            if is_empty(value):
                return None
            # each value takes as much memory as many characters
            budget.spend(20 + len(value) // 4 + 8 * sum(map(value.count, ",:[{")))
            try:
                value = parse_json(value)
            except ValueError as error:
                raise Unfit(Sentence('"%(text)s" is not JSON.', text=value[:SHOWN])) from error
        return value if steps is None else steps.within(value)

    return parse


_SAFE = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-.~"


def url_encoded(text: str, budget: Budget) -> str:
    """`text` as one part of a URL (RFC 3986, unreserved characters stay)."""
    raw = text.encode(errors="replace")
    budget.spend(2 + (len(raw) >> 5))
    unsafe = len(raw.translate(None, _SAFE))
    if not unsafe:
        return text
    budget.spend(bounded(len(raw) + 2 * unsafe) // 2)
    return quote(raw, safe="")


def path_encoded(text: str, budget: Budget) -> str:
    """`text` as part of a URL's path: one segment, or a piece of one."""
    if text in (".", ".."):
        raise Unfit(Sentence('"%(text)s" can\'t be a part of a path.', text=text))
    return url_encoded(text, budget)


def host_checked(text: str, budget: Budget) -> str:
    """`text` as part of a URL's host, including the port."""
    budget.spend(2 + len(text))
    if not all(character.isalnum() or character in "-._:[]" for character in text):
        raise Unfit(Sentence('"%(text)s" can\'t be a part of a host.', text=text[:SHOWN]))
    return text


# https://core.telegram.org/bots/api#markdownv2-style, and the beginnings of HTML and references in
# https://spec.commonmark.org/0.31.2/#backslash-escapes; both allow escaping any of them
_MARKDOWN = "\\_*[]()~`>#+-=|{}.!<&"  # the backslash first, as it is added to the others


def escape_markdown(text: str, budget: Budget) -> str:
    """`text` with a backslash before each special character."""
    budget.spend(2 + len(text) // 2)
    for character in _MARKDOWN:  # `str.translate` takes five to fifteen times as long
        text = text.replace(character, f"\\{character}")
    return text


_LIST: frozenset[Shape] = frozenset({"any", "list"})
_OBJECT: frozenset[Shape] = frozenset({"any", "object"})
_EITHER: frozenset[Shape] = _LIST | _OBJECT
_PART: frozenset[Shape] = _LIST | {"text"}


def _text(usage: str, build: Callable[..., Filter], least: int = 0, most: int = 0, gives: Shape = "text") -> Kind:
    return Kind(usage, build, least, most, text=True, gives=gives)


def _list(usage: str, build: Callable[..., Filter], least: int = 0, most: int = 0, gives: Shape = "list") -> Kind:
    return Kind(usage, build, least, most, takes=_LIST, gives=gives)


FILTERS: Mapping[str, Kind] = {
    "upper": _text("upper", _plain(str.upper, 4)),
    "lower": _text("lower", _plain(str.lower, 2)),
    "trim": _text("trim", _plain(str.strip, 64)),
    "truncate": _text('truncate:80 or truncate:80,"…"', _truncate, 1, 2),
    "default": Kind('default:"none" or default:name', _default, 1, 1, of_two=_default_of_two),
    "date": Kind('date:"%d.%m.%Y %H:%M" or date:"%H:%M","Europe/Paris"', date_filter, 1, 2, gives="text"),
    "date_add": Kind('date_add:"2 days" or date_add:"-1 month","Europe/Paris"', date_add_filter, 1, 2, gives="text"),
    "json": Kind("json", lambda: to_json, gives="text"),
    "parse_json": Kind('parse_json or parse_json:"issue.title"', _parse_json, 0, 1),
    "urlencode": _text("urlencode", lambda: url_encoded),
    "url_part": _text('url_part:"host" or url_part:"query","page"', texts.url_part_filter, 1, 2, gives="any"),
    "raw": Kind("raw", lambda: _raw),
    "escape_html": _text("escape_html", _plain(html.escape, 2, 2)),
    "escape_markdown": _text("escape_markdown", lambda: escape_markdown),
    "escape_slack": _text("escape_slack", _plain(lambda text: html.escape(text, quote=False), 2, 2)),
    "number": Kind("number or number:2", number_filter, 0, 1),
    "round": Kind("round or round:2", round_filter, 0, 1, gives="number"),
    "replace": _text('replace:"old","new"', _replace, 2, 2),
    "match": Kind('match:"v([0-9.]+)" or match:"#([0-9]+)","all"', texts.match_filter, 1, 2, text=True, pattern=True),
    "split": _text('split or split:","', texts.split_filter, 0, 1, gives="list"),
    "lines": _text("lines", lambda: texts.lines, gives="list"),
    "first": Kind("first", lambda: _first),
    "last": Kind("last", lambda: _last),
    "slice": Kind("slice:2 or slice:0,5", lists.slice_filter, 1, 2, takes=_PART),
    "join": Kind('join or join:", "', _join, 0, 1, gives="text"),
    "length": Kind("length", lambda: _length, gives="number"),
    "map": _list('map:"author.name"', lists.map_filter, 1, 1),
    "where": Kind("where:\"state == 'open'\"", lists.where_filter, 1, 1, takes=_LIST, gives="list", pattern=True),
    "count": Kind(
        "count or count:\"state == 'open'\"", lists.count_filter, 0, 1, takes=_LIST, gives="number", pattern=True
    ),
    "sort": _list('sort or sort:"price","desc"', lists.sort_filter, 0, 2),
    "unique": _list('unique or unique:"author.name"', lists.unique_filter, 0, 1),
    "group": _list('group:"state"', lists.group_filter, 1, 1),
    "sum": _list('sum or sum:"price"', lists.sum_filter, 0, 1, "number"),
    "min": _list('min or min:"price"', lists.min_filter, 0, 1, "any"),
    "max": _list('max or max:"price"', lists.max_filter, 0, 1, "any"),
    "flatten": _list("flatten", lambda: lists.flatten),
    "keys": Kind("keys", lambda: lists.keys, takes=_OBJECT, gives="list"),
    "values": Kind("values", lambda: lists.values, takes=_OBJECT, gives="list"),
    "merge": Kind("merge or merge:name", _merge, 0, 1, takes=_EITHER, gives="object", of_two=lists.merge_with),
    "pick": Kind('pick:"id","title"', lists.pick_filter, 1, 20, takes=_EITHER),
    "csv": _list('csv or csv:";"', texts.csv_filter, 0, 1, "text"),
    "parse_csv": _text('parse_csv or parse_csv:";"', texts.parse_csv_filter, 0, 1, gives="list"),
    "hash": _text('hash or hash:"sha512"', texts.hash_filter, 0, 1),
    "base64": _text('base64 or base64:"decode"', texts.base64_filter, 0, 1),
    "strip_html": _text("strip_html", lambda: strip_html),
}
