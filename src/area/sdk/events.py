"""What connectors receive and yield: events, requests, hooks."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar, overload

from pydantic import BaseModel
from typing_extensions import override

from area.kit.decoding import charset_in, parse_json
from area.kit.sentences import Sentence
from area.sdk.answers import fill_template, lookup
from area.sdk.errors import Permanent
from area.sdk.renamed import renamed

Data = TypeVar("Data", bound=BaseModel)
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Event(Generic[Data]):
    """Something that happened.

    `id` is the source's own ID (a vendor's ID, a delivery ID, a timer's planned time) and prevents the event from
    triggering twice; never use a hash of the current time. An empty ID makes each delivery a separate event. `at` is
    when it happened by the source's clock (aware), if known.

    For sources whose IDs change from poll to poll, `signs` are other values that identify the event, the most reliable
    first (see `area.sdk.dedupe`). `former` are the IDs that earlier versions of the connector used, so that an upgrade
    triggers nothing again.
    """

    id: str
    data: Data
    at: datetime | None = None
    signs: tuple[str, ...] = ()
    former: tuple[str, ...] = ()


Events = AsyncIterator[Event[Data]]


async def new_events(rows: AsyncIterator[Data], name: str = "{id}", at: str = "") -> Events[Data]:
    """The rows of a list as events. `name`, a template of their fields, is the ID, and the field `at` the time, if
    given.
    """
    async for row in rows:
        fields = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row}
        yield Event(name.format_map(fields), row, getattr(row, at) if at else None)


class Headers(Mapping[str, str]):
    """Header names are compared case-insensitively; repeated headers are joined with a comma (RFC 9110 §5.3)."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            self._values[key] = f"{self._values[key]}, {value}" if key in self._values else value

    @override
    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str | Other, /) -> str | Other: ...
    @override
    def get(self, name: str, default: Any = None, /) -> Any:
        """The value, or the default."""
        return self._values.get(name.lower(), default)

    def by_name(self) -> dict[str, str]:
        """All headers, by lower-case name."""
        return dict(self._values)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    @override
    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True)
class Request:
    """An incoming webhook request. The body is raw bytes, so that a signature can be verified.

    `url` is the URL given to the sender, for vendors that sign it too. `query` has the last value of each name, and
    `query_string` all of them, still encoded.
    """

    method: str
    path: str
    headers: Headers
    query: Mapping[str, str]
    body: bytes
    received_at: datetime
    url: str = ""
    query_string: str = ""

    def header(self, name: str) -> str:
        """A header's value, such as the ID of a delivery. Raises `Permanent` if it is missing or empty."""
        if value := self.headers.get(name, ""):
            return value
        raise Permanent(Sentence("The %(name)s header is missing.", name=name))

    def json(self) -> Any:
        """The body as JSON. Raises `Permanent` if it isn't valid JSON."""
        try:
            return parse_json(self.body, charset_in(self.headers.get("content-type", "")))
        except ValueError as error:
            raise Permanent(Sentence("The body isn't valid JSON: %(error)s.", error=error)) from error


@dataclass(frozen=True, slots=True)
class Reply:
    """The response that a sender expects: before it sends events, such as its challenge, or once they are stored."""

    body: str = ""
    content_type: str = "text/plain"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hook:
    """The URL that the vendor should send an AREA's events to, and the secret to sign them with (or to repeat)."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """What the vendor returned: the ID for renewing and ending it, its expiry, and the vendor's own secret."""

    id: str
    expires_at: datetime | None = None
    secret: str | None = field(default=None, repr=False)


def account_ids(path: str, id: str = "") -> Callable[[Request], list[str]]:  # noqa: A002 - as Account's
    """Build `Inbound.accounts`: the IDs of the accounts at `path` (as for `output`) of a delivery, one or a list.

    `id` is the path to the ID in each, or a template as for `composed`. Raises `Permanent` if there is none.
    """

    def accounts(request: Request) -> list[str]:
        items = lookup(path, request.json())
        each = items if isinstance(items, list) else [items]
        names: list[Any] = [fill_template(id, row) if "{" in id else lookup(id, row) if id else row for row in each]
        if not all(isinstance(name, str) for name in names):
            raise Permanent(Sentence("It doesn't say which account it is about."))
        return names

    return accounts


__getattr__ = renamed(__name__, {"whose": "account_ids", "news": "new_events"})
