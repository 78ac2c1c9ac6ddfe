"""Numbers in values: what a text says, rounding and sums, all as people calculate."""

import math
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from area.kit.budget import Budget
from area.kit.sentences import Sentence
from area.kit.template.reading import SHOWN, Argument
from area.kit.template.values import Filter, Unfit, argument_int, as_text, is_empty

_NUMERIC = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_LONGEST_NUMBER = 1000  # characters of a text, white space included
_EXACT = Context(prec=1000)
_LARGEST = 10**400
_WORD = 2**63


def number_filter(decimals: Argument = None) -> Filter:
    """The filter `number`. Raises `BadArgument`."""
    if decimals is None:
        return to_number
    places = Decimal(1).scaleb(-argument_int(decimals, Sentence("the number of decimals"), 0, 20))

    def number(value: Any, budget: Budget) -> str:
        parsed = to_number(value, budget)
        if parsed is None:
            return ""
        return format(_rounded(parsed, places), "f")

    return number


def looks_numeric(value: Any) -> bool:
    """Whether it is a finite number, or a text that is one."""
    if isinstance(value, str):
        return len(value) <= _LONGEST_NUMBER and _NUMERIC.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def round_filter(decimals: Argument = 0) -> Filter:
    """The filter `round`. Raises `BadArgument`."""
    count = argument_int(decimals, Sentence("the number of decimals"), 0, 20)
    places = Decimal(1).scaleb(-count)

    def rounded(value: Any, budget: Budget) -> int | float | None:
        parsed = to_number(value, budget)
        if parsed is None or isinstance(parsed, int):
            return parsed
        return float(_rounded(parsed, places)) if count else int(_rounded(parsed, places))

    return rounded


def _rounded(value: float, places: Decimal) -> Decimal:
    """Half up, as people learn it, of the written number rather than its binary neighbor."""
    rounded = Decimal(as_text(value)).quantize(places, ROUND_HALF_UP, _EXACT)
    return abs(rounded) if rounded.is_zero() else rounded


def total(values: Sequence[Any], budget: Budget) -> int | float:
    """The sum of numbers and texts that are numbers, exact to the last decimal. What is empty counts as 0."""
    whole = 0
    parts: list[Decimal] = []
    for value in values:
        if type(value) is int and -_WORD < value < _WORD:
            budget.spend(2)
            whole += value
            continue
        number = to_number(value, budget)
        if isinstance(number, float):
            parts.append(Decimal(as_text(number)))
        elif number is not None:
            whole += number
    if not parts:
        return whole
    budget.spend(10 * len(parts))
    exact = Decimal(whole)
    for part in parts:
        exact = _EXACT.add(exact, part)
    result = float(exact)
    if not math.isfinite(result):
        raise Unfit(Sentence("the sum is too large."))
    return result


def to_number(value: Any, budget: Budget) -> int | float | None:
    """A value as a number; None if it is empty. Raises `Unfit`."""
    budget.spend(60)
    if isinstance(value, bool):
        raise Unfit(Sentence("%(value)s is not a number.", value=as_text(value)))
    if is_empty(value) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < _LARGEST):
        return value
    if isinstance(value, int):
        raise Unfit(Sentence("a number of more than 400 digits is too large."))
    if isinstance(value, dict | list | tuple):
        raise Unfit(Sentence("a list or an object is not a number."))
    text = as_text(value)
    parsed = _NUMERIC.fullmatch(text.strip()) if len(text) <= _LONGEST_NUMBER else None
    if parsed is None:
        raise Unfit(Sentence('"%(text)s" is not a number.', text=text[:SHOWN]))
    if not math.isfinite(number := float(parsed[0])):
        raise Unfit(Sentence('"%(text)s" is too large.', text=text[:SHOWN]))
    return int(parsed[0]) if parsed[0].lstrip("+-").isdigit() else number
