"""Select parts of JSON by a JMESPath that users enter (https://jmespath.org/specification.html)."""

import asyncio
import operator
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any, TypeVar

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.functions import Functions
from jmespath.visitor import Options, TreeInterpreter
from pydantic import AfterValidator, Field
from typing_extensions import override

from area.kit import evaluation
from area.kit.budget import Budget, Exhausted, size_of
from area.kit.fair import Full
from area.kit.sentences import Sentence
from area.sdk.errors import Retry

__all__ = ["Budget", "JmesPath", "TooMuch", "evaluate", "select"]

LONGEST_WAIT = 10.0  # seconds for a turn

TOO_MUCH = (
    "The path has more to look at or to produce than one event may cause. Narrow it, for instance with a slice such as"
    " items[:100], or look at fewer fields."
)
# what gives a part of its input as it is; everything else can make more of it than there was
_SELECTS = frozenset({
    "current", "field", "flatten", "identity", "index", "index_expression", "pipe", "projection", "slice",
    "subexpression",
    "value_projection",
})  # fmt: skip

Result = TypeVar("Result")

_compiled: Callable[[str], Any] = lru_cache(1024)(jmespath.compile)
_functions: Any = Functions()


class TooMuch(ValueError):
    """A path that takes more processing than one event is allowed."""


async def evaluate(work: Callable[[Budget], Result], size: int) -> Result:
    """Run `work`, which selects from `size` bytes of JSON, off the event loop unless it is tiny.

    Raises `Retry` if too much of the same user's work is waiting, and whatever `work` raises.
    """
    try:
        async with asyncio.timeout(LONGEST_WAIT):
            return await evaluation.evaluate(work, Budget(), size)
    except (Full, TimeoutError) as error:
        raise Retry(Sentence("Too many of your events are being processed."), timedelta(seconds=5)) from error


def select(path: str, values: Any, budget: Budget | None = None) -> Any:
    """The value that the path selects from parsed JSON.

    Raises `ValueError` with a sentence if the path doesn't match, and `TooMuch` for more processing than allowed.
    """
    budget = budget or Budget()
    try:
        parsed = _compiled(path).parsed
        selected = _Interpreter(budget).visit(parsed, values)
        if not _only_selects(path):
            size_of(selected, budget)  # one list many times is small here and large in JSON
    except Exhausted as error:
        raise TooMuch(TOO_MUCH) from error
    except JMESPathTypeError as error:  # its own sentence writes the whole value out
        expected = ", ".join(error.expected_types)
        raise ValueError(
            Sentence(
                "%(name)s() takes %(expected)s, not %(kind)s.",
                name=error.function_name,
                expected=expected,
                kind=error.actual_type,
            )
        ) from error
    except (
        JMESPathError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        RecursionError,
        ValueError,
    ) as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    return selected


@lru_cache(1024)
def _only_selects(path: str) -> bool:
    nodes = [_compiled(path).parsed]
    while nodes:
        node = nodes.pop()
        if node["type"] not in _SELECTS:
            return False
        nodes += [child for child in node["children"] if isinstance(child, dict)]
    return True


class _Interpreter(TreeInterpreter):
    """Charges the budget for whatever takes time: each visit of a node, and passes over lists and texts."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(Options(custom_functions=_Functions(budget)))  # type: ignore[no-untyped-call]
        self._budget = budget

    @override
    def visit(self, node: Any, value: Any) -> Any:
        budget = self._budget
        budget.steps -= 14
        if budget.steps < 0:
            budget.renew()
        return super().visit(node, value)  # type: ignore[no-untyped-call]

    @override
    def visit_comparator(self, node: Any, value: Any) -> Any:
        left, right = (self.visit(child, value) for child in node["children"])
        if node["value"] in ("eq", "ne"):
            if isinstance(left, list | dict | str) and type(left) is type(right):
                self._budget.steps -= 10
                size_of(left, self._budget)
                size_of(right, self._budget)
            return _equal(left, right) is (node["value"] == "eq")
        if type(left) is str and type(right) is str:
            self._budget.spend(min(len(left), len(right)) >> 5)
        elif type(left) not in (int, float) or type(right) not in (int, float):
            return None
        return _ORDER[node["value"]](left, right)

    @override
    def visit_flatten(self, node: Any, value: Any) -> Any:
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        merged: list[Any] = []
        for element in base:
            if isinstance(element, list):
                self._budget.spend(4 + (len(element) >> 2))
                merged += element
            else:
                self._budget.spend(4)
                merged.append(element)
        return merged

    @override
    def visit_slice(self, node: Any, value: Any) -> Any:
        if isinstance(value, list):
            self._budget.spend(len(value) >> 2)
        return super().visit_slice(node, value)  # type: ignore[no-untyped-call]


_ORDER = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}


def _equal(left: Any, right: Any) -> bool:
    """JMESPath's equality: 1 is not true."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


class _Functions(Functions):
    """Functions charge for their arguments before they run."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget

    @override
    def call_function(self, function_name: str, resolved_args: list[Any]) -> Any:
        budget = self._budget
        budget.spend(60 if function_name == "to_string" else 20)
        for argument in resolved_args:
            if isinstance(argument, str):
                budget.spend(len(argument) >> 3)
            elif isinstance(argument, list | dict) and function_name not in _TAKES_AS_IT_IS:
                budget.spend(12 * len(argument))
                if function_name in _READS_DEEP:
                    size_of(argument, budget)
        if function_name == "join" and len(resolved_args) == 2 and isinstance(resolved_args[1], list):
            separator, parts = resolved_args
            budget.spend(len(separator) * len(parts) >> 4 if isinstance(separator, str) else 0)
        return super().call_function(function_name, resolved_args)  # type: ignore[no-untyped-call]


_TAKES_AS_IT_IS = frozenset({"length", "not_null", "to_array", "to_number", "type"})
_READS_DEEP = frozenset({"contains", "join", "max", "min", "sort", "to_string"})


def _checked(path: str) -> str:
    try:
        _check_functions(_compiled(path).parsed)
    except (JMESPathError, RecursionError) as error:
        reason = str(error).partition("\n")[0].removesuffix(", for expression:").rstrip(".:")
        raise ValueError(
            Sentence("This isn't a valid JMESPath (%(reason)s). Enter one such as data.items[0].price.", reason=reason)
        ) from error
    return path


def _check_functions(node: Any) -> None:
    if node["type"] == "function_expression":
        with suppress(JMESPathTypeError):  # the name and the number of arguments are checked first
            _functions.call_function(node["value"], [None] * len(node["children"]))
    for child in node["children"]:
        if isinstance(child, dict):
            _check_functions(child)


JmesPath = Annotated[str, Field(max_length=500), AfterValidator(_checked)]
