"""Which sources to look at next: users take turns, and nobody holds more than a share of the slots while
others wait.
"""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from area.areas.triggers import Lane

LINE = 200  # due sources to read by due time; if there are more, read some of each user
OF_EACH = 5  # sources per user then

DUE = """
select id, share_of, due_at from sources
where lane = $1 and due_at <= now() and (lease_until is null or lease_until < now())
order by due_at limit $2
"""
# skips from user to user by the index, however many sources each has
DUE_OF_EACH = """
with recursive users(id) as (
    (select share_of from sources where lane = $1 and due_at is not null order by share_of limit 1)
    union all
    select (select x.share_of from sources x where x.lane = $1 and x.due_at is not null and x.share_of > u.id
            order by x.share_of limit 1)
    from users u where u.id is not null
)
select x.id, x.share_of, x.due_at from users u cross join lateral (
    select id, share_of, due_at from sources
    where lane = $1 and share_of = u.id and due_at <= now() and (lease_until is null or lease_until < now())
    order by due_at limit $2) x
where u.id is not null
"""
NEXT = "select min(due_at) from sources where lane = $1 and due_at > now()"


@dataclass(frozen=True, slots=True)
class Due:
    """A source that waits for a slot."""

    id: int
    user_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Slots:
    """How many sources a worker works on at a time: `all` together, `each` per user, and `lent` beyond these shares
    while nobody else waits. Lent slots are not taken from the others' slots.
    """

    all: int
    each: int
    lent: int = 0


async def waiting(pool: "asyncpg.Pool[asyncpg.Record]", lane: Lane) -> list[Due]:
    """The due and free sources of a lane: all of them, or if they are many, some of each user."""
    rows = await pool.fetch(DUE, lane, LINE)
    if len(rows) == LINE:
        rows = await pool.fetch(DUE_OF_EACH, lane, OF_EACH)
    return [Due(row["id"], row["share_of"], row["due_at"]) for row in rows]


def in_turn(due: Iterable[Due], held: Mapping[int, int], lent: int, slots: Slots) -> tuple[list[int], list[int]]:
    """Choose the sources to claim now: those within their users' shares, and those beyond.

    `held` maps users to the slots they have, `lent` is the number of lent slots. Users with the fewest slots go first;
    of one user's sources, the one due longest.
    """
    queues: dict[int, deque[Due]] = defaultdict(deque)
    for source in sorted(due, key=lambda source: source.at):
        queues[source.user_id].append(source)
    has = Counter(held)
    own = _rounds(queues, has, slots.all - sum(held.values()), slots.each)
    if any(queue and has[user_id] < slots.each for user_id, queue in queues.items()):
        return own, []  # somebody waits below their share
    return own, _rounds(queues, has, slots.lent - lent, None)


def _rounds(queues: Mapping[int, deque[Due]], has: Counter[int], room: int, most: int | None) -> list[int]:
    heap = [(has[user_id], queue[0].at, user_id) for user_id, queue in queues.items() if queue]
    heapq.heapify(heap)
    taken: list[int] = []
    while heap and len(taken) < room:
        number, _, user_id = heapq.heappop(heap)
        if most is not None and number >= most:
            break
        queue = queues[user_id]
        taken.append(queue.popleft().id)
        has[user_id] += 1
        if queue:
            heapq.heappush(heap, (has[user_id], queue[0].at, user_id))
    return taken
