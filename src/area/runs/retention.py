"""Retention: which runs and event ids are deleted, and when."""

from datetime import datetime

from area.db.session import Conn

BATCH = 5000  # rows deleted per transaction
# single executions, and runs of a chain as a whole
PURGE = """
with runs as (
    select root from execution_links where execution_id = any($1::bigint[])
    union select root from execution_links where root = any($1::bigint[])
), members as (
    select r.root, r.root as id from runs r
    union all select l.root, l.execution_id from runs r join execution_links l on l.root = r.root
), staying as (
    select distinct m.root from members m join area_executions e on e.id = m.id
    where e.created_at >= $2 or e.status in ('pending', 'running')
), gone as (
    select unnest($1::bigint[]) as id except select id from members
    union select m.id from members m where m.root not in (select root from staying)
)
delete from area_executions e using gone where e.id = gone.id
"""
PAGES = 2000  # pages of `hook_states` scanned per transaction


async def purge(conn: Conn, before: datetime, known_before: datetime) -> dict[str, int]:
    """Delete executions that are over and were created before `before`, and event ids from before `known_before`.

    Ids are kept longer, twice the retention and at least 90 days: an id must outlive whatever its source may still
    return, or an old event would look new and trigger again. Uses short transactions of its own, so `conn` must not be
    in one. Returns how many of each were deleted.
    """
    return {"executions": await _purge_executions(conn, before), "events": await _purge_events(conn, known_before)}


async def _purge_executions(conn: Conn, before: datetime) -> int:
    """Ids grow with time, so the old ones are first in the primary key. Executions still to run are skipped, and so are
    runs of a chain of which something is still to run or not old yet: a run goes as a whole.
    """
    gone = last = 0
    while True:
        rows = await conn.fetch(
            "select id, created_at, status from area_executions where id > $1 order by id limit $2", last, BATCH
        )
        old = [row["id"] for row in rows if row["created_at"] < before and row["status"] not in ("pending", "running")]
        status = await conn.execute(PURGE, old, before)
        gone += int(status.rpartition(" ")[2])
        if len(rows) < BATCH or rows[-1]["created_at"] >= before:
            return gone
        last = rows[-1]["id"]


async def _purge_events(conn: Conn, before: datetime) -> int:
    """One scan of the table in disk order, since no index has the rows' age."""
    pages = await conn.fetchval("select pg_relation_size('hook_states') / current_setting('block_size')::int")
    gone = 0
    for start in range(0, pages, PAGES):
        status = await conn.execute(
            "delete from hook_states where ctid >= $1::tid and ctid < $2::tid"
            " and updated_at < $3 and starts_with(state_key, 'event:')",
            (start, 0),
            (start + PAGES, 0),
            before,
        )
        gone += int(status.rpartition(" ")[2])
    return gone
