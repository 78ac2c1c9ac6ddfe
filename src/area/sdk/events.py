"""What connectors receive and yield: events, requests, hooks."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel
from typing_extensions import override

from area.sdk.answers import fill, look
from area.sdk.errors import Permanent

Data = TypeVar("Data", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Event(Generic[Data]):
    """Something happened.

    `id` is the source's own name for it (a vendor's id, a delivery id, a timer's planned instant) and is what keeps it from
    firing twice; never a hash of "now". An empty one says that each delivery is an event of its own. `at` is when it happened by the source's clock, aware, if the source says so.
    """

    id: str
    data: Data
    at: datetime | None = None


Events = AsyncIterator[Event[Data]]


async def news(rows: AsyncIterator[Data], name: str = "{id}", at: str = "") -> Events[Data]:
    """The rows of a list as events: `name`, a template of their fields, is their id, and the field `at` their time, if one is said."""
    async for row in rows:
        told = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row}
        yield Event(name.format_map(told), row, getattr(row, at) if at else None)


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

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    @override
    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True)
class Request:
    """An incoming webhook request, its body unread and unparsed so that a signature can be checked on the raw bytes.

    `url` is the address that the sender was told, for vendors that sign it, too.
    """

    method: str
    path: str
    headers: Headers
    query: Mapping[str, str]
    body: bytes
    received_at: datetime
    url: str = ""

    def header(self, name: str) -> str:
        """What a header says, such as a delivery's id. Raises `Permanent` when it is missing or empty."""
        if value := self.headers.get(name, ""):
            return value
        raise Permanent(f"The {name} header is missing.")

    def json(self) -> Any:
        """The body as JSON. Raises `Permanent` when it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise Permanent(f"The body is no JSON: {error}.") from error


@dataclass(frozen=True, slots=True)
class Reply:
    """What a vendor wants to hear before it sends events: a challenge, given back."""

    body: str = ""
    content_type: str = "text/plain"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a vendor is to send an AREA's events, and what it is to sign them with (or to repeat, where it only repeats)."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a vendor made of it: the id that it is renewed and ended by, when it ends by itself, and the vendor's own secret."""

    id: str
    expires_at: datetime | None = None
    secret: str | None = field(default=None, repr=False)


def whose(path: str, id: str = "") -> Callable[[Request], list[str]]:  # noqa: A002 - as Account's
    """Have `Inbound` find in what is delivered whose accounts it is about: at a path, as for `found`, there is one or a list of them.

    `id` is where in each its id is: another path, or a template as for `filled`. Raises `Permanent` where it is not told.
    """

    def accounts(request: Request) -> list[str]:
        told = look(path, request.json())
        each = told if isinstance(told, list) else [told]
        names: list[Any] = [fill(id, one) if "{" in id else look(id, one) if id else one for one in each]
        if not all(isinstance(one, str) for one in names):
            raise Permanent("It is not told whose account it is about.")
        return names

    return accounts
