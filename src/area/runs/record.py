"""The facts of a run and their types: its status, why it waits, and what AREA records of it besides
`area_executions`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field

from area.db import contexts
from area.kit.crypto import Keyring
from area.kit.sentences import Sentence
from area.kit.text import dump_json

# `area_executions.status`
Status: TypeAlias = Literal["pending", "running", "success", "failed", "cancelled", "skipped"]

# `execution_jobs.reason`: why an execution has a job of its own. A `run` by hand, a `replay` and a run by a `chain` of
# AREAs have one from the start. The others left their group: for a `delay` or a `retry`, until their connection works
# (`connection`) or its vendor accepts requests again (`parked`), because other users wait (`crowded`), or because the
# worker stopped (`handed_back`).
Reason: TypeAlias = Literal[
    "run", "replay", "chain", "delay", "connection", "parked", "retry", "crowded", "handed_back"
]


class Attempt(BaseModel):
    """One attempt: when it began, its duration in milliseconds, and why it failed. A successful one has no `error`.

    `said` holds the parts of the error if it is AREA's own sentence, to translate it.
    """

    model_config = ConfigDict(extra="ignore")

    at: datetime
    error: Sentence | None = None
    ms: int | None = None
    interrupted: bool = False
    said: dict[str, Any] | None = Field(None, exclude=True)


class RunRecord(BaseModel):
    """What AREA records of a run besides `area_executions`: a row of `execution_records`.

    `version` is the AREA's version that it ran with, or should run with if `as_it_was`. `forced`: it runs even if the
    AREA is off. `alone`: the AREAs that follow don't run after it. `chain` lists the AREAs that led to it. `parameters`
    (sealed) replace the AREA's. `attempts` holds the failed attempts, and the successful one after them. `state` is
    what an attempt left for the next. `said` holds the parts of the execution's `error_message`.
    """

    version: int | None = None
    as_it_was: bool = False
    forced: bool = False
    replay_of: int | None = None
    alone: bool = False
    chain: list[int] = Field(default_factory=list)  # what is made is cheaper than what is copied
    parameters: str | None = None
    attempts: list[Attempt] = Field(default_factory=list)
    state: dict[str, Any] = Field(default_factory=dict)
    said: dict[str, Any] | None = None

    @property
    def interruptions(self) -> int:
        """How many attempts ended because their worker stopped."""
        return sum(attempt.interrupted for attempt in self.attempts)

    @classmethod
    def read(cls, row: Mapping[str, Any] | str | None, status: Status) -> "RunRecord":
        """Read a row, given as a mapping or as JSON. A successful run without a row had one attempt, with the AREA's
        first version.
        """
        if row is None:
            return PLAIN.model_copy(deep=True) if status == "success" else cls()
        return cls.model_validate_json(row) if isinstance(row, str) else cls.model_validate(row)


PLAIN = RunRecord(version=1)  # of a success, which needs no row

# the rows of a JSON array from `as_rows`, in the order of KEEP's columns
RECORDS = (
    "jsonb_to_recordset({0}::jsonb) as r(execution_id bigint, version int, as_it_was bool, forced bool,"
    " replay_of bigint, alone bool, chain jsonb, parameters text, attempts jsonb, state jsonb, said jsonb)"
)
KEEP = (
    "insert into execution_records"
    " (execution_id, version, as_it_was, forced, replay_of, alone, chain, parameters, attempts, state, said)"
    " select r.* from "
)


def as_rows(records: Mapping[int, RunRecord]) -> str | None:
    """Records by execution id, for `RECORDS`; None if there are none."""
    rows = [
        {
            "execution_id": number,
            **record.model_dump(mode="json"),
            "attempts": [stored(attempt) for attempt in record.attempts],
        }
        for number, record in records.items()
    ]
    return dump_json(rows).decode() if rows else None


def stored(attempt: Attempt) -> dict[str, Any]:
    """An attempt as stored in a record."""
    return attempt.model_dump(mode="json") | ({"said": attempt.said} if attempt.said else {})


def seal(keyring: Keyring, execution_id: int, parameters: Mapping[str, Any]) -> str:
    """Encrypt the parameters that a run was given."""
    return keyring.encrypt(dump_json(parameters).decode(), contexts.execution(execution_id))


def unseal(keyring: Keyring, execution_id: int, sealed: str) -> dict[str, Any]:
    """The inverse of `seal`; also reads plain JSON, which exists right after an upgrade. Raises `Undecryptable`."""
    text = sealed if sealed.startswith("{") else keyring.decrypt(sealed, contexts.execution(execution_id))
    opened: dict[str, Any] = orjson.loads(text)
    return opened
