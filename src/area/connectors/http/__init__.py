"""HTTP: call or watch any API that has no connector of its own."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import orjson
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from area.connectors.http import lists
from area.connectors.http.fields import FORM, Body, Headers, Statuses, Url, selected, selected_list, statuses
from area.sdk import (
    Context,
    Event,
    Events,
    LookupParams,
    Number,
    Output,
    Permanent,
    Response,
    Sentence,
    Service,
    counted,
    output,
    param,
)
from area.sdk.decoding import parse_json
from area.sdk.fields import Form
from area.sdk.keys import ApiKey, credentials
from area.sdk.selection import JmesPath
from area.sdk.sensitive import hide

MAX_ITEMS = 1000
MAX_KEPT = 65_536  # bytes of an answer, or of a watched value, that are kept
Method = Annotated[
    Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"],
    BeforeValidator(lambda text: text.upper() if isinstance(text, str) else text),
]

service = Service(
    "http",
    "HTTP",
    "Call any URL, and react to changes in the JSON a URL returns.",
    auth=credentials(ApiKey),
    quality="verified",
    synonyms={
        "": "API, REST, web service, URL, JSON, website",
        "value_changed": (
            "website changes, page changes, price drops, stock, monitor a website, price tracker, scrape, back in"
            " stock, website is down, uptime, ping, status page, availability, web page, watch a page, site changes"
        ),
        "new_list_item": "new entry in an API, new record",
        "request": (
            "webhook, call an API, curl, POST, GET, fetch, download, trigger a URL, any service, IFTTT, Zapier, n8n,"
            " send JSON, PUT, PATCH, post data, Pushover, ntfy, GraphQL, wake a server"
        ),
    },
)

_dates: TypeAdapter[datetime] = TypeAdapter(datetime)


class Call(Form):
    """A request to send."""

    method: Annotated[Method, param("HTTP method", "POST")] = "POST"
    url: Annotated[Url, param("URL to call", "https://api.example.com/orders", holds="address")]
    headers: Headers = None
    body: Body = None
    content_type: Annotated[
        str | None,
        param(
            "Content type of the body; by default JSON if it looks like JSON, else plain text",
            FORM,
            pattern=r"^[ -~]*$",
        ),
    ] = None
    expected_status: Annotated[
        Statuses, param("Statuses that count as success", examples=["200", "200-299", "200,201"])
    ] = "200-399"
    timeout_seconds: Annotated[float, param("Seconds to wait for the response", 30, ge=1, le=60)] = 30


class Answer(Output):
    status: int = output("status", "HTTP status", 200)
    headers: dict[str, str] = output(
        "headers", "Response headers, with lower-case names and without cookies", {"content-type": "application/json"}
    )
    body: Any = output("body", "Response body: parsed JSON or text; null if empty", {"id": 42}, None)
    truncated: bool = output("truncated", "Whether the body was longer than 64 KB and was shortened", False)


@service.reaction("Send an HTTP request", idempotent="key")
async def request(ctx: Context, params: Call) -> Answer:
    """Send a request to any URL and return the response.

    Retries send the same `Idempotency-Key` header, unless you set that header yourself.
    """
    headers = dict(params.headers or {})
    names = {name.lower(): name for name in headers}
    typed = names.get("content-type", "Content-Type")
    body, kind = _payload(params.body, params.content_type or headers.get(typed, ""))
    if body is not None:
        headers[typed] = kind
    if ctx.idempotency_key and "idempotency-key" not in names:
        headers["Idempotency-Key"] = ctx.idempotency_key
    response = await ctx.http.request(
        params.method, params.url, headers=headers, body=body, timeout=params.timeout_seconds
    )  # fmt: skip
    if response.status not in statuses(params.expected_status):
        ctx.http.check(response)
        sentence = Sentence(
            "%(host)s returned %(status)s; expected %(expected)s",
            host=response.host,
            status=response.status,
            expected=params.expected_status,
        )
        said = ctx.http.hide(response.excerpt()) if response.body else ""
        raise Permanent(Sentence("%(sentence)s: %(said)s", sentence=sentence, said=said) if said else sentence)
    truncated = len(response.body) > MAX_KEPT
    return Answer.model_construct(
        status=response.status,
        headers={name.lower(): value for name, value in response.headers.items() if name.lower() != "set-cookie"},
        body=replace(response, body=response.body[:MAX_KEPT]).text if truncated else _json_or_text(response),
        truncated=truncated,
    )


class Getting(Form, LookupParams):
    """A value to read in the JSON at a URL."""

    url: Annotated[Url, param("URL that returns JSON", "https://api.example.com/orders/42", holds="address")]
    path: Annotated[
        JmesPath | None, param("JMESPath of the value; leave empty for the whole document", "data.price")
    ] = None
    headers: Headers = None


class Value(Output):
    value: Any = output("value", "Value", {"id": 42, "total": 19.9})
    url: Url = output("url", "URL it was read from", "https://api.example.com/orders/42")


@service.lookup("Get JSON")
async def get_json(ctx: Context, params: Getting) -> Value | None:
    """Get JSON from a URL, or a part of it. Nothing is found if the page doesn't exist or the value is empty."""
    response = await ctx.http.request("GET", params.url, headers=params.headers)
    if response.status in (404, 410):
        return None
    ctx.http.check(response)
    value = await selected(response, params.path or "@")
    if value is None or value in ("", [], {}):
        return None
    return Value.model_construct(value=value, url=Url(hide("address", params.url)))


def _payload(body: Any, kind: str) -> tuple[bytes | None, str]:
    """The bytes to send and their content type, which is guessed if `kind` is empty."""
    if body is None:
        return None, kind
    form = kind.lower().startswith(FORM)
    if isinstance(body, str):
        data = _json_or_none(body) if form or not kind or _JSON_TYPE.match(kind) else None
        if not (form and isinstance(data, dict)):
            if data is None and _MEANT_AS_JSON.match(body) and (not kind or _JSON_TYPE.match(kind)):
                raise Permanent(
                    "The body looks like JSON but isn't valid. Put placeholders for texts in quotes, or set the"
                    " content type to text/plain."
                )
            return body.encode(), kind or ("text/plain; charset=utf-8" if data is None else "application/json")
        body = data
    if form and isinstance(body, dict):
        pairs = [(name, one) for name, value in body.items() for one in (value if isinstance(value, list) else [value])]
        return urlencode([(name, _field_text(value)) for name, value in pairs]).encode(), kind
    return orjson.dumps(body), kind or ("application/json" if isinstance(body, dict | list) else "text/plain")


_MEANT_AS_JSON = re.compile(r'\s*(?:\{\s*["}]|\[\s*[{"\[])')
_JSON_TYPE = re.compile(r"(?i)\s*[^/;]+/(?:[^;]*\+)?json\s*(?:;|$)")


def _json_or_none(text: str) -> Any:
    """The object or list in the JSON `text`, or None."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return parse_json(text)
    except ValueError:
        return None


def _field_text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()


def _json_or_text(response: Response) -> Any:
    if not response.body:
        return None
    try:
        return parse_json(response.body)
    except ValueError:
        return response.text


class Watched(Form):
    """A value in the JSON at a URL."""

    url: Annotated[Url, param("URL that returns JSON", "https://api.example.com/status", holds="address")]
    path: Annotated[JmesPath, param("JMESPath of the value to watch; @ for the whole document", "data.price")]
    headers: Headers = None


class Change(Output):
    value: Any = output("value", "Current value; null if there is none", 19.9, None)
    previous: Any = output("previous", "Previous value; null if there was none", 24.9, None)
    url: Url = output("url", "URL it was read from", "https://api.example.com/status")
    changed_at: datetime = output("changed_at", "Time the change was detected", "2026-11-23T09:00:00Z")


@service.poll("Value changed", every=timedelta(minutes=1))
async def value_changed(ctx: Context, params: Watched, since: datetime) -> Events[Change]:
    """Triggers when a value in the JSON at a URL changes.

    The first value seen after the AREA is switched on is the starting point and doesn't count.
    """
    # The state changes only once all went well: else an ETag would hide what could not be read.
    seen = dict(ctx.state)
    response = await ctx.http.get_if_changed(params.url, seen, headers=params.headers)
    if response is not None:
        value = await selected(response, params.path)
        try:
            written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        except TypeError as error:
            raise Permanent(
                Sentence(
                    "The value at %(path)s can't be stored: %(error)s. Choose a part of it.",
                    path=params.path,
                    error=error,
                )
            ) from error
        if len(written) > MAX_KEPT:
            raise Permanent(
                Sentence("The value at %(path)s is larger than 64 KB. Choose a part of it.", path=params.path)
            )
        digest = hashlib.sha256(written).hexdigest()
        if digest != seen.get("digest"):
            # the counter makes A, B, A three events; a hash alone would know the second A
            seen["n"] = seen["n"] + 1 if "n" in seen else 0
            seen["changed_at"] = datetime.now(UTC).isoformat()
            seen["previous"], seen["value"], seen["digest"] = seen.get("value"), value, digest
    ctx.state.update(seen)
    if "n" in seen:
        at = datetime.fromisoformat(seen["changed_at"])
        data = Change.model_construct(
            value=seen["value"], previous=seen["previous"], url=Url(hide("address", params.url)), changed_at=at
        )
        yield Event(f"{seen['n']}:{seen['digest']}", data, at)


class WatchedList(Form):
    """A list in the JSON at a URL."""

    url: Annotated[Url, param("URL that returns JSON", "https://api.example.com/orders", holds="address")]
    path: Annotated[
        JmesPath | None, param("JMESPath of the list; leave empty if the response is the list", "data.orders")
    ] = None
    id_field: Annotated[
        str | None, param("Field that identifies an item; by default id, guid, uuid, key or url", "order_number")
    ] = None
    date_field: Annotated[str | None, param("Field with an item's date, if any", "created_at")] = None
    headers: Headers = None


class ListItem(Output):
    item: Any = output("item", "Item", {"id": 42, "total": 19.9})
    id: str = output("id", "Item ID", "42")
    url: Url = output("url", "URL it was read from", "https://api.example.com/orders")


@service.poll("New item in a list", every=timedelta(minutes=1), overlap=None)
async def new_list_item(ctx: Context, params: WatchedList, since: datetime) -> Events[ListItem]:
    """Triggers when a JSON list at a URL has a new item.

    Items already there when the AREA is switched on don't count.
    """
    seen = dict(ctx.state)
    response = await ctx.http.get_if_changed(params.url, seen, headers=params.headers)
    items = [] if response is None else await selected_list(response, params.path or "@")
    if not isinstance(items, list):
        raise Permanent(
            Sentence("The value at %(path)s isn't a list. It is %(kind)s.", path=params.path, kind=_kind(items))
            if params.path
            else Sentence("The response isn't a list. It is %(kind)s.", kind=_kind(items))
        )
    if len(items) > MAX_ITEMS:
        raise Permanent(
            Sentence(
                "The list has %(number)s items. Limit it to the newest with a path such as %(path)s.",
                number=Number(len(items)),
                path=f"data[:{MAX_ITEMS}]",
            )
        )
    if params.id_field and items and not any(lists.identity(item, (params.id_field,)) for item in items):
        raise Permanent(
            Sentence("No item of the list has the field %(name)s. Check its spelling.", name=params.id_field)
        )
    fields = (params.id_field,) if params.id_field else lists.ID_FIELDS
    readable = [item for item in items if _can_be_stored(item)]
    nameless = [item for item in readable if not lists.identity(item, fields)]
    telling = lists.telling(nameless)
    notes = [_unstorable(len(items) - len(readable))]
    if response is not None:
        compared = lists.Compared(nameless, seen.get("items", []))
        if changing := compared.changing:
            if len(nameless) > 1 and not telling:
                raise lists.no_identity(nameless, changing)
            notes.append(_told_apart(telling))
        seen["items"] = compared.rows
    ctx.state.update(seen)
    if response is not None:
        ctx.note(*notes)
    for item in readable:
        identity = lists.identity(item, fields)
        signs = () if identity else tuple(f"{name}={item[name]}" for name in telling)
        identity = identity or lists.digest(item)
        at = _date(item.get(params.date_field)) if params.date_field and isinstance(item, dict) else None
        data = ListItem.model_construct(item=item, id=identity, url=Url(hide("address", params.url)))
        yield Event(
            identity if len(identity) <= 255 else lists.digest(identity), data, at, (identity, *signs) if signs else ()
        )


def _can_be_stored(item: Any) -> bool:
    try:
        orjson.dumps(item)
    except TypeError:
        return False
    return True


def _unstorable(number: int) -> str:
    if not number:
        return ""
    return counted(
        "%(number)s item of the list can't be stored and was left out.",
        "%(number)s items of the list can't be stored and were left out.",
        number,
    )


def _told_apart(telling: Sequence[str]) -> Sentence:
    if not telling:
        return Sentence("Nothing identifies the only item of the list, so each change counts as a new item.")
    return Sentence("Every item of the list changes each time. AREA tells items apart by %(name)s.", name=telling[0])


def _kind(value: Any) -> str:
    """Describe `value`, and where it contains a list."""
    if isinstance(value, str):
        return Sentence("a string")
    if isinstance(value, bool):
        return Sentence("a boolean")
    if value is None:
        return "null"
    if not isinstance(value, dict):
        return Sentence("a number")
    if not value:
        return Sentence("an empty object")
    fields = ", ".join(list(value)[:10])
    lists = [name for name, content in value.items() if isinstance(content, list)]
    if lists:
        return Sentence("an object with the fields %(fields)s; try the path %(path)s", fields=fields, path=lists[0])
    return Sentence("an object with the fields %(fields)s", fields=fields)


def _date(value: Any) -> datetime | None:
    """Parse ISO 8601, seconds or milliseconds since 1970, or e-mail dates; None for anything else.

    Also None for midnight, which means a date without a time: taken literally, an item published at noon would look
    hours late.
    """
    try:
        date = _dates.validate_python(value)
    except ValidationError:
        try:
            date = parsedate_to_datetime(value)
        except (TypeError, ValueError, AttributeError):
            return None
    if date.time() == time.min:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
