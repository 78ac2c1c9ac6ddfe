"""A line of each run's data, which tells runs of one AREA apart in a list."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

LONGEST = 120  # characters
MOST_VALUES = 3
TELLING = ("title", "subject", "name", "summary", "text", "message", "content", "number", "id")  # the first of these
BESIDE = ("from", "sender", "author", "user", "customer", "url", "link")  # with the first of these
HOLLOW = frozenset({"method", "headers", "query", "path", "missed", "timezone", "late_seconds"})  # alike in all runs

# What came in: the body of a request, and of a link of a chain what it is about. Texts are cut before they are sent.
DATA = text("""
select e.id, case jsonb_typeof(about.data)
  when 'object' then (
    select jsonb_object_agg(one.key, case jsonb_typeof(one.value)
      when 'string' then to_jsonb(left(one.value #>> '{}', 200)) else one.value end)
    from (select key, value from jsonb_each(about.data) limit 100) one
    where jsonb_typeof(one.value) in ('string', 'number', 'boolean'))
  when 'string' then to_jsonb(left(about.data #>> '{}', 200))
  when 'number' then about.data
  end as data
from area_executions e
cross join lateral (select case
  when e.trigger_data ?& array['origin', 'run'] then coalesce(
    nullif(e.trigger_data -> 'item', 'null'), nullif(e.trigger_data -> 'result', 'null'), e.trigger_data -> 'origin')
  when jsonb_typeof(e.trigger_data -> 'body') in ('object', 'string') and e.trigger_data ? 'method'
    then e.trigger_data -> 'body'
  else e.trigger_data end as data) about
where e.id = any(:ids)
""")


async def excerpts(session: AsyncSession, ids: Sequence[int]) -> dict[int, str]:
    """A line for each execution that has one."""
    if not ids:
        return {}
    rows = await session.execute(DATA, {"ids": list(ids)})
    return {number: line for number, data in rows if (line := excerpt(data))}


def excerpt(data: Any) -> str:
    """The most telling values of an event, in one line of at most `LONGEST` characters."""
    if not isinstance(data, Mapping):
        return _short(data)
    values = {name: line for name, value in data.items() if name not in HOLLOW and (line := _short(value))}
    first = (next((values[name] for name in names if name in values), "") for names in (TELLING, BESIDE))
    chosen = [line for line in first if line] or list(values.values())[:MOST_VALUES]
    return _short(" · ".join(chosen))


def _short(value: Any) -> str:
    if value is None or isinstance(value, (bool, Mapping, list)):
        return ""
    line = " ".join(str(value).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…"
