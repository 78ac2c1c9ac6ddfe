"""Filters for lists and objects. What they make is never larger than what they get, but for a merge of two."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import chain
from typing import Any

from area.kit.budget import Budget
from area.kit.decoding import parse_json
from area.kit.sentences import Sentence
from area.kit.template import condition
from area.kit.template.condition import Condition, ConditionError
from area.kit.template.dates import parse_date
from area.kit.template.numbers import looks_numeric, total
from area.kit.template.reading import SHOWN, Argument
from area.kit.template.values import (
    BadArgument,
    Filter,
    Unfit,
    argument_int,
    argument_path,
    argument_text,
    as_paid_text,
    as_text,
    is_empty,
    to_json,
)

ITEM = "item"  # what a condition of `where` calls the item itself

Part = Callable[[Any], Any]
Fold = Callable[[Sequence[Any], Budget], Any]

_LONGEST = 10**9


def items_of(value: Any, budget: Budget) -> Sequence[Any]:
    """A list; what is missing or empty is an empty one. Raises `Unfit`."""
    if isinstance(value, list | tuple):
        budget.spend(2)
        return value
    if is_empty(value):
        return ()
    if isinstance(value, dict):
        raise Unfit(Sentence("an object is not a list. Use | values or | keys first."))
    raise Unfit(Sentence('"%(text)s" is not a list.', text=as_text(value)[:SHOWN]))


def _object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    if is_empty(value):
        return {}
    if isinstance(value, list | tuple):
        raise Unfit(Sentence("a list is not an object. Use | first or | map first."))
    raise Unfit(Sentence('"%(text)s" is not an object.', text=as_text(value)[:SHOWN]))


def _part(path: Argument) -> tuple[Part, int]:
    """What takes a part of an item, and the steps it costs; without a path the item itself."""
    if path is None:
        return (lambda item: item), 1
    steps = argument_path(path)
    return steps.within, 2 + 2 * len(steps.steps)


def map_filter(path: Argument) -> Filter:
    """The filter `map`. Raises `BadArgument`."""
    part, cost = _part(path)

    def mapped(value: Any, budget: Budget) -> list[Any]:
        items = items_of(value, budget)
        budget.spend(cost * len(items))
        return [part(item) for item in items]

    return mapped


def _condition(text: Argument) -> Condition:
    try:
        return condition.parse(argument_text(text, Sentence("the condition")))
    except ConditionError as error:
        raise BadArgument(str(error)) from error


def where_filter(test: Argument) -> Filter:
    """The filter `where`. Raises `BadArgument`."""
    parsed = _condition(test)
    whole = ITEM in parsed.names

    def where(value: Any, budget: Budget) -> list[Any]:
        fitting = []
        for item in items_of(value, budget):
            budget.spend(5)
            if not isinstance(item, dict):
                data: Mapping[str, Any] = {ITEM: item}
            elif whole and ITEM not in item:
                budget.spend(len(item))
                data = {**item, ITEM: item}
            else:
                data = item
            if parsed.evaluate(data, budget):
                fitting.append(item)
        return fitting

    return where


def count_filter(test: Argument = None) -> Filter:
    """The filter `count`. Raises `BadArgument`."""
    where = None if test is None else where_filter(test)
    return lambda value, budget: len(items_of(value, budget) if where is None else where(value, budget))


def _keys(values: Sequence[Any], budget: Budget) -> list[Any]:
    """Something of one kind to order each value by: numbers if all are numbers, times if all are dates, else texts."""
    budget.spend(10 * len(values))
    if all(looks_numeric(value) for value in values):
        return [float(value) if isinstance(value, str) else value for value in values]
    texts = []
    for value in values:
        text = value if type(value) is str else as_paid_text(value, budget)
        budget.spend(4 + (len(text) >> 3))
        texts.append(text)
    if all(text[:4].isdigit() and text[4:5] == "-" for text in texts):
        budget.spend(20 * len(values))
        times = [parse_date(text) for text in texts]
        if None not in times:
            return [_instant(at) for at in times if at]
    return [text.casefold() for text in texts]


def _instant(at: datetime | date) -> datetime:
    return at if isinstance(at, datetime) else datetime(at.year, at.month, at.day, tzinfo=UTC)


def _ordered(items: Sequence[Any], part: Part, cost: int, budget: Budget, *, down: bool) -> list[Any]:
    """The items in order of their parts; those that have none are last."""
    budget.spend((cost + 8) * len(items))
    parts = [part(item) for item in items]
    filled = [place for place, value in enumerate(parts) if not is_empty(value)]
    keys = dict(zip(filled, _keys([parts[place] for place in filled], budget), strict=True))
    budget.spend(len(filled) * len(filled).bit_length() * 2)
    order = sorted(filled, key=keys.__getitem__, reverse=down)
    return [*(items[place] for place in order), *(items[place] for place in range(len(items)) if place not in keys)]


def sort_filter(path: Argument = None, direction: Argument = "asc") -> Filter:
    """The filter `sort`. Raises `BadArgument`."""
    part, cost = _part(path)
    if direction not in ("asc", "desc"):
        raise BadArgument(Sentence('the direction is "asc" or "desc".'))
    return lambda value, budget: _ordered(items_of(value, budget), part, cost, budget, down=direction == "desc")


def unique_filter(path: Argument = None) -> Filter:
    """The filter `unique`. Raises `BadArgument`."""
    part, cost = _part(path)

    def unique(value: Any, budget: Budget) -> list[Any]:
        items = items_of(value, budget)
        budget.spend((cost + 4) * len(items))
        seen: set[Any] = set()
        distinct = []
        for item in items:
            key = _identity(part(item), budget)
            if key not in seen:
                seen.add(key)
                distinct.append(item)
        return distinct

    return unique


def _identity(value: Any, budget: Budget) -> Any:
    """What is equal for equal values of JSON, and can be looked up."""
    if isinstance(value, str):
        budget.spend(len(value) >> 5)
        return value
    if value is None or isinstance(value, bool | int | float):
        return type(value) is bool, value
    return "", to_json(value, budget)


def group_filter(path: Argument) -> Filter:
    """The filter `group`. Raises `BadArgument`."""
    part, cost = _part(path)

    def group(value: Any, budget: Budget) -> list[dict[str, Any]]:
        items = items_of(value, budget)
        budget.spend((cost + 6) * len(items))
        groups: dict[Any, dict[str, Any]] = {}
        for item in items:
            key = part(item)
            if isinstance(key, list | tuple | dict):  # kept twice each time, it would grow without end
                raise Unfit(Sentence("a list or an object is not a key to group by."))
            identity = _identity(key, budget)
            if identity not in groups:
                budget.spend(6)
                groups[identity] = {"key": key, "items": []}
            groups[identity]["items"].append(item)
        return list(groups.values())

    return group


def _folded(fold: Fold) -> Callable[..., Filter]:
    def build(path: Argument = None) -> Filter:
        part, cost = _part(path)

        def folded(value: Any, budget: Budget) -> Any:
            items = items_of(value, budget)
            budget.spend((cost + 3) * len(items))
            return fold([part(item) for item in items], budget)

        return folded

    return build


def _extreme(*, down: bool) -> Fold:
    def extreme(values: Sequence[Any], budget: Budget) -> Any:
        filled = [value for value in values if not is_empty(value)]
        keys = _keys(filled, budget)
        choose = max if down else min
        return filled[choose(range(len(filled)), key=keys.__getitem__)] if filled else None

    return extreme


sum_filter = _folded(total)
min_filter = _folded(_extreme(down=False))
max_filter = _folded(_extreme(down=True))


def slice_filter(start: Argument, end: Argument = None) -> Filter:
    """The filter `slice`. Raises `BadArgument`."""
    first = argument_int(start, Sentence("the start"), -_LONGEST, _LONGEST)
    last = None if end is None else argument_int(end, Sentence("the end"), -_LONGEST, _LONGEST)

    def sliced(value: Any, budget: Budget) -> Any:
        items = value if isinstance(value, str) else items_of(value, budget)
        budget.spend(2 + (len(items) >> 4))
        return items[first:last] if isinstance(items, str) else list(items[first:last])

    return sliced


def flatten(value: Any, budget: Budget) -> list[Any]:
    """The filter `flatten`."""
    items = items_of(value, budget)
    budget.spend(3 * len(items))
    lists = [item if isinstance(item, list | tuple) else (item,) for item in items]
    budget.spend(sum(map(len, lists)) >> 2)
    return list(chain.from_iterable(lists))


def keys(value: Any, budget: Budget) -> list[Any]:
    """The filter `keys`."""
    names = _object(value)
    budget.spend(2 + (len(names) >> 2))
    return list(names)


def values(value: Any, budget: Budget) -> list[Any]:
    """The filter `values`."""
    names = _object(value)
    budget.spend(2 + (len(names) >> 2))
    return list(names.values())


def merge(value: Any, budget: Budget) -> dict[str, Any]:
    """The filter `merge` without an argument: the objects of a list as one."""
    merged: dict[str, Any] = {}
    for item in [value] if isinstance(value, dict) else items_of(value, budget):
        fields = _object(item)
        budget.spend(3 + len(fields))
        merged.update(fields)
    return merged


def merge_with(value: Any, budget: Budget, other: Any) -> dict[str, Any]:
    """The filter `merge` with an object, or the text of one, whose values count more."""
    if isinstance(other, str) and other:
        budget.spend(20 + len(other))
        try:
            other = parse_json(other)
        except ValueError as error:
            raise Unfit(Sentence('"%(text)s" is not JSON.', text=other[:SHOWN])) from error
    first, second = _object(value), _object(other)
    budget.spend(3 + 2 * (len(first) + len(second)))
    return {**first, **second}


def pick_filter(*paths: Argument) -> Filter:
    """The filter `pick`. Raises `BadArgument`."""
    parts = {argument_text(path, Sentence("the path")): _part(path)[0] for path in paths}

    def picked(value: Any) -> dict[str, Any]:
        return {name: part(value) for name, part in parts.items()}

    def pick(value: Any, budget: Budget) -> Any:
        items = value if isinstance(value, list | tuple) else [_object(value)]
        budget.spend((6 + 6 * len(parts)) * len(items))
        return [picked(item) for item in items] if isinstance(value, list | tuple) else picked(items[0])

    return pick
