"""Taking AREAs out of the place that they have in a chain, to be deleted or moved."""

from collections.abc import Collection
from typing import Any, Literal

import orjson
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas import links
from area.areas.links import Graph, Link, When
from area.db.models import Area, AreaLink, AreaParameter, AreaVersion, Variable
from area.kit.problems import Conflict


async def detach(
    session: AsyncSession, user_id: int, area_id: int, then: Literal["follow", "delete"] | None
) -> tuple[list[int], list[int]]:
    """Prepare an AREA's deletion: with `follow`, what follows it follows what it follows; with `delete`, what follows
    only it is deleted too. Returns the ids to delete, the last of the chain first, and those that follow others now.

    Raises `Conflict` if AREAs follow it and `then` doesn't say what becomes of them, and for `follow` of the first one.
    """
    graph = await links.graph(session, user_id)
    down, up = graph.down, graph.up
    gone = [area_id]
    if not down.get(area_id):
        return gone, []
    if then is None:
        raise Conflict(
            "Other AREAs follow this one. Choose what happens to them: delete them too, or let them follow what this"
            " one follows."
        )
    if then == "follow" and not up.get(area_id):
        raise Conflict("This is the first AREA of its chain, so nothing is left to follow. Delete the chain instead.")
    if then == "delete":
        below = links.reach(down, [area_id])
        while more := [number for number in below if number not in gone and set(up[number]) <= set(gone)]:
            gone += more
    left = sorted({number for each in gone for number in down.get(each, ())} - set(gone))
    await join(session, graph, left, gone, area_id if then == "follow" else None)
    return gone[::-1], left


async def join(
    session: AsyncSession, graph: Graph, left: Collection[int], gone: Collection[int], instead_of: int | None
) -> None:
    """Have these links no longer follow those that are `gone`, but what `instead_of` follows, when and as often as it
    runs.
    """
    how = await ways(session, [*left, *([instead_of] if instead_of else [])])
    for number in left:
        after = [other for other in graph.up[number] if other not in gone]
        when, for_each = how[number]
        if instead_of:
            after += [other for other in graph.up[instead_of] if other not in after]
            when = how[instead_of][0] if when in ("success", "any") else when
            for_each = for_each or how[instead_of][1]
        await refollow(session, number, Link(tuple(after), when, for_each))


async def ways(session: AsyncSession, ids: Collection[int]) -> dict[int, tuple[When, str | None]]:
    """How AREAs follow others: after which outcome, and for which list's items."""
    rows = await session.execute(
        select(AreaLink.area_id, AreaLink.when, AreaLink.for_each).where(AreaLink.area_id.in_(ids))
    )
    return {row.area_id: (row.when, row.for_each) for row in rows}


async def refollow(session: AsyncSession, area_id: int, link: Link) -> None:
    """Have a link follow other AREAs, as a change of its parameters."""
    area = (await session.scalars(select(Area).where(Area.id == area_id).with_for_update())).one()
    rows = await session.execute(
        select(Variable.name, Variable.id).where(
            Variable.component_id == area.component_action_id, Variable.kind == "parameter"
        )
    )
    variables = {row[0]: row[1] for row in rows}
    texts = {"after": orjson.dumps(list(link.after)).decode(), "when": link.when}
    if link.for_each:
        texts["for_each"] = link.for_each
    for name, text in texts.items():
        row = await session.get(AreaParameter, (area_id, variables[name]))
        if row is None:
            session.add(AreaParameter(area_id=area_id, variable_id=variables[name], value=text))
        else:
            row.value = text
    newest = select(func.max(AreaVersion.version)).where(AreaVersion.area_id == area_id).scalar_subquery()
    version = (
        await session.scalars(select(AreaVersion).where(AreaVersion.area_id == area_id, AreaVersion.version == newest))
    ).one()
    config: dict[str, Any] = {**version.config}
    config["action_parameters"] = {**config["action_parameters"], **texts}
    session.add(AreaVersion(area_id=area_id, version=version.version + 1, config=config))
    before = {row.follows: row for row in await session.scalars(select(AreaLink).where(AreaLink.area_id == area_id))}
    await session.execute(delete(AreaLink).where(AreaLink.area_id == area_id, AreaLink.follows.not_in(link.after)))
    position = next((row.position for row in before.values()), 0)
    for follows in link.after:
        if follows not in before:
            session.add(AreaLink(area_id=area_id, follows=follows, when=link.when, position=position))
    await session.flush()
    await session.execute(
        update(AreaLink).where(AreaLink.area_id == area_id).values(when=link.when, for_each=link.for_each)
    )
    await session.flush()
