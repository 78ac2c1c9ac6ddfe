"""Parameter types shared by the components, validated on entry."""

import codecs
import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any

import orjson
import yaml
from pydantic import BeforeValidator
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function, str_schema

from area.sdk import Number, Permanent, Response, Sentence, param
from area.sdk.decoding import charset_in, parse_json
from area.sdk.selection import Budget, evaluate, select
from area.sdk.shapes import HTML, ITEMS, JSON, Shape, Shaped, as_text, json_document, places

PLAIN = 1_000_000  # bytes of an answer whose values don't have to be counted: they can't fill the memory
MOST_VALUES = 600_000
MOST_HEADERS = 100
FORM = "application/x-www-form-urlencoded"
BREAKS = re.compile(r"[\0\n\x0b\x0c\r\x1c-\x1e\x85\u2028\u2029]")  # what str.splitlines breaks at, and NUL

# https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1, and what else frames a message
SET_BY_AREA = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


_URL = re.compile(r"https?://[^/?#\s]", re.IGNORECASE)


class Url(str):
    """A full http or https URL, kept as written: pydantic's type would normalize what may be signed."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Validate the text and leave it a `str`."""
        return no_info_after_validator_function(cls._checked, str_schema())

    @staticmethod
    def _checked(url: str) -> str:
        if not _URL.match(url := url.strip()):
            raise ValueError("Enter a full URL, starting with https:// or http://.")
        return url


def _lines(text: str) -> list[list[str]]:
    """Name and value of each line."""
    return [line.split(":", 1) for line in text.splitlines() if line.strip()]


def _of_lines(lines: list[Any]) -> dict[str, str]:
    pairs = [line.split(":", 1) if isinstance(line, str) else line for line in lines]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("Enter one header per line, such as Accept: text/plain, or a JSON object.")
    return {as_text(name).strip(): as_text(content).strip() for name, content in pairs}


def _checked_name(name: str) -> None:
    if not re.fullmatch(r"[!#$%&'*+.^`|~\w-]+", name, re.ASCII):
        raise ValueError(Sentence('"%(name)s" is not a valid header name. Use one such as X-Api-Key.', name=name[:100]))
    if name.lower() in SET_BY_AREA:
        raise ValueError(Sentence("AREA sets the header %(name)s itself. Remove it.", name=name))


def _header_table(value: Any) -> Any:
    """Headers from an object, from the text of one, or from lines `Name: value`."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise ValueError(
                Sentence("The headers look like JSON but aren't valid: %(error)s.", error=error)
            ) from error
    elif isinstance(value, str):
        value = _of_lines(_lines(value))
    elif isinstance(value, list) and value and all(isinstance(one, str | list) for one in value):
        value = _of_lines(value)
    if not isinstance(value, dict):
        return value
    if len(value) > MOST_HEADERS:
        raise ValueError(
            Sentence(
                "There are %(number)s headers; the limit is %(most)s.", number=f"{len(value):,}", most=MOST_HEADERS
            )
        )
    for name in value:
        _checked_name(name)
        if isinstance(value[name], str) and BREAKS.search(value[name]):
            advice = '{{title | replace:"\\n"," "}}'
            raise ValueError(
                Sentence(
                    "The header %(name)s contains a line break; remove it from the value, as in %(advice)s.",
                    name=name,
                    advice=advice,
                )
            )
    return {
        name: content if isinstance(content, str) else orjson.dumps(content).decode() for name, content in value.items()
    }


def _body(texts: Mapping[str, str]) -> Shape | None:
    """How placeholders in a body are encoded, by the content type of its field or header, or by its look."""
    text, headers = texts.get("body", ""), texts.get("headers", "")
    named = re.search(r'(?im)^[\s{",]*content-type"?\s*:\s*"?([^"\r\n]*)', headers)
    kind = (texts.get("content_type") or (named[1] if named else "")).lower()
    if "json" not in kind and (re.search("xml|html|svg", kind) or (not kind and text.lstrip().startswith("<"))):
        return HTML
    if "yaml" in kind:
        return Shape(split=_yaml)
    return Shape(split=JSON.split, place=places.FORM) if FORM in kind and not text.lstrip().startswith("{") else JSON


def _yaml(text: str) -> Any:
    """A YAML document, sent as JSON, which is valid YAML (https://yaml.org/spec/1.2.2/). One with anchors stays as it
    is.
    """
    try:
        if any(isinstance(token, yaml.AnchorToken) for token in yaml.scan(text)):
            return text
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return text
    return document if isinstance(document, dict | list) else text


@lru_cache(256)
def statuses(text: str) -> frozenset[int]:
    """The statuses in `200`, `200-299` or `200,201`."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not re.fullmatch(r"[1-5][0-9]{2}(-[1-5][0-9]{2})?", part.strip()):
            raise ValueError("Enter statuses such as 200, 200-299 or 200,201.")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def _status_text(given: Any) -> Any:
    each = given if isinstance(given, list) else str(given).split(",")
    if any("," in (text := str(one)) or not statuses(text) for one in each):
        raise ValueError("Enter statuses such as 200, 200-299 or 200,201.")
    return ",".join(str(one).strip() for one in each)


HEADERS = Shape(split=lambda text: json_document(text) if text.lstrip().startswith("{") else _lines(text))
Headers = Annotated[
    Annotated[dict[str, str], BeforeValidator(_header_table)] | None,
    param(
        "Headers, as a JSON object or one `Name: value` per line",
        '{"X-Api-Key": "k-123"}',
        holds="headers",
        shape=HEADERS,
    ),
]
Statuses = Annotated[str, BeforeValidator(_status_text), Shaped(ITEMS)]
BODY = "Body: text, or a JSON object or list"
Body = Annotated[Any, param(BODY, '{"title": "{{title}}"}', holds="body", shape=_body)]


async def selected(response: Response, path: str) -> Any:
    """The result of a JMESPath on the JSON response."""
    return await _evaluated(response, path, lambda document, path, budget: select(path, document, budget))


async def selected_list(response: Response, path: str) -> Any:
    """The same for a list, which is also empty where the document has null: so Go writes one without items."""
    return await _evaluated(response, path, _list_at)


def _list_at(document: Any, path: str, budget: Budget) -> Any:
    value = select(path, document, budget)
    return [] if value is None and _is_null(document, path) else value


def _is_null(document: Any, path: str) -> bool:
    """Whether the names at the beginning of the path lead to null, and not to nothing."""
    beginning = _NAMES.match(path)
    for name in _NAME.findall(beginning[0]) if beginning else ():
        if document is None:
            break
        key = name.strip('"')
        if not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    return document is None


_NAME = re.compile(r'\w+|"[^"\\]*"')
_NAMES = re.compile(rf"(?:{_NAME.pattern})(?:\.(?:{_NAME.pattern}))*")


async def _evaluated(response: Response, path: str, read: Callable[[Any, str, Budget], Any]) -> Any:
    body = response.body.removeprefix(codecs.BOM_UTF8)
    if len(body) > PLAIN and sum(map(body.count, (b",", b":", b"[", b"{"))) > MOST_VALUES:
        raise Permanent(
            Sentence(
                "%(host)s returned more than %(number)s values. Request fewer, such as one page.",
                host=response.host,
                number=Number(MOST_VALUES),
            )
        )
    charset = charset_in(response.headers.get("content-type", ""))
    try:
        return await evaluate(lambda budget: read(parse_json(body, charset), path, budget), len(body))
    except json.JSONDecodeError as error:
        said = response.excerpt(100)
        raise Permanent(
            Sentence("%(host)s didn't return JSON: %(said)s", host=response.host, said=said)
            if said
            else Sentence("%(host)s returned nothing instead of JSON.", host=response.host)
        ) from error
    except ValueError as error:
        raise Permanent(
            Sentence(
                "The path %(path)s doesn't match the response of %(host)s: %(error)s",
                path=path,
                host=response.host,
                error=error,
            )
        ) from error
