"""The floor: the least that a durable webhook to HTTP pipeline does, on the libraries that AREA uses (granian, asyncpg, aiohttp).

A webhook is a row, committed before it is answered, together with others that wait; a worker claims rows, posts each and records what came back, and what it
has claimed and not recorded is claimed again. There are no users, catalog, templates, checks, retries or turns. What AREA takes
beyond this, in one run on one machine, is what those cost.
"""

import os

INTAKE, WAKE = "/hook", "floor"
BATCH = 64  # webhooks in a commit, and executions in a claim
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
    """Where the database is, for the processes of the floor."""
    return os.environ["FLOOR_DSN"]
