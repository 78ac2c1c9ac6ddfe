"""The versions of an AREA: what each changed, without secrets, and going back to one."""

import pytest

from area import areas
from area.areas import AreaPatch, Part, versions
from area.engine import control
from area.kit.problems import Conflict, Invalid, NotFound
from area.sdk.sensitive import MASK

from .conftest import make_area, make_user, rows


async def change(state, user, area, **parts):
    patch = AreaPatch(**{side: Part(component=key, parameters=values) for side, (key, values) in parts.items()})
    async with state.database.transaction() as session:
        return await areas.change(session, control.scope(state), user, area.id, patch)


async def listed(state, user, area):
    async with state.database.sessions() as session:
        return await versions.listed(session, control.scope(state), user, area.id)


async def restore(state, user, area, version):
    async with state.database.transaction() as session:
        return await versions.restore(session, control.scope(state), user, area.id, version)


def told(version):
    return [(change.side, change.name, change.before, change.after) for change in version.changes]


async def test_each_save_is_listed_with_what_it_changed(state, user):
    area = await make_area(state, user, text="{{title}}")
    await change(state, user, area, reaction=("probe.send", {"text": "New: {{title}}", "delay": "5m"}))
    await change(state, user, area, reaction=("probe.send", {"text": "New: {{title}}"}))
    await change(state, user, area, action=("webhook.received", {}), reaction=("probe.send", {"text": "y"}))
    newest, third, second, first = await listed(state, user, area)
    assert [version.version for version in (newest, third, second, first)] == [4, 3, 2, 1]
    assert told(first) == []
    assert told(second) == [("reaction", "text", "{{title}}", "New: {{title}}"), ("reaction", "delay", None, "5m")]
    assert told(third) == [("reaction", "delay", "5m", None)]
    assert ("action", "component", "probe.item", "webhook.received") in told(newest)
    assert (newest.action, newest.reaction) == ("webhook.received", "probe.send")


async def test_going_back_saves_an_earlier_version_anew(state, user):
    area = await make_area(state, user, text="{{title}}")
    await change(state, user, area, reaction=("probe.send", {"text": "Wrong"}))
    async with state.database.transaction() as session:
        await areas.change(session, control.scope(state), user, area.id, AreaPatch(name="Renamed", is_active=False))
    restored = await restore(state, user, area, 1)
    assert restored.reaction.parameters == {"text": "{{title}}"}
    assert (restored.version, restored.name, restored.is_active) == (3, "Renamed", False)
    assert told((await listed(state, user, area))[0]) == [("reaction", "text", "Wrong", "{{title}}")]


async def test_secrets_are_restored_but_not_shown(state, user):
    def signed(secret):
        return {"signature": "hmac_sha256", "secret": secret}

    area = await make_area(
        state, user, action="webhook.received", action_parameters=signed("the first secret"), text="x"
    )
    await change(state, user, area, action=("webhook.received", signed("the second secret")))
    await change(state, user, area, action=("webhook.received", signed(MASK) | {"pick": "a"}))
    newest, second, _ = await listed(state, user, area)
    assert told(newest) == [("action", "pick", None, "a")], "the same secret is no change, however it is encrypted"
    (changed,) = second.changes
    assert (changed.name, changed.secret, changed.before, changed.after) == ("secret", True, None, None)
    await restore(state, user, area, 1)
    scope = control.scope(state)
    async with state.database.sessions() as session:
        present = await areas.parameters.present(session, scope, await areas.own(session, user, area.id))
    assert present.action_parameters == signed("the first secret")
    assert "first secret" not in str(await rows(state, "select config from area_versions"))


async def test_what_cannot_be_restored_says_why(state, user, monkeypatch):
    area = await make_area(state, user, text="{{title}}")
    await change(state, user, area, reaction=("probe.send", {"text": "y"}))
    with pytest.raises(NotFound, match="no version 9"):
        await restore(state, user, area, 9)
    stranger = await make_user(state, "bob")
    with pytest.raises(NotFound):
        await restore(state, stranger, area, 1)
    with pytest.raises(NotFound):
        await listed(state, stranger, area)
    pool = await state.database.pool()
    await pool.execute(
        """update area_versions set config = jsonb_set(config, '{reaction}', '"probe.gone"') where version = 1"""
    )
    with pytest.raises(Invalid):
        await restore(state, user, area, 1)
    assert told((await listed(state, user, area))[0])[0][1:3] == ("component", "probe.gone")
    await pool.execute(
        'update area_versions set config = config || \'{"reaction": "probe.send", "action_connection": 77}\''
    )
    with pytest.raises(Conflict, match="was deleted"):
        await restore(state, user, area, 1)
