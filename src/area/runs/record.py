"""The facts of a run, with their types: how far it is, why it waits by itself, and what AREA keeps of it beside the seed's columns."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field

from area.db import contexts
from area.kit.crypto import Keyring
from area.kit.sentences import Sentence, read
from area.kit.text import dump_json

# `area_executions.status`
Status: TypeAlias = Literal["pending", "running", "success", "failed", "cancelled", "skipped"]

# `execution_jobs.reason`: why an execution has a job of its own. A `run` (by hand), a `replay` and what a `chain` of AREAs led to
# have one from the start; the others left their group: until their `delay` is over, their connection works again
# (`connection`), its vendor takes requests again (`parked`), for a `retry`, because other users wait (`crowded`), or because the
# worker stopped (`handed_back`).
Reason: TypeAlias = Literal[
    "run", "replay", "chain", "delay", "connection", "parked", "retry", "crowded", "handed_back"
]


class Attempt(BaseModel):
    """One attempt: when it began, how many milliseconds it took, and why it failed; one that succeeded has no `error`.

    `said` is what a sentence of AREA's own was made of, for readers of other languages.
    """

    model_config = ConfigDict(extra="ignore")

    at: datetime
    error: Sentence | None = None
    ms: int | None = None
    interrupted: bool = False
    said: dict[str, Any] | None = Field(None, exclude=True)


class RunRecord(BaseModel):
    """What AREA keeps of a run beside the seed's columns: a row of `execution_records`.

    `version` is the AREA's that it ran with, or is to run with if `as_it_was`. `forced`: also while the AREA is off. `chain` are
    the AREAs that led here. `parameters` (sealed) were given in place of the AREA's. `attempts` holds those that failed, and the
    one that succeeded after them. `state` is what an attempt left for the next one. `said` is what the execution's
    `error_message` was made of.
    """

    version: int | None = None
    as_it_was: bool = False
    forced: bool = False
    replay_of: int | None = None
    chain: list[int] = []
    parameters: str | None = None
    attempts: list[Attempt] = []
    state: dict[str, Any] = {}
    said: dict[str, Any] | None = None

    @property
    def interruptions(self) -> int:
        """How many attempts ended because their worker did."""
        return sum(attempt.interrupted for attempt in self.attempts)

    @classmethod
    def read(cls, row: Mapping[str, Any] | str | None, status: Status) -> "RunRecord":
        """A row, as a mapping or as JSON. A run that succeeded without one had a single attempt, with the AREA's first version."""
        if row is None:
            return PLAIN.model_copy(deep=True) if status == "success" else cls()
        return cls.model_validate_json(row) if isinstance(row, str) else cls.model_validate(row)


PLAIN = RunRecord(version=1)  # of a success, it needs no row

# the rows of a JSON array that `as_rows` makes, in the order of KEEP's columns
RECORDS = (
    "jsonb_to_recordset({0}::jsonb) as r(execution_id bigint, version int, as_it_was bool, forced bool, replay_of bigint,"
    " chain jsonb, parameters text, attempts jsonb, state jsonb, said jsonb)"
)
KEEP = (
    "insert into execution_records"
    " (execution_id, version, as_it_was, forced, replay_of, chain, parameters, attempts, state, said) select r.* from "
)


def as_rows(records: Mapping[int, RunRecord]) -> str | None:
    """Records by their executions' ids, for `RECORDS`; None when there are none."""
    rows = [
        {"execution_id": number, **record.model_dump(mode="json"), "attempts": [stored(one) for one in record.attempts]}
        for number, record in records.items()
    ]
    return dump_json(rows).decode() if rows else None


def stored(attempt: Attempt) -> dict[str, Any]:
    """An attempt as it is kept in a record."""
    return attempt.model_dump(mode="json") | ({"said": attempt.said} if attempt.said else {})


def made_of(text: str | None) -> dict[str, Any] | None:
    """What a sentence of AREA's own was made of, to be kept beside it; None for what others said."""
    return text.dumped() if isinstance(text, Sentence) and text.key else None


def in_words(said: dict[str, Any] | None, text: str | None) -> Sentence | None:
    """A text that was kept, as the sentence that it was, so that it can be translated."""
    sentence = read(said)
    if sentence is not None and sentence == text:
        return sentence
    return None if text is None else Sentence(text)


def seal(keyring: Keyring, execution_id: int, parameters: Mapping[str, Any]) -> str:
    """Parameters that a run was given, as they are stored."""
    return keyring.encrypt(dump_json(parameters).decode(), contexts.execution(execution_id))


def unseal(keyring: Keyring, execution_id: int, sealed: str) -> dict[str, Any]:
    """The inverse of `seal`; also what is in clear, right after an upgrade. Raises `Undecryptable`."""
    text = sealed if sealed.startswith("{") else keyring.decrypt(sealed, contexts.execution(execution_id))
    opened: dict[str, Any] = orjson.loads(text)
    return opened
