"""The catalog: from the code to rows, again and again, by several processes."""

import asyncio
import sys
from dataclasses import replace

import pytest

from area import catalog
from area.catalog import rows as rows_of_catalog
from area.catalog.declared import fingerprint
from area.db.models import Component, Service, SwitchedOff, Variable
from area.engine.state import State
from area.kit.problems import NotFound
from area.registry import Malformed, Registry, load
from area.sdk import Action, Nothing, Reaction
from area.sdk import Service as Connector
from area.settings import Settings

from .conftest import Item, Send, make_area, rows


async def snapshot(state):
    result = {}
    for table in ("services", "components", "variables"):
        result[table] = await rows(state, f"select * from {table} order by id")
    return result


async def sync(state, registry=None):
    async with state.database.transaction() as session:
        return await catalog.sync(session, registry or state.registry)


async def test_a_sync_again_changes_nothing(state):
    before = await snapshot(state)
    await sync(state)
    assert await snapshot(state) == before


async def test_rows_are_compared_again_only_when_they_or_the_code_changed(state, monkeypatch):
    registry = Registry(dict(state.registry.services))
    registry.fingerprint = fingerprint(registry)
    compared = []
    write = rows_of_catalog._sync

    async def counting(*arguments):
        compared.append(arguments)
        return await write(*arguments)

    monkeypatch.setattr(rows_of_catalog, "_sync", counting)
    first = await sync(state, registry)
    assert await sync(state, registry) == first
    assert len(compared) == 1
    pool = await state.database.pool()
    await pool.execute("update components set description = 'changed by hand' where name = 'send'")
    before = await snapshot(state)
    await sync(state, registry)
    assert len(compared) == 2
    assert await snapshot(state) != before
    registry.fingerprint = "another version's"
    await sync(state, registry)
    await sync(state)  # an older version knows no fingerprint
    assert len(compared) == 4
    await sync(state, registry)
    assert len(compared) == 5


def test_the_fingerprint_tells_of_each_declared_column(state):
    services = state.registry.services
    known = fingerprint(state.registry)
    assert fingerprint(Registry(dict(services))) == known
    assert fingerprint(Registry({slug: service for slug, service in services.items() if slug != "probe"})) != known
    probe = services["probe"]
    for changed in (
        replace(probe, description="Other"),
        replace(probe, actions={**probe.actions, "item": replace(probe.actions["item"], title="Other")}),
        replace(probe, actions={**probe.actions, "item": replace(probe.actions["item"], returns=Nothing)}),
    ):
        assert fingerprint(Registry({**services, "probe": changed})) != known


async def test_variables_are_loaded_of_what_is_asked_for(state):
    async with state.database.sessions() as session:
        whole = await catalog.components(session, state.registry)
        some = {
            component.key: component
            for component in await catalog.components(session, state.registry, variables_of=("probe.send",))
        }
        component_view = await catalog.component(session, state.registry, "probe.send")
        service = await catalog.service(session, state.registry, "probe")
    assert component_view == some["probe.send"] == next(view for view in whole if view.key == "probe.send")
    assert component_view.parameters
    assert not any(view.parameters or view.return_values for key, view in some.items() if key != "probe.send")
    assert [*service.actions, *service.reactions] == [view for view in whole if view.service == "probe"]


async def test_processes_that_start_together_do_not_clash(state, dsn, tmp_path):
    pool = await state.database.pool()
    await pool.execute("truncate services, components, variables restart identity cascade")
    others = [await State.open(Settings(_env_file=None, data_dir=tmp_path), dsn) for _ in range(4)]
    try:
        counts = await asyncio.gather(*(sync(other, state.registry) for other in others))
    finally:
        for other in others:
            await other.close()
    assert len({str(count) for count in counts}) == 1
    result = await snapshot(state)
    assert len(result["services"]) == counts[0]["services"]
    assert len(result["variables"]) == counts[0]["variables"]


async def test_what_left_the_code_becomes_inactive_and_keeps_its_id(state, user):
    await make_area(state, user)
    before = {row["name"]: row["id"] for row in await rows(state, "select * from services")}
    without = Registry({slug: service for slug, service in state.registry.services.items() if slug != "probe"})
    await sync(state, without)
    (gone,) = await rows(state, "select * from services where name = 'Probe'")
    assert (gone["id"], gone["is_active"]) == (before["Probe"], False)
    assert {
        row["is_active"] for row in await rows(state, "select * from components where service_id = $1", gone["id"])
    } == {False}
    await sync(state)
    (back,) = await rows(state, "select * from services where name = 'Probe'")
    assert (back["id"], back["is_active"]) == (before["Probe"], True)


async def test_an_admins_switches_survive_a_sync(state):
    async with state.database.transaction() as session:
        service = await catalog.service(session, state.registry, "rss")
        component = await catalog.component(session, state.registry, "http.request")
        await catalog.switch(session, "service", service.id, active=False, by=None)
        await catalog.switch(session, "component", component.id, active=False, by=None)
    await sync(state)
    (row,) = await rows(state, "select is_active from services where name = 'RSS and Atom feeds'")
    assert row["is_active"] is False
    (row,) = await rows(state, "select is_active from components where id = $1", component.id)
    assert row["is_active"] is False
    async with state.database.transaction() as session:
        assert "rss" not in {service.slug for service in await catalog.services(session, state.registry)}
        await catalog.switch(session, "service", service.id, active=True, by=None)
    await sync(state)
    (row,) = await rows(state, "select is_active from services where name = 'RSS and Atom feeds'")
    assert row["is_active"] is True
    with pytest.raises(NotFound):
        async with state.database.transaction() as session:
            await catalog.switch(session, "component", 999_999, active=False, by=None)


async def test_rows_say_what_the_code_says(state):
    async with state.database.sessions() as session:
        view = await catalog.component(session, state.registry, "probe.item")
        send = await catalog.component(session, state.registry, "probe.send")
        polled = await session.get(Component, view.id)
    assert [parameter.name for parameter in view.parameters] == ["topic", "only_if"]
    assert [(return_value.name, return_value.type) for return_value in view.return_values] == [
        ("title", "string"),
        ("number", "number"),
    ]
    assert [(parameter.name, parameter.nullable) for parameter in send.parameters] == [
        ("text", False),
        ("count", True),
        ("extra", True),
        ("delay", True),
    ]
    assert polled.polling_interval == 1
    assert (polled.webhook_endpoint, view.kind) == (None, "poll")


@pytest.mark.parametrize("model", [Service, Component, Variable, SwitchedOff])
def test_models_are_the_seeds_names(model):
    assert model.__tablename__ in ("services", "components", "variables", "switched_off")


def test_a_malformed_connector_stops_the_start():
    registry = Registry()
    registry.add(Connector("one", "One", "A service."))
    with pytest.raises(Malformed, match="have the slug 'one'"):
        registry.add(Connector("one", "Another", "A service."))
    with pytest.raises(Malformed, match="have the name 'One'"):
        registry.add(Connector("two", "One", "A service."))
    with pytest.raises(TypeError, match="lower case"):
        Connector("Bad Slug", "Bad", "A service.")
    service = Connector("three", "Three", "A service.")
    with pytest.raises(TypeError, match="AsyncIterator"):

        @service.listen("No return annotation")
        async def heard(ctx, params: Send):
            yield None

    with pytest.raises(TypeError, match="parameters must be"):

        @service.reaction("Wrong parameters")
        async def send(params: Item) -> Item:
            return params


async def test_what_is_offered_is_read_anew_only_when_it_has_changed(state):
    async with state.database.transaction() as session:
        first = await catalog.snapshot(session, state.registry)
        assert await catalog.snapshot(session, state.registry) is first
    (probe,) = [service for service in first.every if service.slug == "probe"]
    async with state.database.sessions() as session:
        await catalog.switch(session, "component", probe.actions[0].id, active=False, by=None)
        result = await catalog.service(session, state.registry, "probe")
        assert not result.actions[0].is_active, "one's own transaction is seen at once"
        active = {service.slug: service for service in await catalog.services(session, state.registry)}
        assert probe.actions[0].key not in [action.key for action in active["probe"].actions]
        await session.rollback()
    async with state.database.transaction() as session:
        assert (await catalog.service(session, state.registry, "probe")).actions[0].is_active, "what was undone is not"
    pool = await state.database.pool()
    await pool.execute(
        "update services set is_active = false where name = 'Probe'"
    )  # by hand, without a word to anybody
    async with state.database.transaction() as session:
        slugs = [service.slug for service in await catalog.services(session, state.registry)]
        assert "probe" not in slugs
        assert (await catalog.service(session, state.registry, "probe")).is_active is False
    without = Registry({slug: service for slug, service in state.registry.services.items() if slug != "probe"})
    async with state.database.transaction() as session:
        gone = await catalog.service(session, without, "probe")
        assert gone.quality is None, "of another registry, another catalog"
        assert gone.actions[0].quality is None
    async with state.database.transaction() as session:
        here = await catalog.service(session, state.registry, "probe")
        assert here.quality == here.actions[0].quality == here.reactions[0].quality == "generated"


def test_every_model_can_validate():
    for service in load().services.values():
        components: list[Action | Reaction] = [*service.actions.values(), *service.reactions.values()]
        for component in components:
            assert component.params.model_rebuild() is not False
            assert component.returns.model_rebuild() is not False


def test_a_package_that_cant_be_validated_stops_the_start(tmp_path, monkeypatch):
    (tmp_path / "odd_connector.py").write_text(
        "from area.sdk import Context, Nothing, Service, param\n"
        "service = Service('odd', 'Odd', 'A service.')\n"
        "@service.reaction('Send', on_crash='repeat')\n"
        "async def send(ctx: Context, name: str = param('Name', 'x', pattern='(')) -> None: ...\n"
    )
    info = tmp_path / "odd_connector-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-connector\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[area.connectors]\nodd = odd_connector\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Malformed, match=r"(?s)odd_connector can't be imported: odd.send: .*unclosed group"):
        load()
    monkeypatch.delitem(sys.modules, "odd_connector")
