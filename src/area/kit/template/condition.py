"""`only_if`: comparisons on return values, joined by and, or, not and parentheses.

Compiled to closures, evaluated in microseconds; evaluation never raises and never runs longer than linear in the values.
The grammar for users is in docs/reference/templates.md.
"""

import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

from area.kit import regex
from area.kit.regex import RegexError
from area.kit.template.dates import parse_date
from area.kit.template.reading import (
    Argument,
    Path,
    PlacedError,
    read_literal,
    read_path,
    read_string,
    skip_space,
    unknown_names,
)
from area.kit.template.values import as_text, is_empty
from area.kit.text import clean_json, nearest

MAX_CONDITION = 10_240  # characters
MAX_DEPTH = 50  # of parentheses and `not`
MAX_COMPARISONS = 200
MAX_PROGRAMS = 2 * regex.MAX_PROGRAM  # instructions of all patterns together
MAX_COMPARED = 262_144  # characters of a value that contains, starts_with and ends_with look at
MAX_ITEMS = 10_000  # of a list that contains and in look at; longer ones equal nothing

Data = Mapping[str, Any]
Test = Callable[[Data], bool]
Operand = Callable[[Data], Any]


class ConditionError(PlacedError):
    """A condition that can't be used: what is wrong, where, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition; made by `parse`. `names` are the top-level names that it uses."""

    text: str
    names: frozenset[str]
    _test: Test = field(repr=False)

    def evaluate(self, data: Data) -> bool:
        """Whether it holds for `data`. Never raises: a missing value is null, what can't be compared is not so."""
        return self._test(data)


def parse(text: str) -> Condition:
    """Compile a condition. Raises `ConditionError`."""
    if len(text) > MAX_CONDITION:
        message = f"the condition is too long: {len(text):,} characters, {MAX_CONDITION:,} are allowed."
        raise ConditionError(message, text, MAX_CONDITION)
    reader = _Reader(text)
    if reader.position == len(text):
        reader.fail('the condition is empty; write one such as title contains "urgent".')
    test = reader.disjunction(0)
    reader.expect_end()
    return Condition(text, frozenset(reader.names), test)


def check(condition: Condition, names: Collection[str]) -> list[str]:
    """A sentence for each top-level name that the condition uses and `names` does not have; none when all is well."""
    return [
        f"{sentence} A text stands in quotes." if "did you mean" not in sentence else sentence
        for sentence in unknown_names(condition.names, names)
    ]


# --- reading --------------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W\d]\w*")
_SYMBOL = re.compile(r"==|!=|<=|>=|<|>")
_RESERVED = frozenset({
    "and", "or", "not", "contains", "starts_with", "ends_with", "matches", "in", "empty", "true", "false", "null",
})  # fmt: skip
_JOINTS = ("and", "or", "contains", "starts_with", "ends_with", "matches", "empty")
_WORD_OPERATORS = ("contains", "starts_with", "ends_with", "matches", "in")
_INSTEAD = {
    "===": "==", "=": "==", "<>": "!=", "~": "matches", "&&": "and", "||": "or", "&": "and", "|": "or", "!": "not",
    "is": "==, or nothing before empty", "equals": "==", "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=",
    "like": "contains", "includes": "contains", "startswith": "starts_with", "endswith": "ends_with", "begins_with": "starts_with",
    "match": "matches", "regex": "matches", "exists": "not empty",
}  # fmt: skip
_FOREIGN = re.compile(r"===|=|<>|~|&&|\|\||&|\||!")


class _Reader:
    """Reads a condition by recursive descent; `position` is where it is."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = skip_space(text, 0)
        self.names: set[str] = set()
        self.comparisons = 0
        self.programs = 0

    def fail(self, message: str, position: int | None = None) -> NoReturn:
        raise ConditionError(message, self.text, self.position if position is None else position)

    def misplaced(self, message: str, position: int | None = None) -> NoReturn:
        """Fail with advice on what stands here, if it is a known mistake, else with `message`."""
        if self.at("{{"):
            self.fail('names stand without braces here, as in title contains "x".')
        if self.text[self.position : self.position + 1] in tuple("“”„‘’«»"):  # noqa: RUF001 -- what phones write
            self.fail("use straight quotes: \" or '.")
        found = _FOREIGN.match(self.text, self.position) or _WORD.match(self.text, self.position)
        word = found[0] if found else ""
        if word.lower() in _INSTEAD:
            self.fail(f'instead of "{word}" write {_INSTEAD[word.lower()]}.')
        meant = nearest(word, _JOINTS)
        if meant:
            self.fail(f'"{word[:50]}" can\'t stand here; did you mean "{meant}"?')
        self.fail(message, position)

    def expect_end(self) -> None:
        if self.position < len(self.text):
            self.misplaced('nothing is expected here; join comparisons with "and" or "or".')

    def move(self, position: int) -> None:
        self.position = skip_space(self.text, position)

    def word(self) -> str:
        """The reserved word that stands here, in lower case, or nothing."""
        match = _WORD.match(self.text, self.position)
        if match is None or match[0].lower() not in _RESERVED or self.text.startswith((".", "-"), match.end()):
            return ""
        return match[0].lower()

    def take(self, word: str) -> bool:
        """Go past a reserved word if it stands here."""
        found = self.word() == word
        if found:
            self.move(self.position + len(word))
        return found

    def at(self, symbol: str) -> bool:
        return self.text.startswith(symbol, self.position)

    def disjunction(self, depth: int) -> Test:
        tests = [self.conjunction(depth)]
        while self.take("or"):
            tests.append(self.conjunction(depth))
        return tests[0] if len(tests) == 1 else _any(tuple(tests))

    def conjunction(self, depth: int) -> Test:
        tests = [self.negation(depth)]
        while self.take("and"):
            tests.append(self.negation(depth))
        return tests[0] if len(tests) == 1 else _all(tuple(tests))

    def negation(self, depth: int) -> Test:
        if depth > MAX_DEPTH:
            self.fail(f"parentheses and not are nested more than {MAX_DEPTH} deep.")
        if self.take("not"):
            return _not(self.negation(depth + 1))
        if not self.at("("):
            return self.comparison()
        opened = self.position
        self.move(opened + 1)
        test = self.disjunction(depth + 1)
        if not self.at(")"):
            self.misplaced("the parenthesis is never closed; add ).", opened)
        self.move(self.position + 1)
        return test

    def comparison(self) -> Test:
        self.comparisons += 1
        if self.comparisons > MAX_COMPARISONS:
            self.fail(f"there are more than {MAX_COMPARISONS} comparisons; use in with a list, or matches.")
        start = self.position
        left = self.operand()
        denied = self.take("not")
        word = self.word()
        if word == "empty":
            self.take(word)
            test = _empty(left)
        elif word in _WORD_OPERATORS:
            self.take(word)
            test = self.word_comparison(word, left)
        elif denied:
            self.fail(f"after not comes {', '.join(_WORD_OPERATORS)} or empty here; else write not before the value.")
        elif (match := _SYMBOL.match(self.text, self.position)) and not self.at("<>"):
            self.move(match.end())
            if self.at("="):
                self.fail(f"after {match[0]} comes a value, no further =.")
            test = _SYMBOLS[match[0]](left, self.operand(after=True))
        elif isinstance(left, _Value):
            self.misplaced("after this value comes a comparison, such as == or contains.", start)
        else:
            test = _true(left)
        return _not(test) if denied else test

    def word_comparison(self, word: str, left: Operand) -> Test:
        if word == "matches":
            return _matches(left, self.pattern())
        start = self.position
        right = self.operand(after=True)
        is_list = isinstance(right, _Value) and isinstance(right.value, list)
        if word == "in":
            if isinstance(right, _Value) and not isinstance(right.value, list | str):
                self.fail('after in comes a list, such as ["a", "b"].', start)
            return _in(left, right)
        if is_list:
            self.fail(f'after {word} comes one value, no list; join several comparisons with "or".', start)
        return _WORDS[word](left, right)

    def pattern(self) -> regex.Regex:
        start = self.position
        if not self.text.startswith(('"', "'"), start):
            self.misplaced('after matches comes a pattern in quotes, such as "^v[0-9]+".')
        pattern, end = read_string(self.text, start, ConditionError, raw=True)
        try:
            compiled = regex.compile(pattern)
        except RegexError as error:
            raise ConditionError(str(error), self.text, start) from error
        self.programs += compiled.size
        if self.programs > MAX_PROGRAMS:
            self.fail("the patterns of this condition are too complex together; use fewer.", start)
        self.move(end)
        return compiled

    def operand(self, *, after: bool = False) -> Operand:
        """A value. `after` an operator a bracket begins a list, before one a path such as ["odd key"].title."""
        if after and self.at("["):
            return self.read_list()
        literal = read_literal(self.text, self.position, ConditionError)
        if literal is not None:
            self.move(literal[1])
            return _Value(literal[0])
        if word := self.word():
            self.fail(f'a value is expected before {word}; if it is a name, write ["{word}"].')
        if not _WORD.match(self.text, self.position) and not self.at("["):
            self.misplaced("a value is expected here: a name, a text in quotes, a number or a list.")
        path, end = read_path(self.text, self.position, ConditionError)
        self.names.add(path.name)
        self.move(end)
        return _lookup(path)

    def read_list(self) -> Operand:
        opened = self.position
        self.move(opened + 1)
        items: list[Argument] = []
        while not self.at("]"):
            if items:
                if not self.at(","):
                    self.fail("between the values of a list stands a comma, after them ].")
                self.move(self.position + 1)
            literal = read_literal(self.text, self.position, ConditionError)
            if literal is None:
                if self.position >= len(self.text):
                    self.fail("the list is never closed; add ].", opened)
                self.misplaced("a list holds texts in quotes and numbers.")
            items.append(literal[0])
            self.move(literal[1])
        self.move(self.position + 1)
        return _Value(items)


# --- evaluating -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Value:
    """An operand that stands in the condition itself."""

    value: Any

    def __call__(self, _data: Data) -> Any:
        return self.value


def _lookup(path: Path) -> Operand:
    find = path.find

    def lookup(data: Data) -> Any:
        value = find(data)
        # dates and the like as the texts that JSON has for them
        return value if value is None or type(value) in _JSON else clean_json(value)

    return lookup


_JSON = frozenset({str, int, float, bool, list, dict})


def _any(tests: tuple[Test, ...]) -> Test:
    def test(data: Data) -> bool:
        for one in tests:  # noqa: SIM110 -- half the time of any() with a generator
            if one(data):
                return True
        return False

    return test


def _all(tests: tuple[Test, ...]) -> Test:
    def test(data: Data) -> bool:
        for one in tests:  # noqa: SIM110 -- half the time of all() with a generator
            if not one(data):
                return False
        return True

    return test


def _not(test: Test) -> Test:
    return lambda data: not test(data)


def _empty(left: Operand) -> Test:
    return lambda data: is_empty(left(data))


def _true(left: Operand) -> Test:
    return lambda data: bool(left(data))


def _matches(left: Operand, pattern: regex.Regex) -> Test:
    def test(data: Data) -> bool:
        text = _text(left(data))
        return text is not None and pattern.search(text)

    return test


def _text(value: Any) -> str | None:
    """A value as text for the text comparisons; null, lists and objects have none."""
    if type(value) is str:
        return value
    return None if value is None or isinstance(value, list | dict) else as_text(value)


def _folded(text: str) -> str:
    return text[:MAX_COMPARED].casefold()


def _text_test(compare: Callable[[str, str], bool]) -> Callable[[Operand, Operand], Test]:
    """A comparison of texts, given the left one as it is and the right one folded; they are told apart without case."""

    def make(left: Operand, right: Operand) -> Test:
        known = _text(right.value) if isinstance(right, _Value) else None
        folded = None if known is None else _folded(known)

        def test(data: Data) -> bool:
            wanted = folded
            if wanted is None:
                given = _text(right(data))
                if given is None:
                    return False
                wanted = _folded(given)
            text = _text(left(data))
            return text is not None and compare(text, wanted)

        return test

    return make


# a character folds to one or more, so that as many as the wanted text has are enough
_starts_with = _text_test(lambda text, wanted: _folded(text[: len(wanted)]).startswith(wanted))
_ends_with = _text_test(lambda text, wanted: _folded(text[-len(wanted) :]).endswith(wanted))
_text_contains = _text_test(lambda text, wanted: wanted in _folded(text))


def _contains(left: Operand, right: Operand) -> Test:
    in_text = _text_contains(left, right)

    def test(data: Data) -> bool:
        value = left(data)
        if type(value) is not list:
            return in_text(data)
        wanted = right(data)
        if type(wanted) is not str:
            return any(_equal(item, wanted) for item in value[:MAX_ITEMS])
        folded = _folded(wanted)
        return any(
            (_folded(item) == folded) if type(item) is str else _equal(item, wanted) for item in value[:MAX_ITEMS]
        )

    return test


def _in(left: Operand, right: Operand) -> Test:
    in_text = _text_contains(right, left)
    texts = (
        frozenset(item for item in right.value if isinstance(item, str)) if isinstance(right, _Value) else frozenset()
    )

    def test(data: Data) -> bool:
        value, among = left(data), right(data)
        if type(value) is str and value in texts:
            return True
        if type(among) is list:
            return any(_equal(value, item) for item in among[:MAX_ITEMS])
        return type(among) is str and in_text(data)

    return test


def _equality(left: Operand, right: Operand) -> Test:
    return lambda data: _equal(left(data), right(data))


def _inequality(left: Operand, right: Operand) -> Test:
    return lambda data: not _equal(left(data), right(data))


def _ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Operand, Operand], Test]:
    def make(left: Operand, right: Operand) -> Test:
        def test(data: Data) -> bool:
            pair = _comparable(left(data), right(data))
            return pair is not None and compare(*pair)

        return test

    return make


def _equal(left: Any, right: Any) -> bool:
    """Texts are equal as they are or as instants, a number or boolean equals the text that shows it, lists item by item."""
    if left is None or right is None:
        return left is right
    if type(left) is str and type(right) is str:
        if left == right:
            return True
        at = _instant(left)
        return at is not None and at == _instant(right)
    if type(left) is list and type(right) is list:
        return len(left) == len(right) <= MAX_ITEMS and all(
            type(one) is not list and _equal(one, other) for one, other in zip(left, right, strict=True)
        )
    if type(left) is bool or type(right) is bool:
        truth = _truth(left)
        return truth is not None and truth is _truth(right)
    pair = _comparable(left, right)
    return pair is not None and pair[0] == pair[1]


def _truth(value: Any) -> bool | None:
    if type(value) is str:
        return {"true": True, "false": False}.get(value.lower())
    return value if type(value) is bool else None


def _comparable(left: Any, right: Any) -> tuple[Any, Any] | None:
    """Both as numbers, else both as instants, else both as texts, else None: they can't be compared."""
    if type(left) is str and type(right) is str:
        for convert in (_number, _instant):
            one = convert(left)
            other = None if one is None else convert(right)
            if other is not None:
                return one, other
        return left, right
    one, other = _number(left), _number(right)
    return None if one is None or other is None else (one, other)


_NUMERIC = re.compile(r"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?\s*", re.ASCII)
_LONGEST_NUMBER = 64


def _number(value: Any) -> int | float | None:
    if type(value) is int or type(value) is float:
        return value
    if type(value) is not str or len(value) > _LONGEST_NUMBER or not _NUMERIC.fullmatch(value):
        return None
    try:
        return int(value)  # ids of 64 bits and more are compared exactly
    except ValueError:
        return float(value)


def _instant(text: str) -> datetime | None:
    """An ISO 8601 date and time, or a date as its first instant, in UTC when it does not say."""
    if text[4:5] != "-" or (at := parse_date(text)) is None:
        return None
    return at if isinstance(at, datetime) else datetime(at.year, at.month, at.day, tzinfo=UTC)


_SYMBOLS: Mapping[str, Callable[[Operand, Operand], Test]] = {
    "==": _equality,
    "!=": _inequality,
    "<": _ordering(operator.lt),
    "<=": _ordering(operator.le),
    ">": _ordering(operator.gt),
    ">=": _ordering(operator.ge),
}
_WORDS: Mapping[str, Callable[[Operand, Operand], Test]] = {
    "contains": _contains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
}
