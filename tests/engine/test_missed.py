"""What happens while no worker hears notifications is caught up when one does."""

from area import catalog
from tests.engine.conftest import LOGIN, connect, waiting

from .conftest import make_area, offer, rows, settled, until, worker


async def test_a_connection_renewed_while_no_worker_runs(state, user, world):
    area = await make_area(state, user, reaction="locked.send_locked", text="{{title}}")
    await offer(state, area, {"title": "Hello"})
    async with worker(state):
        await until(lambda: waiting(state, "connection"))
    await connect(state, user, LOGIN)
    async with worker(state):
        await until(lambda: settled(state))
    assert [text for _, text in world.sent] == ["Hello"]


async def test_a_component_switched_on_while_the_worker_is_deaf(state, user, world):
    await make_area(state, user)
    async with worker(state):
        await until(lambda: world.polls["default"])
        (row,) = await rows(state, "select component_action_id as id from areas")
        async with state.database.transaction() as session:
            await catalog.switch(session, "component", row["id"], active=False, by=None)
        await until(lambda: rows(state, "select 1 from sources where due_at is null"))
        # it listens again after a moment; what is said meanwhile it doesn't hear
        deaf = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN%' and datname = current_database()"
        assert await rows(state, deaf)
        async with state.database.transaction() as session:
            await catalog.switch(session, "component", row["id"], active=True, by=None)
        await until(lambda: rows(state, "select 1 from sources where due_at is not null"))
