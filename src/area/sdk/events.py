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

    `id` is the source's own id for it (a vendor's id, a delivery id, a timer's planned instant) and keeps it from
    firing twice; never use a hash of "now". An empty id makes each delivery an event of its own. `at` is when it
    happened by the source's clock (aware), if the source says.

    For sources that give a thing another id at each look, `signs` are what else tells it apart, the most telling first
    (see `area.sdk.dedupe`). `former` are the ids that earlier versions of the connector gave it, so that an upgrade
    fires nothing again.
    """

    id: str
    data: Data
    at: datetime | None = None
    signs: tuple[str, ...] = ()
    former: tuple[str, ...] = ()


Events = AsyncIterator[Event[Data]]


async def new_events(rows: AsyncIterator[Data], name: str = "{id}", at: str = "") -> Events[Data]:
    """The rows of a list as events. `name`, a template of their fields, is their id, and the field `at` their time, if
    given.
    """
    async for row in rows:
        fields = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row}
        yield Event(name.format_map(fields), row, getattr(row, at) if at else None)


class Headers(Mapping[str, str]):
    """Header names compared without case; repeated headers are joined with a comma (RFC 9110 §5.3)."""

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
        """All of them, by lower-case name."""
        return dict(self._values)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    @override
    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True)
class Request:
    """An incoming webhook request. The body is raw bytes, so that a signature can be checked on them.

    `url` is the address that the sender was given, for vendors that sign it, too. `query` has the last value of each
    name, `query_string` all of them, still escaped.
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
        """A header's value, such as a delivery's id. Raises `Permanent` when it is missing or empty."""
        if value := self.headers.get(name, ""):
            return value
        raise Permanent(Sentence("The %(name)s header is missing.", name=name))

    def json(self) -> Any:
        """The body as JSON. Raises `Permanent` when it isn't JSON."""
        try:
            return parse_json(self.body, charset_in(self.headers.get("content-type", "")))
        except ValueError as error:
            raise Permanent(Sentence("The body is no JSON: %(error)s.", error=error)) from error


@dataclass(frozen=True, slots=True)
class Reply:
    """What a sender expects: before it sends events, such as its challenge echoed, or once they are stored."""

    body: str = ""
    content_type: str = "text/plain"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hook:
    """Where the vendor should send an AREA's events, and the secret to sign them with (or to repeat)."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """What the vendor returned: the id to renew and end it by, when it expires, and the vendor's own secret."""

    id: str
    expires_at: datetime | None = None
    secret: str | None = field(default=None, repr=False)


def account_ids(path: str, id: str = "") -> Callable[[Request], list[str]]:  # noqa: A002 - as Account's
    """Make `Inbound.accounts`: find the ids of the accounts at `path` (as for `output`) of a delivery, one or a list.

    `id` is the path to the id in each, or a template as for `composed`. Raises `Permanent` when there is none.
    """

    def accounts(request: Request) -> list[str]:
        items = lookup(path, request.json())
        each = items if isinstance(items, list) else [items]
        names: list[Any] = [fill_template(id, row) if "{" in id else lookup(id, row) if id else row for row in each]
        if not all(isinstance(name, str) for name in names):
            raise Permanent(Sentence("It is not told whose account it is about."))
        return names

    return accounts


__getattr__ = renamed(__name__, {"whose": "account_ids", "news": "new_events"})
