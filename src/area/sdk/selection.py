"""Parts of JSON that users name by a JMESPath (https://jmespath.org/specification.html)."""

import math
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.functions import Functions
from pydantic import AfterValidator, Field

__all__ = ["JmesPath", "select"]

MAX_GROWTH = 100

_compiled: Callable[[str], Any] = lru_cache(1024)(jmespath.compile)
_functions: Any = Functions()


def select(path: str, values: Any) -> Any:
    """What the path selects of parsed JSON. Raises `ValueError`, whose sentence says why, when it does not fit it."""
    try:
        return _compiled(path).search(values)
    except (JMESPathError, TypeError, RecursionError) as error:
        raise ValueError(str(error).partition("\n")[0]) from error


def _growth(node: Any) -> int:
    """How many times its input the result of a JMESPath node can be: multi-selects are what copies."""
    if node["type"] == "function_expression":
        with suppress(JMESPathTypeError):  # the name and the number of arguments are checked first
            _functions.call_function(node["value"], [None] * len(node["children"]))
    grown = [_growth(child) for child in node["children"] if isinstance(child, dict)]
    return max(2, sum(grown)) if node["type"].startswith("multi_select") else math.prod(grown)


def _checked(path: str) -> str:
    try:
        growth = _growth(_compiled(path).parsed)
    except (JMESPathError, RecursionError) as error:
        reason = str(error).partition("\n")[0].removesuffix(", for expression:").rstrip(".:")
        raise ValueError(f"This is no JMESPath ({reason}); write one such as data.items[0].price.") from error
    if growth > MAX_GROWTH:
        raise ValueError("This JMESPath could multiply its input more than a hundred times; select fewer things.")
    return path


JmesPath = Annotated[str, Field(max_length=500), AfterValidator(_checked)]
