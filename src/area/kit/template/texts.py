"""Filters that take texts apart, or write them: tables, lines, patterns, hashes, addresses."""

import base64
import binascii
import csv
import hashlib
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from area.kit import regex
from area.kit.budget import Budget
from area.kit.regex import RegexError
from area.kit.sentences import Sentence
from area.kit.template.lists import items_of
from area.kit.template.reading import SHOWN, Argument
from area.kit.template.values import BadArgument, Filter, Unfit, argument_text, as_paid_text, bounded

MAX_MATCHED = 1_500_000  # instructions of a pattern times bytes searched: with groups each may take 10 ns
MAX_GROUPS = 20

_ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
_MARK = "\ufeff"  # of UTF-8, at the beginning of a table that a spreadsheet wrote


def split_filter(separator: Argument = None) -> Filter:
    """The filter `split`. Raises `BadArgument`."""
    mark = None if separator is None else argument_text(separator, Sentence("the separator"))
    if mark == "":
        raise BadArgument(Sentence("the separator must not be empty."))

    def split(text: str, budget: Budget) -> list[str]:
        budget.spend(4 + (len(text) >> 3))
        if not text.strip():
            return []
        if mark is None:
            budget.spend(len(text) >> 1)
            return text.split()
        budget.spend(3 * text.count(mark))
        return [piece.strip() for piece in text.split(mark)]

    return split


def lines(text: str, budget: Budget) -> list[str]:
    """The filter `lines`."""
    budget.spend(4 + (len(text) >> 3))
    ends = text.replace("\r\n", "\n").replace("\r", "\n")
    budget.spend(3 * ends.count("\n"))
    return [line.rstrip() for line in ends.split("\n") if line and not line.isspace()]


def match_filter(pattern: Argument, which: Argument = "first") -> Filter:
    """The filter `match`. Raises `BadArgument`."""
    try:
        searched = regex.capturing(argument_text(pattern, Sentence("the pattern")))
    except RegexError as error:
        raise BadArgument(str(error)) from error
    if searched.groups > MAX_GROUPS:
        raise BadArgument(Sentence("a pattern has at most %(most)s groups.", most=MAX_GROUPS))
    if which not in ("first", "all"):
        raise BadArgument(Sentence('the second argument is "first" or "all".'))

    def match(text: str, budget: Budget) -> Any:
        raw = regex.encoded(text)
        if searched.size * len(raw) > MAX_MATCHED:
            raise Unfit(
                Sentence("the text is too long for this pattern. Shorten it first, for example with | truncate:1000.")
            )
        budget.need(searched.size * len(raw) // 8)
        budget.spend(20 + (len(raw) >> 4))
        results = []
        matches = searched.finditer(raw)
        while True:
            begun = time.thread_time_ns()
            result = next(matches, None)
            budget.spend(10 + (time.thread_time_ns() - begun) // 80)
            if which == "first" or result is None:
                break
            results.append(result)
        return results if which == "all" else result

    return match


def csv_filter(separator: Argument = ",") -> Filter:
    """The filter `csv`. Raises `BadArgument`."""
    mark = _separator(separator)

    def write(value: Any, budget: Budget) -> str:
        items = items_of(value, budget)
        budget.spend(6 * len(items))
        names: dict[str, None] = {}
        for item in items:
            if isinstance(item, dict):
                budget.spend(2 + len(item))
                names.update(dict.fromkeys(item))
        written = io.StringIO()
        writer = csv.writer(written, delimiter=mark, lineterminator="\n")
        size = 0
        budget.spend(3 * len(names) * len(items))
        for row in chain([list(names)] if names else [], (_cells(item, names) for item in items)):
            cells = [cell if type(cell) is str else as_paid_text(cell, budget) for cell in row]
            length = sum(map(len, cells)) + len(cells)
            budget.spend(6 + 3 * len(cells) + (length >> 3))
            size = bounded(size + length)
            writer.writerow(cells)
        return written.getvalue()

    return write


def _cells(item: Any, names: Iterable[str]) -> Sequence[Any]:
    if isinstance(item, dict):
        return [item.get(name) for name in names]
    return item if isinstance(item, list | tuple) else (item,)


def parse_csv_filter(separator: Argument = ",") -> Filter:
    """The filter `parse_csv`. Raises `BadArgument`."""
    mark = _separator(separator)

    def parse(text: str, budget: Budget) -> list[dict[str, str]]:
        budget.spend(20 + (len(text) >> 2) + 4 * (text.count(mark) + text.count("\n") + text.count("\r")))
        rows = csv.reader(io.StringIO(text.removeprefix(_MARK), newline=""), delimiter=mark)
        table: list[dict[str, str]] = []
        header: list[str] = []
        try:
            for row in rows:
                if not header:
                    header = [name.strip() or str(place) for place, name in enumerate(row, 1)]
                elif row:
                    budget.spend(4 + 3 * len(row))
                    more = (str(place) for place in range(len(header) + 1, len(row) + 1))
                    table.append(dict(zip([*header[: len(row)], *more], row, strict=True)))
        except csv.Error as error:
            raise Unfit(Sentence('"%(text)s" is not CSV.', text=text[:SHOWN])) from error
        return table

    return parse


def _separator(separator: Argument) -> str:
    mark = argument_text(separator, Sentence("the separator"))
    if len(mark) != 1 or mark in '"\r\n':
        raise BadArgument(Sentence("the separator is one character, such as a comma, a semicolon or a tab."))
    return mark


def hash_filter(algorithm: Argument = "sha256") -> Filter:
    """The filter `hash`. Raises `BadArgument`."""
    if algorithm not in _ALGORITHMS:
        raise BadArgument(Sentence("the algorithm is one of %(names)s.", names=", ".join(_ALGORITHMS)))
    name = str(algorithm)

    def hashed(text: str, budget: Budget) -> str:
        raw = text.encode(errors="replace")
        budget.spend(20 + (len(raw) >> 4))
        return hashlib.new(name, raw, usedforsecurity=False).hexdigest()

    return hashed


def base64_filter(mode: Argument = "encode") -> Filter:
    """The filter `base64`. Raises `BadArgument`."""
    modes: Mapping[Argument, Callable[[str], str]] = {
        "encode": lambda text: base64.b64encode(text.encode(errors="replace")).decode(),
        "url": lambda text: base64.urlsafe_b64encode(text.encode(errors="replace")).decode().rstrip("="),
        "decode": _decoded,
    }
    if mode not in modes:
        raise BadArgument(Sentence('the argument is "encode", "url" or "decode".'))
    convert = modes[mode]

    def converted(text: str, budget: Budget) -> str:
        budget.spend(10 + (len(text) >> 4))
        return convert(text)

    return converted


def _decoded(text: str) -> str:
    plain = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Unfit(Sentence('"%(text)s" is not the Base64 of a text.', text=text[:SHOWN])) from error


_PARTS: Mapping[str, Callable[[SplitResult], Any]] = {
    "scheme": lambda url: url.scheme,
    "host": lambda url: url.hostname or "",
    "port": lambda url: url.port,
    "path": lambda url: unquote(url.path),
    "filename": lambda url: unquote(url.path.rpartition("/")[2]),
    "query": lambda url: url.query,
    "fragment": lambda url: unquote(url.fragment),
}


def url_part_filter(part: Argument, name: Argument = None) -> Filter:
    """The filter `url_part`. Raises `BadArgument`."""
    if part not in _PARTS:
        raise BadArgument(Sentence("the part is one of %(names)s.", names=", ".join(_PARTS)))
    key = None if name is None else argument_text(name, Sentence("the name"))
    if key is not None and part != "query":
        raise BadArgument(Sentence('a name can only follow "query".'))
    take = _PARTS[str(part)]

    def taken(text: str, budget: Budget) -> Any:
        budget.spend(40 + len(text))
        try:
            url = urlsplit(text.strip())
            if key is None:
                return take(url)
            budget.spend(10 * url.query.count("&"))
            return next((value for each, value in parse_qsl(url.query, keep_blank_values=True) if each == key), None)
        except ValueError as error:
            raise Unfit(Sentence('"%(text)s" is not an address.', text=text[:SHOWN])) from error

    return taken
