"""Moving a link to another place of its chain, having it follow one more AREA, and what such a change breaks."""

from collections.abc import Awaitable

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas import chains, detaching, links
from area.areas.chains import Chains
from area.areas.links import Link
from area.db.models import Area
from area.kit.problems import Conflict, NotFound
from area.kit.sentences import Sentence
from area.registry import Registry


class Break(BaseModel):
    """A link that no longer fits, and why: for example a name that nothing before it returns."""

    area_id: int
    name: str
    message: Sentence


async def move(
    session: AsyncSession, registry: Registry, user_id: int, area_id: int, after: int, *, alone: bool
) -> None:
    """Have a link follow another AREA of its owner instead of those that it follows. What follows it comes along, or
    if it moves `alone`, follows what it followed. Links that don't fit any more are recorded as broken.

    Raises `NotFound`, `Conflict` for the first AREA of a chain, and `Invalid` for a circle, or a chain too deep or too
    wide.
    """
    area = await _own(session, user_id, area_id)
    graph = await links.graph(session, user_id)
    if not graph.up.get(area_id):
        raise Conflict("This is the first AREA of its chain, so it can't be moved.")
    followers = list(graph.down.get(area_id, ())) if alone else []
    await detaching.join(session, graph, followers, [area_id], area_id)
    await links.check_followed(session, area, [after])
    when, for_each = (await detaching.ways(session, [area_id]))[area_id]
    await detaching.refollow(session, area_id, Link((after,), when, for_each))
    moved = {area_id, after, *graph.up[area_id], *followers}
    await links.changed(session, await links.graph(session, user_id), moved)
    await chains.settle(session, registry, user_id, [area_id, *followers])


async def follow_too(session: AsyncSession, registry: Registry, user_id: int, area_id: int, other: int) -> None:
    """Have a link follow one more AREA of its owner. Links that don't fit any more are recorded as broken.

    Raises `NotFound`, and `Invalid` for a circle, or a chain too deep or too wide.
    """
    area = await _own(session, user_id, area_id)
    graph = await links.graph(session, user_id)
    after = (*graph.up.get(area_id, ()), other)
    await links.check_followed(session, area, after)
    when, for_each = (await detaching.ways(session, [area_id]))[area_id]
    await detaching.refollow(session, area_id, Link(after, when, for_each))
    await links.changed(session, await links.graph(session, user_id), {area_id, *after})
    await chains.settle(session, registry, user_id, [area_id])


async def breaks(session: AsyncSession, registry: Registry, user_id: int, change: Awaitable[object]) -> list[Break]:
    """The links that a change would break. The change is made and undone. Raises what it raises."""
    before = _broken(await chains.load(session, registry, user_id))
    async with session.begin_nested() as changing:
        await change
        await session.flush()
        changed = await chains.load(session, registry, user_id)
        await changing.rollback()
    return [broken for broken in _broken(changed) if broken not in before]


async def breaks_of_deletion(session: AsyncSession, registry: Registry, user_id: int, area_id: int) -> list[Break]:
    """The links that break if an AREA is deleted, and those that follow it follow what it followed. Raises `Conflict`
    for the first of a chain.
    """
    change = detaching.detach(session, user_id, area_id, "follow")
    return [broken for broken in await breaks(session, registry, user_id, change) if broken.area_id != area_id]


async def _own(session: AsyncSession, user_id: int, area_id: int) -> Area:
    area = await session.scalar(select(Area).where(Area.id == area_id, Area.user_id == user_id).with_for_update())
    if area is None:
        raise NotFound("There is no AREA %(number)s.", number=area_id)
    return area


def _broken(known: Chains) -> list[Break]:
    return [
        Break(area_id=area_id, name=known.names[area_id], message=error["message"])
        for area_id in sorted(known.configs)
        for error in known.errors(area_id)
    ]
