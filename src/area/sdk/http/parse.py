"""Read vendors' responses, and build URLs and bodies."""

from functools import cache
from typing import Any, TypeVar, overload
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from area.kit.http import RequestFailed, Response
from area.kit.sentences import Sentence
from area.sdk.errors import Permanent

Parsed = TypeVar("Parsed")


def object_of(response: Response) -> dict[str, Any]:
    """The response's JSON object; empty if it has none, since then only the status counts."""
    try:
        body = response.json()
    except RequestFailed:
        return {}
    return body if isinstance(body, dict) else {}


def json_of(response: Response) -> Any:
    """The response's JSON. Raises `Permanent` if it isn't valid JSON."""
    try:
        return response.json()
    except RequestFailed as error:
        raise Permanent(str(error)) from error


def quoted(template: str, *values: str) -> str:
    """Fill the braces of a path with values that may contain any character: `quoted("/teams/{}/channels", team)`."""
    return template.format(*(quote(value, safe="") for value in values))


def without_blanks(**values: Any) -> dict[str, Any]:
    """The values that are neither None nor empty, for a body or a query. False and 0 are kept."""
    return {name: value for name, value in values.items() if value is not None and value not in ("", [], {})}


@overload
def parse(kind: type[Parsed], values: Any, vendor: str) -> Parsed: ...


@overload
def parse(kind: Any, values: Any, vendor: str) -> Any: ...


def parse(kind: Any, values: Any, vendor: str) -> Any:
    """Parse a response of `vendor` (a `Response`, JSON bytes, or parsed JSON) as a model, or another type such as
    `list[Model]`.

    Raises `Permanent`, naming the field, if it doesn't match.
    """
    values = values.body if isinstance(values, Response) else values
    adapter = _adapter(kind)
    try:
        return adapter.validate_json(values) if isinstance(values, bytes) else adapter.validate_python(values)
    except ValidationError as error:
        what = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the answer"
        raise Permanent(Sentence("Unexpected response from %(name)s: %(said)s.", name=vendor, said=what)) from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
