"""What a connector is given: an HTTP client with the guard on, its connection, its memory, and a way to the platform."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import NAMESPACE_URL, uuid5

import structlog

from area.kit.net import Guard
from area.sdk.http import Http


@dataclass(frozen=True, slots=True)
class Failure:
    """An execution that failed, or an AREA that was switched off by the system, as the `area` service tells it."""

    id: str
    at: datetime
    area_id: int
    area_name: str
    reason: str
    execution_id: int | None


class Platform(Protocol):
    """What the built-in services may ask of AREA itself, always on behalf of the AREA's owner."""

    async def post_notice(self, title: str, body: str, level: str) -> int:
        """Put a notice in the user's inbox; returns its id."""
        ...

    async def run_area(self, area: int, data: dict[str, Any]) -> int:
        """Run another AREA of the same user once with `data`; returns the execution. Raises `Permanent` on a loop."""
        ...

    async def switch_area(self, area: int, *, active: bool) -> None:
        """Switch another AREA of the same user on or off."""
        ...

    async def areas(self) -> Sequence[tuple[int, str]]:
        """Numbers and names of the user's AREAs, newest first."""
        ...

    def failures(self, since: datetime) -> AsyncIterator[Failure]:
        """Failed executions of the user's other AREAs."""
        ...

    def switched_off(self, since: datetime) -> AsyncIterator[Failure]:
        """AREAs of the user that the system switched off."""
        ...


async def _nothing_to_save() -> None:
    """Where no trigger's state is kept."""


@dataclass(slots=True)
class Context:
    """Handed to every connector function.

    `http` carries auth, timeout, size limit and the SSRF guard; `guard` opens sockets for what is not HTTP. `credential` is
    the connection's typed model, or None. `state` is a small dict of JSON values kept with the trigger and committed together
    with the events it yields; for opaque vendor tokens (ETags, cursors), not for dedupe. `idempotency_key` is the same for
    every attempt of one execution, and empty in a trigger. A listener awaits `save` when its `state` must last although there
    is no event yet: a baseline, a session's name.
    """

    http: Http
    guard: Guard
    platform: Platform
    credential: Any = None
    state: dict[str, Any] = field(default_factory=dict)
    idempotency_key: str = ""
    save: Callable[[], Awaitable[None]] = _nothing_to_save
    log: Any = field(default_factory=structlog.get_logger)

    def uuid(self, purpose: str = "") -> str:
        """A UUID (RFC 9562, version 5) that is the same for every attempt of one execution, for vendors that take one as the name of
        a request or of what is made; another one for each `purpose`. Empty in a trigger.
        """
        return str(uuid5(NAMESPACE_URL, self.idempotency_key + purpose)) if self.idempotency_key else ""
