"""What connectors receive and yield: events, requests, hooks."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel
from typing_extensions import override

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
