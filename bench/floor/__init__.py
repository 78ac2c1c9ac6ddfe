"""The floor: the minimum of a durable webhook-to-HTTP pipeline on AREA's libraries (granian, asyncpg, aiohttp).

A webhook is a row, committed in a group before it is answered. A worker claims rows, posts each and records the
response; rows that are claimed but not recorded are claimed again. There are no users, catalog, templates, checks,
retries or fairness. AREA's extra cost, in one run on one machine, is the cost of those.
"""

import os

INTAKE, WAKE = "/hook", "floor"
BATCH = 64  # webhooks per commit, and executions per claim
SCHEMA = """
CREATE TABLE executions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    status text NOT NULL DEFAULT 'pending',
    received json NOT NULL,
    answered int,
    claimed_at timestamptz,
    completed_at timestamptz
);
CREATE INDEX ON executions (id) WHERE status <> 'success';
"""


def dsn() -> str:
    """The floor's database URL."""
    return os.environ["FLOOR_DSN"]
