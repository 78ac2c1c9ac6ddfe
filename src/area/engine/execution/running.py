"""The worker's state of each execution while it holds it."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from area.kit.budget import Budget
from area.runs.record import Reason, RunRecord


@dataclass(slots=True)
class Member:
    """One execution to attempt. `own`: the job is its own, for a `reason`; else it is one of a group.

    `size` is the size of its event in bytes, and `budget` what the user's expressions may spend on it. `started` is
    when its first attempt began, None if there was none. `interruptions` counts the attempts that ended because their
    worker stopped, including the last.
    """

    execution_id: int
    area_id: int
    data: Any
    size: int = 0
    budget: Budget = field(default_factory=Budget)
    own: bool = False
    reason: Reason | None = None
    record: RunRecord = field(default_factory=RunRecord)
    started: datetime | None = None
    interrupted: bool = False
    interruptions: int = 0
    was_running: bool = False


@dataclass(slots=True)
class Running:
    """An execution whose attempt has begun in this worker.

    `first` is when the execution's first attempt began, `clock` when this one did, by `time.perf_counter`; both are set
    once the reaction is called. `ended` says why the task was ended from outside.
    """

    member: Member
    owner: int
    task: "asyncio.Task[Any]"
    waits_for_slot: bool = False
    first: datetime | None = None
    clock: float | None = None
    shown: bool = False
    ended: Literal["cancelled", "crowded", "overdue"] | None = None

    def end(self, why: Literal["cancelled", "crowded", "overdue"]) -> None:
        """End the attempt. The first reason wins."""
        self.ended = self.ended or why
        self.task.cancel()


class RunningExecutions:
    """The executions that run in this worker, by id."""

    def __init__(self) -> None:
        self._all: dict[int, Running] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Running]:
        return iter([*self._all.values()])

    def get(self, execution_id: int) -> Running | None:
        """The execution, if it runs here."""
        return self._all.get(execution_id)

    def add(self, running: Running) -> None:
        """An attempt begins."""
        self._all[running.member.execution_id] = running

    def remove(self, running: Running) -> None:
        """The outcome of an attempt is decided. May be called twice."""
        if self._all.get(running.member.execution_id) is running:
            del self._all[running.member.execution_id]

    def called_for(self, seconds: float) -> list[Running]:
        """The executions whose reaction was called at least that many seconds ago."""
        latest = time.perf_counter() - seconds
        return [execution for execution in self if execution.clock is not None and execution.clock < latest]
