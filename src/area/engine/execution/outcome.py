"""The outcome of an attempt: the execution has finished, or waits with its own job. Outcomes are values; `recorder`
writes them.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from area.engine.cache import Loaded
from area.engine.execution.result import encoded
from area.engine.execution.running import Member
from area.engine.intake import BULK, LaterJob
from area.kit.clock import now
from area.kit.sentences import Moment, Sentence, parts_of
from area.runs.record import PLAIN, Attempt, Reason, RunRecord, Status
from area.sdk import Retry

MAX_ATTEMPTS = 16
LONGEST_PAUSE = timedelta(hours=4)
CROWDED = (1.0, 30.0)  # seconds until what made room is tried again


@dataclass(slots=True)
class Run:
    """A run of an AREA that follows, still without its number: the `data` lacks the run's own and its last brace."""

    area_id: int
    index: int | None
    data: bytes


@dataclass(slots=True)
class Follow:
    """What an outcome leads to. `chain` lists the AREAs that called each other up to here, if any did. `refused`
    returns what follows instead if the outcome can't be stored and so becomes a failure.
    """

    runs: list[Run]
    chain: list[int]
    refused: "Callable[[Outcome], Follow | None] | None" = None

    @property
    def size(self) -> int:
        """Bytes of all data."""
        return sum(len(run.data) for run in self.runs)


@dataclass(slots=True)
class Outcome:
    """The outcome of one attempt of one execution.

    `result` is the JSON of what the reaction returned. `record` is what to store beside the execution, None if nothing.
    `started` is when its first attempt began, None if there was none. `later` is the job it waits for, None if it is
    over. `follow` holds the runs of the AREAs that follow, to be stored with it.
    """

    execution_id: int
    area_id: int
    user_id: int
    status: Status
    result: bytes | None
    record: RunRecord | None
    error: str | None
    started: datetime | None
    completed: datetime | None
    ms: int | None
    own_job: bool = False
    recovers: bool = False
    permanent: bool = False
    later: LaterJob | None = None
    follow: Follow | None = None


def over(
    member: Member,
    area: Loaded,
    status: Status,
    started: datetime,
    clock: float | None = None,
    *,
    error: str | None = None,
    result: Any = None,
    permanent: bool = False,
) -> Outcome:
    """The execution is over. `started` and `clock` (of `time.perf_counter`) say when this attempt began; `permanent`:
    it would fail again.
    """
    completed = now()
    ms = _since(clock) if clock is not None else 0
    record = _record(member, area, error)
    if status == "failed" or (status == "success" and record.attempts):
        record.attempts.append(Attempt(at=started, error=error, ms=ms, said=parts_of(error)))
    if member.started is not None:
        ms = round((completed - member.started).total_seconds() * 1000)
    return Outcome(
        execution_id=member.execution_id,
        area_id=area.id,
        user_id=area.user_id,
        status=status,
        result=encoded(result),
        record=None if status == "success" and not member.own and record == PLAIN else record,
        error=error,
        started=member.started or started,
        completed=completed,
        ms=ms,
        own_job=member.own,
        recovers=status == "success" and area.failures > 0,
        permanent=permanent,
    )


def leave(
    member: Member, area: Loaded, due: datetime, reason: Reason, *, error: str | None = None, priority: int = 0
) -> Outcome:
    """The execution waits until `due` with its own job."""
    return Outcome(
        execution_id=member.execution_id,
        area_id=area.id,
        user_id=area.user_id,
        status="pending",
        result=None,
        record=_record(member, area, error),
        error=error,
        started=member.started,
        completed=None,
        ms=None,
        later=LaterJob(member.execution_id, due, reason, priority),
    )


def crowded(member: Member, area: Loaded) -> Outcome:
    """The execution makes room for other users' and queues behind them."""
    due = now() + timedelta(seconds=random.uniform(*CROWDED))  # noqa: S311 - spreads load
    return leave(member, area, due, "crowded", priority=BULK - 1)


def again(member: Member, area: Loaded, started: datetime, clock: float, error: Retry, *, repeatable: bool) -> Outcome:
    """The attempt raised `Retry`: it is retried later, or fails.

    It fails after `MAX_ATTEMPTS`, or if it may have taken effect and is not `repeatable`.
    """
    if error.unsure and not repeatable:
        text = Sentence("%(error)s The outcome is unknown.", error=ended(error))
        return over(member, area, "failed", started, clock, error=text, permanent=True)
    record = member.record
    record.state = error.state or record.state
    number = len(record.attempts) - record.interruptions + 1
    if number >= MAX_ATTEMPTS:
        text = Sentence("Gave up after %(number)s attempts. Last error: %(error)s", number=number, error=error)
        return over(member, area, "failed", started, clock, error=text, permanent=True)
    record.attempts.append(Attempt(at=started, error=str(error), ms=_since(clock), said=parts_of(str(error))))
    member.started = member.started or started
    pause = pause_after(number, error.after)
    due = now() + pause
    if error.parks:
        due = now() + (error.after or max(pause, timedelta(seconds=30)))
    text = Sentence("%(error)s Next attempt at %(time)s.", error=ended(error), time=Moment(due))
    return leave(member, area, due, "retry", error=text)


def ended(error: Exception) -> Sentence:
    """The error's sentence with a full stop, which a server's own words may lack."""
    text = Sentence(str(error))
    return text if text.rstrip().endswith((".", "!", "?", "…", "。")) else Sentence("%(error)s.", error=text)


def pause_after(number: int, requested: timedelta | None) -> timedelta:
    """The pause after `number` failed attempts: what the vendor asked for, else full jitter from 1 s to hours."""
    if requested:
        return requested + timedelta(seconds=random.uniform(0, min(5, requested.total_seconds() / 10)))  # noqa: S311 - jitter
    most = min(LONGEST_PAUSE.total_seconds(), 2.0**number)
    return timedelta(seconds=max(1.0, random.uniform(0, most)))  # noqa: S311 - jitter


def _since(clock: float) -> int:
    return round((time.perf_counter() - clock) * 1000)


def _record(member: Member, area: Loaded, error: str | None) -> RunRecord:
    member.record.said = parts_of(error)
    if not member.record.as_it_was:
        member.record.version = area.version
    return member.record
