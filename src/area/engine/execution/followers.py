"""The runs that an outcome leads to: those of the AREAs that follow, stored in the transaction of the outcome.

1. `prepare` decides, before the outcome is recorded, which AREAs run after it and with what data.
2. In the recorder's transaction, `lock` takes the AREAs and runs concerned, so that cancelling and deleting wait.
3. Once the outcome is written, `store` inserts the executions, their jobs and their places in the run.
4. When a link runs, `unable` says if it can't: its list is no list, or what it needs was left out.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog

from area.areas import links
from area.areas.plans import Plan
from area.db.away import patiently
from area.db.session import Conn
from area.engine.cache import Cache, Follower, Loaded, Runnable
from area.engine.execution.outcome import Follow, Outcome, Run
from area.engine.execution.running import Member
from area.engine.intake import BULK, NORMAL, Offer, accept
from area.engine.state import State
from area.kit import sentences
from area.kit.budget import Budget, Exhausted
from area.kit.evaluation import evaluate
from area.kit.sentences import Number, Sentence
from area.kit.template.reading import PlacedError, read_path
from area.kit.text import dump_json
from area.runs.record import RunRecord

log = structlog.get_logger()

MAX_DATA = 256 * 1024  # bytes that a link carries
MAX_TOGETHER = 8 * 1024 * 1024  # bytes for all items of a list, but for each at least `LEAST_DATA`
LEAST_DATA = 32 * 1024
ORDERED = 16 * 1024  # bytes of data from which on the order of the steps is carried too
MAX_RUN = 10_000  # executions of one run
FLOOD = 100  # runs after one outcome; if there are more, they queue behind other users' events
APART = 64 * 1024  # bytes of runs that are stored in a transaction of their own, so that nobody waits for them
OFFERED = 4 * 1024 * 1024  # bytes of runs stored by one statement

DATA = "select trigger_data from area_executions where id = $1"
LOCK_AREAS = "select id from areas where id = any($1::int[]) order by id for no key update"
ROOTS = "select execution_id, root from execution_links where execution_id = any($1::bigint[])"
LOCK_ROOTS = "select id from area_executions where id = any($1::bigint[]) order by id for no key update"
COUNT = "select root, count(*) from execution_links where root = any($1::bigint[]) group by root"
PLACE = (
    "insert into execution_links (execution_id, parent, root, index)"
    " select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::int[])"
)


@functools.lru_cache(1000)
def path_to(text: str) -> Callable[[Mapping[str, Any]], Any]:
    """Finds the value at a path such as `result.rows`. Raises `PlacedError`."""
    return read_path(text, 0, PlacedError)[0].find


# Before the outcome is recorded


async def prepare(state: State, cache: Cache, member: Member, area: Loaded, outcome: Outcome) -> Follow | None:
    """The runs that the outcome leads to; None if none. Not after a run that was cancelled, that its switched-off AREA
    skipped, or that was replayed alone.
    """
    off = not (area.active or member.record.forced) or not area.available
    if outcome.status == "cancelled" or member.record.alone or (outcome.status == "skipped" and off):
        return None
    wanted = [follower for follower in area.followers if _follows(follower, outcome.status)]
    if not wanted:
        return None
    if member.data is None:
        pool = await patiently(state.database.pool)
        text = await patiently(lambda: pool.fetchval(DATA, member.execution_id))
        member.data = orjson.loads(text) if text else {}
    chain = [*member.record.chain, *area.leading, area.id] if member.record.chain else []
    follow = Follow([], chain, refused=functools.partial(_after_refusal, member, area))
    carried = _carried(member, area, outcome)
    try:
        for follower in wanted:
            follow.runs += await _runs(state, cache, area, follower, carried)
    except Exception as error:  # the reaction was called: its outcome must be recorded all the same
        log.exception("followers.bug", execution=member.execution_id, area=area.id)
        text = Sentence("AREA had an internal error (%(kind)s). See the server's log.", kind=type(error).__name__)
        follow.runs = [_refused(follower, carried, text) for follower in wanted]
    return follow if follow.runs else None


def _follows(follower: Follower, status: str) -> bool:
    return follower.when in (status, "any") or (follower.when == "otherwise" and status == "success")


@dataclass(slots=True)
class _Carried:
    """What an outcome passes on: JSON by its place (`origin`, `result`, `steps.<name>`), in the order in which it is
    left out if it is too much, and what was left out before.
    """

    parts: dict[str, bytes]
    left_out: list[str]
    error: bytes | None
    item: bytes = b""  # of this link or one before it, with its index, and a comma before it
    values: dict[str, Any] = field(default_factory=dict)  # as read by paths and conditions

    def written(self, most: int, *, item: bytes | None = None) -> bytes:
        """The JSON of an object without its last brace, of at most about `most` bytes; with an `item` of its own."""
        parts, gone = dict(self.parts), list(self.left_out)
        size = sum(map(len, parts.values()))
        for place in self.parts:
            if size <= most:
                break
            size -= len(parts.pop(place))
            gone.append(place)
        steps = b",".join(
            dump_json(place.removeprefix("steps.")) + b":" + value
            for place, value in parts.items()
            if place.startswith("steps.")
        )
        pieces = [
            b'{"origin":' + parts.get("origin", b"null"),
            b'"result":' + parts.get("result", b"null"),
            b'"steps":{' + steps + b"}",
        ]
        if size > ORDERED:
            names = [place.removeprefix("steps.") for place in parts if place.startswith("steps.")]
            pieces.append(b'"order":' + dump_json(names))
        if self.error is not None:
            pieces.append(b'"error":' + self.error)
        if gone:
            pieces.append(b'"left_out":' + dump_json(gone))
        return b",".join(pieces) + (self.item if item is None else item)


def _carried(member: Member, area: Loaded, outcome: Outcome) -> _Carried:
    before = member.data if isinstance(member.data, dict) else {}
    linked = area.plan.action.kind == "link" if isinstance(area, Runnable) else bool(area.leading)
    origin, steps, left_out = member.data, {}, []
    if linked:
        origin, steps = before.get("origin"), _in_order(before)
        left_out = [place for place in _list(before, "left_out") if isinstance(place, str)]
    result = outcome.result or b"null"
    taken = {*steps, *(place.removeprefix("steps.") for place in left_out)}
    name = links.step_name(area.name, taken)
    error = None
    if outcome.status == "failed":
        attempts = sum(not attempt.interrupted for attempt in member.record.attempts)
        error = {"message": str.__str__(outcome.error or ""), "attempts": max(attempts, 1)}
    parts = {f"steps.{step}": dump_json(value) for step, value in steps.items()}
    parts |= {f"steps.{name}": result, "origin": dump_json(origin), "result": result}
    loaded = orjson.loads(result)
    values = {"origin": origin, "result": loaded, "steps": {**steps, name: loaded}}
    if error is not None:
        values["error"] = error
    item = b""
    if linked and "index" in before:
        place = {"item": before.get("item"), "index": before["index"]}
        values |= place
        item = b"," + dump_json(place)[1:-1]
    return _Carried(parts, left_out, None if error is None else dump_json(error), item, values)


def _in_order(data: Mapping[str, Any]) -> dict[str, Any]:
    """The results of the steps, the oldest first: PostgreSQL keeps an object's keys in an order of its own."""
    steps = data.get("steps")
    if not isinstance(steps, dict):
        return {}
    order = [name for name in _list(data, "order") if isinstance(name, str) and name in steps]
    return {name: steps[name] for name in dict.fromkeys([*order, *steps])}


def _list(data: Mapping[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    return value if isinstance(value, list) else []


async def _runs(state: State, cache: Cache, area: Loaded, follower: Follower, carried: _Carried) -> list[Run]:
    """The runs of one AREA that follows: one, or one for each item of its list."""
    if follower.for_each is None:
        if follower.when == "otherwise" and await _any_matches(cache, area, carried, None, {}):
            return []
        return [Run(follower.area_id, None, carried.written(MAX_DATA))]
    items = _items(follower.for_each, carried, state.settings.max_items)
    if isinstance(items, Sentence):
        return [_refused(follower, carried, items)]
    most = min(MAX_DATA, max(LEAST_DATA, MAX_TOGETHER // max(len(items), 1)))
    written = carried.written(most, item=b"")
    runs = []
    for index, item in enumerate(items):
        place = {"item": item, "index": index}
        if follower.when == "otherwise" and await _any_matches(cache, area, carried, follower.for_each, place):
            continue
        data = b'%b,"item":%b,"index":%d' % (written, dump_json(item), index)
        runs.append(Run(follower.area_id, index, data))
    return runs


def _items(path: str, carried: _Carried, most: int) -> list[Any] | Sentence:
    """The list's items, or why there are none."""
    try:
        value = path_to(path)(carried.values)
    except PlacedError as error:
        return Sentence(str(error))
    result = carried.values["result"]
    if path.startswith("result") and isinstance(result, dict) and result.get("truncated"):
        return Sentence("%(path)s is incomplete, because the result was too large to store.", path=path)
    if not isinstance(value, list):
        return Sentence("%(path)s is not a list, so this can't run for each of its items.", path=path)
    if len(value) > most:
        return Sentence(
            "%(path)s has %(size)s items, and a link can run for at most %(most)s.",
            path=path,
            size=Number(len(value)),
            most=Number(most),
        )
    return value


async def _any_matches(cache: Cache, area: Loaded, carried: _Carried, path: str | None, place: dict[str, Any]) -> bool:
    """Whether the condition of another link that follows the same outcome matches, for the same item if it runs for the
    same list.
    """
    others = [follower for follower in area.followers if follower.when in ("success", "any")]
    loaded = await patiently(lambda: cache.areas([other.area_id for other in others]))
    for other in others:
        runnable = loaded[other.area_id]
        if runnable is None:
            continue
        if not isinstance(runnable, Runnable) or runnable.plan.only_if is None:
            return True
        places = [place]
        if other.for_each is None:
            places = [{}]
        elif other.for_each != path:
            items = _items(other.for_each, carried, MAX_RUN)
            places = (
                [{"item": item, "index": index} for index, item in enumerate(items)] if isinstance(items, list) else []
            )
        for each in places:
            data = carried.values | each
            try:
                if await evaluate(functools.partial(runnable.plan.holds, data), Budget(), MAX_DATA if each else 0):
                    return True
            except Exhausted:  # it fails when it runs, with this error
                return True
    return False


def _refused(follower: Follower, carried: _Carried, why: Sentence) -> Run:
    """A run that fails when it begins, so that it is seen, and what follows failures runs."""
    data = b'%b,"refused":%b' % (carried.written(MAX_DATA), dump_json(why.dumped()))
    return Run(follower.area_id, None, data)


def _after_refusal(member: Member, area: Loaded, outcome: Outcome) -> Follow | None:
    """What follows an outcome that failed because its result can't be stored."""
    carried = _carried(member, area, outcome)
    wanted = [follower for follower in area.followers if follower.when in ("failed", "any")]
    runs = [Run(follower.area_id, None, carried.written(MAX_DATA)) for follower in wanted if not follower.for_each]
    if not runs:
        return None
    return Follow(runs, [*member.record.chain, *area.leading, area.id] if member.record.chain else [])


# In the transaction of the outcome


async def lock(conn: Conn, outcomes: Sequence[Outcome]) -> dict[int, int]:
    """Lock the AREAs that follow and the first executions of the runs. Returns each outcome's run.

    Before anything is written: whoever deletes an AREA or cancels a run locks them in this order too.
    """
    await conn.fetch(
        LOCK_AREAS, sorted({run.area_id for outcome in outcomes if outcome.follow for run in outcome.follow.runs})
    )
    rows = await conn.fetch(ROOTS, [outcome.execution_id for outcome in outcomes])
    known = {row["execution_id"]: row["root"] for row in rows}
    roots = {outcome.execution_id: known.get(outcome.execution_id, outcome.execution_id) for outcome in outcomes}
    await conn.fetch(LOCK_ROOTS, sorted(set(roots.values())))
    return roots


async def store(conn: Conn, outcomes: Sequence[Outcome], roots: Mapping[int, int]) -> int:
    """Insert the executions that the outcomes lead to, with their jobs and their places in the run. Returns how many.

    A run that would exceed `MAX_RUN` executions gets one more of each AREA, which fails and says so.
    """
    rows = await conn.fetch(COUNT, sorted(set(roots.values())))
    counts = {row[0]: row[1] for row in rows}
    number = 0
    offers: list[Offer] = []
    places: list[tuple[int, int, int | None]] = []
    size = 0
    for outcome in outcomes:
        follow, parent = outcome.follow, outcome.execution_id
        if follow is None:
            continue
        root = roots[parent]
        full = counts.get(root, 0) + len(follow.runs) >= MAX_RUN
        runs = _of_full_run(follow.runs) if full else follow.runs
        counts[root] = counts.get(root, 0) + len(runs)
        priority = BULK if len(runs) > FLOOD else NORMAL
        for run in runs:
            place = f"full:{root}" if full else f"{parent}" if run.index is None else f"{parent}:{run.index}"
            record = RunRecord(chain=follow.chain) if follow.chain else None
            data = b'%b,"run":%d}' % (run.data, root)
            offers.append(Offer(run.area_id, f"ran:{place}", data, priority, record))
            places.append((parent, root, None if full else run.index))
            size += len(data)
            if size > OFFERED:
                number += await _accept(conn, offers, places)
                offers, places, size = [], [], 0
    return number + await _accept(conn, offers, places)


def _of_full_run(runs: Sequence[Run]) -> list[Run]:
    why = Sentence("This run has %(most)s executions, which is the limit.", most=Number(MAX_RUN))
    each = {run.area_id: run for run in runs}
    return [Run(run.area_id, None, b'%b,"refused":%b' % (run.data, dump_json(why.dumped()))) for run in each.values()]


async def _accept(conn: Conn, offers: Sequence[Offer], places: Sequence[tuple[int, int, int | None]]) -> int:
    accepted = await accept(conn, offers, locked=True) if offers else []
    rows = [
        (result.execution_id, *place)
        for result, place in zip(accepted, places, strict=True)
        if result.execution_id is not None and not result.known
    ]
    if rows:
        await conn.execute(PLACE, *map(list, zip(*rows, strict=True)))
    return len(rows)


# When a link runs


def unable(plan: Plan, data: Mapping[str, Any]) -> Sentence | None:
    """Why a link can't run with its data; None if it can."""
    if why := data.get("refused"):
        return sentences.read(why) or Sentence("This run can't continue.")
    left_out = {place for place in _list(data, "left_out") if isinstance(place, str)}
    steps = data.get("steps")
    for path in sorted(plan.uses):
        name = ".".join(path[:2]) if path[0] == "steps" else path[0]
        if name in left_out or (name == "steps" and any(place.startswith("steps.") for place in left_out)):
            return Sentence("%(name)s was left out, because the data of this run was too large.", name=name)
        if path[0] == "steps" and len(path) > 1 and isinstance(steps, dict) and path[1] not in steps:
            return Sentence("No AREA before this one is called %(name)s.", name=path[1])
    return None
