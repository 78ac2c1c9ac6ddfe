"""The comparisons of conditions, as closures over their operands.

Constants in the condition are prepared when it is compiled; what takes longer with more data spends from the budget.
"""

import operator
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from area.kit import regex
from area.kit.budget import Budget, Exhausted
from area.kit.sentences import Sentence
from area.kit.template.dates import parse_date
from area.kit.template.reading import Argument, Path
from area.kit.template.values import as_text, is_empty
from area.kit.text import clean_json

MAX_MATCHED = 2_500_000  # instructions of a pattern times bytes searched: each may take 12 ns

Data = Mapping[str, Any]
Test = Callable[[Data, Budget], bool]
Operand = Callable[[Data], Any]

TOO_MUCH = Sentence(
    "The condition needs too much processing for this event. Compare shorter texts and lists, or use fewer"
    " comparisons and simpler patterns."
)


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant operand; `source` is how it is written in the condition."""

    value: Any
    source: str = field(default="", compare=False)

    def __call__(self, _data: Data) -> Any:
        """The value, whatever the data."""
        return self.value


def lookup(path: Path) -> Operand:
    """The value at a path."""
    find = path.find

    def lookup(data: Data) -> Any:
        value = find(data)
        # dates and the like as in JSON
        return value if value is None or type(value) in _JSON else clean_json(value)

    return lookup


_JSON = frozenset({str, int, float, bool, list, dict})


def any_of(tests: tuple[Test, ...]) -> Test:
    """Whether one of the tests holds."""

    def test(data: Data, budget: Budget) -> bool:
        for part in tests:  # noqa: SIM110 -- half the time of any() with a generator
            if part(data, budget):
                return True
        return False

    return test


def all_of(tests: tuple[Test, ...]) -> Test:
    """Whether all of the tests hold."""

    def test(data: Data, budget: Budget) -> bool:
        for part in tests:  # noqa: SIM110 -- half the time of all() with a generator
            if not part(data, budget):
                return False
        return True

    return test


def negated(test: Test) -> Test:
    """Whether the test does not hold."""
    return lambda data, budget: not test(data, budget)


def is_nothing(left: Operand) -> Test:
    """The comparison `empty`."""
    return lambda data, _: is_empty(left(data))


def is_true(left: Operand) -> Test:
    """A value on its own."""
    return lambda data, _: bool(left(data))


def matches(left: Operand, pattern: regex.Regex) -> Test:
    """The comparison `matches`."""

    def test(data: Data, budget: Budget) -> bool:
        text = _text(left(data))
        if text is None:
            return False
        raw = regex.encoded(text)
        worst = pattern.size * len(raw)
        if worst > MAX_MATCHED:
            raise Exhausted(TOO_MUCH)
        budget.need(worst // 8)
        budget.spend(20 + (len(raw) >> 4))
        if worst < 10_000:
            budget.spend(worst >> 3)
            return pattern.search(raw)
        # nearly all searches take a hundredth of the limit; only the clock shows which do not
        begun = time.thread_time_ns()
        match = pattern.search(raw)
        budget.spend((time.thread_time_ns() - begun) // 80)
        return match

    return test


def _text(value: Any) -> str | None:
    """A value as text for text comparisons; None for null, lists and objects."""
    if type(value) is str:
        return value
    return None if value is None or isinstance(value, list | dict) else as_text(value)


_SHORT = 256  # characters; shorter texts are folded for free


def _folded(text: str, budget: Budget) -> str:
    """The text case-folded. The result for a long text is cached, since conditions read the same text several times."""
    if len(text) <= _SHORT:
        return text.casefold()
    known = budget.folded.get(id(text))
    if known is None:
        budget.spend(len(text) >> (6 if text.isascii() else 2))
        known = budget.folded[id(text)] = text, text.casefold()
    return known[1]


def _text_test(compare: Callable[[str, str, Budget], bool]) -> Callable[[Operand, Operand], Test]:
    """A case-insensitive comparison of texts: `compare` gets the left one as it is and the right one folded."""

    def make(left: Operand, right: Operand) -> Test:
        known = _text(right.value) if isinstance(right, Constant) else None
        folded = None if known is None else known.casefold()

        def test(data: Data, budget: Budget) -> bool:
            operand = folded
            if operand is None:
                provided = _text(right(data))
                if provided is None:
                    return False
                operand = _folded(provided, budget)
            text = _text(left(data))
            return text is not None and compare(text, operand, budget)

        return test

    return make


def _begins(text: str, wanted: str, budget: Budget) -> bool:
    if len(wanted) > _SHORT:
        return _folded(text, budget).startswith(wanted)
    return text[: len(wanted)].casefold().startswith(wanted)  # a character folds to one or more


def _ends(text: str, wanted: str, budget: Budget) -> bool:
    if len(wanted) > _SHORT:
        return _folded(text, budget).endswith(wanted)
    return text[-len(wanted) :].casefold().endswith(wanted)


def _holds_text(text: str, wanted: str, budget: Budget) -> bool:
    folded = _folded(text, budget)
    budget.spend(len(folded) >> 4)
    return wanted in folded


_starts_with = _text_test(_begins)
_ends_with = _text_test(_ends)
_text_contains = _text_test(_holds_text)


def _contains(left: Operand, right: Operand) -> Test:
    in_text = _text_contains(left, right)

    def test(data: Data, budget: Budget) -> bool:
        value = left(data)
        if type(value) is not list:
            return in_text(data, budget)
        operand = right(data)
        if type(operand) is not str:
            return _among(operand, value, budget)
        folded = _folded(operand, budget)
        others = []
        for item in value:
            if type(item) is not str:
                others.append(item)
                continue
            budget.spend(3 + (len(item) >> 4))
            if item.casefold() == folded:
                return True
        return _among(operand, others, budget)

    return test


def _is_in(left: Operand, right: Operand) -> Test:
    if isinstance(right, Constant) and isinstance(right.value, list):
        return _in_constant(left, right.value)
    in_text = _text_contains(right, left)

    def test(data: Data, budget: Budget) -> bool:
        among = right(data)
        if type(among) is list:
            return _among(left(data), among, budget)
        return type(among) is str and in_text(data, budget)

    return test


def _in_constant(left: Operand, items: list[Argument]) -> Test:
    """Like `_among`, with the list prepared once: a value is looked up in it."""
    texts = frozenset(item for item in items if isinstance(item, str))
    instants = frozenset(at for text in texts if (at := _instant(text)))
    written = frozenset(number for text in texts if (number := _number(text)) is not None)
    numbers = frozenset(item for item in items if isinstance(item, int | float) and not isinstance(item, bool))
    truths = frozenset(item for item in items if isinstance(item, bool))
    written_truths = frozenset(truth for text in texts if (truth := _truth(text)) is not None)

    def test(data: Data, _: Budget) -> bool:
        value = left(data)
        if type(value) is str:
            if value in texts or (instants and _instant(value) in instants) or (truths and _truth(value) in truths):
                return True
            return bool(numbers) and _number(value) in numbers
        if type(value) is bool:
            return value in truths or value in written_truths
        if value is None:
            return None in items
        return type(value) in (int, float) and (value in numbers or value in written)

    return test


def _among(value: Any, items: list[Any], budget: Budget) -> bool:
    """Whether one of `items` equals `value`."""
    if type(value) is not str:
        return any(_equal(value, item, budget) for item in items)
    at = _instant(value)
    for item in items:
        budget.steps -= 2
        if type(item) is str:
            if item == value:
                return True
            if at is not None and item[4:5] == "-":
                budget.steps -= 15
                if at == _instant(item):
                    return True
        elif _equal(value, item, budget):
            return True
        if budget.steps < 0:
            budget.renew()
    return False


def _equality(left: Operand, right: Operand) -> Test:
    if isinstance(right, Constant) and type(right.value) is str:
        operand, at = right.value, _instant(right.value)

        def test(data: Data, budget: Budget) -> bool:
            value = left(data)
            if type(value) is not str:
                return _equal(value, operand, budget)
            return value == operand or (at is not None and at == _instant(value))

        return test
    return lambda data, budget: _equal(left(data), right(data), budget)


def _inequality(left: Operand, right: Operand) -> Test:
    return negated(_equality(left, right))


def _ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Operand, Operand], Test]:
    def make(left: Operand, right: Operand) -> Test:
        def test(data: Data, budget: Budget) -> bool:
            value, other = left(data), right(data)
            if type(value) is str and type(other) is str:
                budget.spend(min(len(value), len(other)) >> 5)
            pair = _comparable(value, other)
            return pair is not None and compare(*pair)

        return test

    return make


def _equal(left: Any, right: Any, budget: Budget) -> bool:
    """Texts are equal as they are or as instants, a number or boolean equals its text, lists are equal item by item."""
    budget.spend(5)
    if left is None or right is None:
        return left is right
    if type(left) is str and type(right) is str:
        budget.steps -= 5 + (len(left) >> 10)
        if left == right:
            return True
        at = _instant(left)
        if at is None:
            return False
        budget.steps -= 30
        return at == _instant(right)
    if type(left) is list and type(right) is list:
        budget.steps -= 20
        return len(left) == len(right) and all(
            type(value) is not list and _equal(value, other, budget) for value, other in zip(left, right, strict=True)
        )
    if type(left) is bool or type(right) is bool:
        truth = _truth(left)
        return truth is not None and truth is _truth(right)
    budget.steps -= 15
    pair = _comparable(left, right)
    return pair is not None and pair[0] == pair[1]


def _truth(value: Any) -> bool | None:
    if type(value) is str:
        return {"true": True, "false": False}.get(value.lower()) if len(value) <= len("false") else None
    return value if type(value) is bool else None


def _comparable(left: Any, right: Any) -> tuple[Any, Any] | None:
    """Both as numbers, else both as instants, else both as texts; None if they can't be compared."""
    if type(left) is str and type(right) is str:
        for convert in (_number, _instant):
            value = convert(left)
            other = None if value is None else convert(right)
            if other is not None:
                return value, other
        return left, right
    value, other = _number(left), _number(right)
    return None if value is None or other is None else (value, other)


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
    """An ISO 8601 date and time, or the first instant of a date, in UTC if it doesn't say."""
    if text[4:5] != "-" or (at := parse_date(text)) is None:
        return None
    return at if isinstance(at, datetime) else datetime(at.year, at.month, at.day, tzinfo=UTC)


COMPARISONS: Mapping[str, Callable[[Operand, Operand], Test]] = {
    "==": _equality,
    "!=": _inequality,
    "<": _ordering(operator.lt),
    "<=": _ordering(operator.le),
    ">": _ordering(operator.gt),
    ">=": _ordering(operator.ge),
    "contains": _contains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "in": _is_in,
}
