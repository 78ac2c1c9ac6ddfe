"""The facts of a run, with their types: how far it is, and why it waits by itself."""

from typing import Literal, TypeAlias

# `area_executions.status`
Status: TypeAlias = Literal["pending", "running", "success", "failed", "cancelled", "skipped"]

# `execution_jobs.reason`: why an execution has a job of its own. A `run` (by hand), a `replay` and what a `chain` of AREAs led to
# have one from the start; the others left their group: until their `delay` is over, their connection works again
# (`connection`), its vendor takes requests again (`parked`), for a `retry`, because other users wait (`crowded`), or because the
# worker stopped (`handed_back`).
Reason: TypeAlias = Literal[
    "run", "replay", "chain", "delay", "connection", "parked", "retry", "crowded", "handed_back"
]
