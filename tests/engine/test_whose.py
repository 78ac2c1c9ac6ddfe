"""Whose work it is: what looks and reactions take of the process's pools counts for the AREA's owner."""

from collections import defaultdict

from area.engine.intake import NORMAL, Offer, accept
from area.kit.fair import user as key
from area.kit.fair import whose

from .conftest import make_area, make_user, until, worker


async def test_looks_and_reactions_are_their_owners_work(state, world, user):
    other = await make_user(state, "bob")
    looked, sent = {}, {}

    class Looks(defaultdict):
        def __setitem__(self, topic, number):
            looked[topic] = whose()
            super().__setitem__(topic, number)

    async def behave(ctx, params, attempt):
        sent[params.text] = whose()

    world.polls, world.behaviour = Looks(int), behave
    owners = {"mine": user, "theirs": other}
    areas = {name: await make_area(state, owner, action_parameters={"topic": name}) for name, owner in owners.items()}
    pool = await state.database.pool()
    async with worker(state):
        async with pool.acquire() as conn, conn.transaction():
            await accept(
                conn, [Offer(area.id, "", b'{"title": "%b"}' % name.encode(), NORMAL) for name, area in areas.items()]
            )
        await until(lambda: len(sent) == len(looked) == 2)
    assert looked == sent == {name: key(owner) for name, owner in owners.items()}
