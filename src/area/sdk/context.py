"""What a connector function gets: a guarded HTTP client, the connection, its state, and the platform."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn, Protocol
from uuid import NAMESPACE_URL, uuid5

import structlog

from area.kit.net import Guard
from area.kit.sentences import joined
from area.sdk.events import Reply
from area.sdk.http import Http

LONGEST_NOTE = 500  # characters


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed execution, or an AREA that was switched off automatically, as the `area` service reports it."""

    id: str
    at: datetime
    area_id: int
    area_name: str
    reason: str
    execution_id: int | None


class Platform(Protocol):
    """What built-in services can do in AREA itself, on behalf of the AREA's owner."""

    async def post_notice(self, title: str, body: str, level: str) -> int:
        """Put a notice in the user's inbox; returns its id."""
        ...

    async def mail_notice(self, title: str, body: str) -> int:
        """Put a notice in the user's inbox and mail it to their own confirmed address; returns its id. Raises
        `Permanent` if that isn't possible.
        """
        ...

    async def answer(self, reply: Reply) -> bool:
        """Answer the request that started this run, if it waits. Returns whether it was the run's first answer."""
        ...

    async def run_area(self, area: int, data: dict[str, Any]) -> int:
        """Run another AREA of the same user once with `data`; returns the execution. Raises `Permanent` on a loop."""
        ...

    async def switch_area(self, area: int, *, active: bool) -> None:
        """Switch another AREA of the same user on or off."""
        ...

    async def areas(self) -> Sequence[tuple[int, str]]:
        """Ids and names of the user's AREAs, newest first."""
        ...

    def failures(self, since: datetime) -> AsyncIterator[Failure]:
        """Failed executions of the user's other AREAs."""
        ...

    def switched_off(self, since: datetime) -> AsyncIterator[Failure]:
        """The user's AREAs that were switched off automatically."""
        ...


class NoPlatform:
    """The platform where there is no account: every call raises `error`."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> NoReturn:
        """Raise the error."""
        raise self._error


async def _nothing_to_save() -> None:
    """Do nothing, because there is no trigger."""


@dataclass(slots=True)
class Context:
    """Passed to every connector function.

    `http` adds authorization, timeouts, size limits and the SSRF guard; `guard` opens sockets for other protocols.
    `credential` is the connection's typed model, or None. `state` is a small dict of JSON values, stored with the
    trigger and committed together with the events it yields: use it for opaque vendor tokens (ETags, cursors), not for
    deduplication. `idempotency_key` is the same for every attempt of one execution, and empty in a trigger. A listener
    awaits `save` to store its `state` when there is no event yet.
    """

    http: Http
    guard: Guard
    platform: Platform
    credential: Any = None
    state: dict[str, Any] = field(default_factory=dict)
    idempotency_key: str = ""
    save: Callable[[], Awaitable[None]] = _nothing_to_save
    log: Any = field(default_factory=structlog.get_logger)

    def note(self, *sentences: str) -> None:
        """In a trigger: tell the AREA's owner what this check left out or can't tell apart. Without a sentence, or with
        empty ones, the previous note is removed.

        The note is stored in `state` and shown with the AREA, from a listener with its next event or `save`. Raise an
        error instead if the check can't continue.
        """
        note = joined(sentences)
        if note and note != self.state.get("note"):
            self.log.warning("trigger.note", note=note)
        self.state.pop("note", None)
        self.state.pop("note_parts", None)
        if len(note) > LONGEST_NOTE:
            self.state["note"] = note[:LONGEST_NOTE]
        elif note:
            self.state.update(note=str.__str__(note), note_parts=note.dumped())

    def uuid(self, purpose: str = "") -> str:
        """A UUID (RFC 9562, version 5) that is the same for every attempt of one execution, and different for each
        `purpose`.

        For vendors that accept a UUID as the ID of a request or of what it creates. Empty in a trigger.
        """
        return str(uuid5(NAMESPACE_URL, self.idempotency_key + purpose)) if self.idempotency_key else ""


def alone(http: Http, guard: Guard, credential: Any, error: Exception) -> Context:
    """A context without an account, to test a credential, a token or a function. Using the platform raises `error`."""
    return Context(http=http, guard=guard, platform=NoPlatform(error), credential=credential)
