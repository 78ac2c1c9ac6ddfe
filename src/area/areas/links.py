"""Chains: which AREA follows which. A link of a chain is an AREA whose action is a `link`, such as `area.ran`."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas.plans import Config, parse
from area.db.models import Area, AreaLink, User
from area.db.notify import Channel
from area.db.session import notify
from area.kit.problems import Invalid
from area.sdk import Action
from area.sdk.fields import by_name

When = Literal["success", "failed", "skipped", "any", "otherwise"]

MAX_DEPTH = 20  # links below the first AREA of a chain
MAX_FOLLOWERS = 20  # AREAs that follow the same one


@dataclass(frozen=True, slots=True)
class Link:
    """How an AREA follows others: after which outcome, and for which list's items."""

    after: tuple[int, ...]
    when: When
    for_each: str | None


def link_of(action: Action, config: Config) -> Link | None:
    """What the AREA follows; None if its action is no link. Its parameters must be valid."""
    if action.kind != "link":
        return None
    declared = by_name(action.params)
    texts = {name: text for name, text in config.action_parameters.items() if name in declared}
    params = action.params.model_validate({name: parse(text, declared[name]) for name, text in texts.items()})
    values = params.model_dump()
    return Link(tuple(dict.fromkeys(values["after"])), values["when"], values["for_each"] or None)


def slug(name: str) -> str:
    """An AREA's name as `{{steps.…}}` reads it: `Create a page` as `create_a_page`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:60].strip("_")
    return words if words[:1].isalpha() else f"step_{words}".rstrip("_")


def step_name(name: str, taken: Collection[str]) -> str:
    """The AREA's slug, with a number if another step has it already."""
    plain = slug(name)
    return next(
        step for step in (plain, *(f"{plain}_{number}" for number in range(2, len(taken) + 3))) if step not in taken
    )


async def watch(session: AsyncSession, area: Area, action: Action, config: Config) -> None:
    """Make the AREA's rows of `area_links` match its parameters. Raises `Invalid` for AREAs of others, a circle, and a
    chain that is too deep or too wide.
    """
    rows = await session.scalars(select(AreaLink).where(AreaLink.area_id == area.id))
    before = {row.follows: row for row in rows}
    link = link_of(action, config)
    if link is None and not before:
        return
    after = link.after if link else ()
    if link and set(after) - set(before):
        await check_followed(session, area, after)
    for follows, row in before.items():
        if follows not in after:
            await session.delete(row)
    for follows in after if link else ():
        row = before.get(follows) or AreaLink(area_id=area.id, follows=follows, position=-1)
        if row.position < 0:
            last = await session.scalar(select(func.max(AreaLink.position)).where(AreaLink.follows == follows))
            row.position = 0 if last is None else last + 1
            session.add(row)
        row.when, row.for_each = (link.when, link.for_each) if link else ("success", None)
    await session.flush()
    await changed(session, await graph(session, area.user_id), {*before, *after, area.id})


async def changed(session: AsyncSession, known: "Graph", ids: Collection[int]) -> None:
    """Have every process load these AREAs again, and those that follow them: they know who leads to them."""
    for number in sorted({*ids, *reach(known.down, ids)}):
        await notify(session, Channel.AREA_CHANGED, str(number))


@dataclass(frozen=True, slots=True)
class Graph:
    """A user's links: `up` has the AREAs that each one follows, `down` those that follow it, in order."""

    up: Mapping[int, Sequence[int]]
    down: Mapping[int, Sequence[int]]


async def graph(session: AsyncSession, user_id: int) -> Graph:
    """All links between the user's AREAs."""
    rows = await session.execute(
        select(AreaLink.area_id, AreaLink.follows)
        .join(Area, Area.id == AreaLink.area_id)
        .where(Area.user_id == user_id)
        .order_by(AreaLink.position, AreaLink.area_id)
    )
    up: dict[int, list[int]] = defaultdict(list)
    down: dict[int, list[int]] = defaultdict(list)
    for area_id, follows in rows:
        up[area_id].append(follows)
        down[follows].append(area_id)
    return Graph(dict(up), dict(down))


def reach(edges: Mapping[int, Sequence[int]], start: Iterable[int]) -> list[int]:
    """What can be reached from these AREAs, themselves left out unless on a circle, nearest first."""
    found: dict[int, None] = {}
    waiting = [*start]
    while waiting:
        step = [number for area_id in waiting for number in edges.get(area_id, ()) if number not in found]
        waiting = [*dict.fromkeys(step)]
        found |= dict.fromkeys(waiting)
    return [*found]


async def last_first(session: AsyncSession, user_id: int, ids: Collection[int]) -> list[int]:
    """These AREAs, each after those of them that follow it: the order in which they can be deleted."""
    down = (await graph(session, user_id)).down
    below = {number: set(reach(down, [number])) for number in ids}
    return sorted(ids, key=lambda number: (len(below[number] & set(ids)), number))


async def check_followed(session: AsyncSession, area: Area, after: Sequence[int]) -> None:
    """Raise `Invalid` if the AREA can't follow these: AREAs of others, a circle, a chain too deep or too wide."""
    await session.execute(select(User.id).where(User.id == area.user_id).with_for_update())
    own = set(await session.scalars(select(Area.id).where(Area.user_id == area.user_id, Area.id.in_(after))))
    for number in after:
        if number not in own:
            raise Invalid.field("action.parameters.after", "You have no AREA %(number)s.", number=number)
    known = await graph(session, area.user_id)
    down = {number: [below for below in follow if below != area.id] for number, follow in known.down.items()}
    up = {**known.up, area.id: after}
    if area.id in after or area.id in reach(up, after):
        raise Invalid.field("action.parameters.after", "This would create a loop, so the chain would never end.")
    for number in after:
        if len(down.get(number, ())) >= MAX_FOLLOWERS:
            raise Invalid.field(
                "action.parameters.after",
                "AREA %(number)s already has %(most)s AREAs that follow it, which is the limit.",
                most=MAX_FOLLOWERS,
                number=number,
            )
    if _depth(up, area.id) + _depth(known.down, area.id) > MAX_DEPTH:
        raise Invalid.field("action.parameters.after", "A chain can be at most %(most)s links long.", most=MAX_DEPTH)


def _depth(edges: Mapping[int, Sequence[int]], start: int) -> int:
    """The number of links on the longest way. There is no circle."""
    depth, level = 0, {start}
    while level := {number for area_id in level for number in edges.get(area_id, ())}:
        depth += 1
    return depth
