"""AREAs: what is refused and how it is said, secrets, limits, carrying in and out."""

import asyncio

import pytest

from area import areas
from area.areas import AreaIn, AreaPatch, bundles, parameters, views
from area.areas.plans import Scope
from area.db.models import Area
from area.engine import control
from area.kit.crypto import Keyring
from area.kit.problems import Invalid, NotFound, TooMany
from area.sdk.sensitive import MASK

from .conftest import make_area, make_user, rows

GOOD = {
    "name": "x",
    "action": {"component": "probe.item", "parameters": {}},
    "reaction": {"component": "probe.send", "parameters": {"text": "{{title}}"}},
}


def changed(part, **values):
    return GOOD | {part: GOOD[part] | values}


WRONG = {
    "unknown action": (changed("action", component="probe.itm"), "action.component", 'did you mean "probe.item"?'),
    "a reaction as an action": (changed("action", component="probe.send"), "action.component", "There is no action"),
    "unknown parameter": (
        changed("action", parameters={"topi": "x"}),
        "action.parameters.topi",
        'did you mean "topic"?',
    ),
    "unknown variable": (changed("reaction", parameters={"text": "{{titel}}"}), "reaction.parameters.text", "title"),
    "unknown filter": (
        changed("reaction", parameters={"text": "{{title | uper}}"}),
        "reaction.parameters.text",
        "upper",
    ),
    "unclosed": (changed("reaction", parameters={"text": "{{title"}), "reaction.parameters.text", "}}"),
    "missing": (changed("reaction", parameters={}), "reaction.parameters.text", "required"),
    "wrong type": (
        changed("reaction", parameters={"text": "x", "count": "many"}),
        "reaction.parameters.count",
        "integer",
    ),
    "wrong type beside a placeholder": (
        changed("reaction", parameters={"text": "{{title}}", "count": "many"}),
        "reaction.parameters.count",
        "integer",
    ),
    "bad condition": (changed("action", parameters={"only_if": "title contains"}), "action.parameters.only_if", ""),
    "condition on nothing": (
        changed("action", parameters={"only_if": "titel == 'x'"}),
        "action.parameters.only_if",
        "title",
    ),
    "bad delay": (
        changed("reaction", parameters={"text": "x", "delay": "soon"}),
        "reaction.parameters.delay",
        "",
    ),
    "a NUL": (changed("reaction", parameters={"text": "a\x00b"}), "reaction.parameters.text", "NUL"),
    "too long": (changed("reaction", parameters={"text": "x" * 70_000}), "reaction.parameters.text", "65,536"),
    "a megabyte of braces": (changed("reaction", parameters={"text": "{" * 60_000}), "reaction.parameters.text", ""),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong_is_said_field_by_field(state, user, name):
    provided, field, words = WRONG[name]
    with pytest.raises(Invalid) as refused:
        async with state.database.transaction() as session:
            await areas.create(session, control.scope(state), user, AreaIn.model_validate(provided))
    messages = [error["message"] for error in refused.value.errors if error["field"] == field]
    assert messages, refused.value.errors
    assert words in messages[0]
    assert await rows(state, "select * from areas") == []


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "a\x00", "a\x9b", "a\u202eb", "a\u2028b"])
async def test_a_name_is_one_line_without_what_steers_a_terminal(state, user, name):
    area = await make_area(state, user)
    provided = {"name": name, "action": {"component": "probe.item"}, "reaction": {"component": "probe.send"}}
    provided["reaction"]["parameters"] = {"text": "x"}
    with pytest.raises(Invalid) as refused:
        async with state.database.transaction() as session:
            await areas.create(session, control.scope(state), user, AreaIn.model_validate(provided))
    assert [error["field"] for error in refused.value.errors] == ["name"]
    pool = await state.database.pool()
    await pool.execute("update areas set name = $1", name.replace("\x00", "\x07"))
    for patch, refuses in (
        ({"name": "b\nc"}, True),
        ({"name": name.replace("\x00", "\x07"), "is_active": False}, False),
    ):
        async with state.database.transaction() as session:
            change = areas.change(session, control.scope(state), user, area.id, AreaPatch.model_validate(patch))
            if refuses:
                with pytest.raises(Invalid):
                    await change
            else:
                assert not (await change).is_active


async def test_a_component_can_be_named_by_its_id(state, user):
    area = await make_area(state, user)
    again = await make_area(state, user, action=area.component_action_id, reaction=str(area.component_reaction_id))
    assert (again.action.component, again.reaction.component) == ("probe.item", "probe.send")


async def test_secrets_are_encrypted_masked_and_kept_by_dots(state, user):
    created = await make_area(
        state,
        user,
        action="webhook.received",
        action_parameters={"signature": "hmac_sha256", "secret": "a very secret word"},
        text="{{method}}",
    )
    assert created.action.parameters["secret"] == MASK
    stored = await rows(state, "select value from area_parameters")
    assert not any("a very secret word" in row["value"] for row in stored)
    patch = AreaPatch.model_validate(
        {"action": {"component": "webhook.received", "parameters": created.action.parameters}}
    )
    async with state.database.transaction() as session:
        await areas.change(session, control.scope(state), user, created.id, patch)
        exported = await bundles.export(session, control.scope(state), user)
    assert "secret" not in exported[0].action.parameters
    from area.engine.cache import Cache

    loaded = await Cache(state).area(created.id)
    assert loaded.plan.params.secret.get_secret_value() == "a very secret word"


async def test_a_value_that_looks_encrypted_is_just_a_value(state, user):
    area = await make_area(state, user, text="enc:nothing {{title}}", extra={"a": "enc:x"})
    assert area.reaction.parameters["text"] == "enc:nothing {{title}}"
    patch = AreaPatch.model_validate({"reaction": {"component": "probe.send", "parameters": area.reaction.parameters}})
    async with state.database.transaction() as session:
        again = await areas.change(session, control.scope(state), user, area.id, patch)
        preview = await control.preview(session, state, user, area.id, {"title": "x"})
    assert again.reaction.parameters == area.reaction.parameters
    assert preview.parameters["text"] == "enc:nothing x"


async def test_another_users_area_is_not_there(state, user):
    area = await make_area(state, user)
    other = await make_user(state, "bob")
    scope = control.scope(state)
    for attempt in (
        lambda session: areas.get(session, scope, other, area.id),
        lambda session: areas.change(session, scope, other, area.id, AreaPatch(name="mine")),
        lambda session: areas.remove(session, other, area.id),
        lambda session: areas.renew_address(session, scope, other, area.id),
        lambda session: control.preview(session, state, other, area.id),
        lambda session: control.run(session, state, other, area.id),
    ):
        with pytest.raises(NotFound):
            async with state.database.transaction() as session:
                await attempt(session)


async def test_the_limit_holds_also_when_many_are_created_at_once(state, user):
    scope = Scope(state.registry, state.keyring, "http://x", 3)

    async def one():
        async with state.database.transaction() as session:
            return await areas.create(session, scope, user, AreaIn.model_validate(GOOD))

    outcomes = await asyncio.gather(*(one() for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(outcome, TooMany) for outcome in outcomes) == 5
    assert len(await rows(state, "select * from areas")) == 3


async def test_apply_creates_changes_and_leaves_alone(state, user):
    scope = control.scope(state)

    async def apply(*expected):
        async with state.database.transaction() as session:
            return await bundles.apply(session, scope, user, [AreaIn.model_validate(form) for form in expected])

    other = GOOD | {"name": "y"}
    assert await apply(GOOD, other) == {"created": ["x", "y"], "changed": [], "same": []}
    different = changed("reaction", parameters={"text": "new {{title}}"})
    assert await apply(different, other) == {"created": [], "changed": ["x"], "same": ["y"]}
    async with state.database.sessions() as session:
        exported = await bundles.export(session, scope, user)
    assert [area.model_dump(mode="json")["reaction"]["parameters"] for area in exported] == [
        {"text": "new {{title}}"},
        {"text": "{{title}}"},
    ]


SIGNED = {
    "name": "signed",
    "action": {
        "component": "webhook.received",
        "parameters": {"signature": "hmac_sha256", "secret": "a very secret word", "pick": "id"},
    },
    "reaction": {"component": "probe.send", "parameters": {"text": "{{method}}"}},
}


async def apply_file(state, owner, *expected):
    async with state.database.transaction() as session:
        return await bundles.apply(
            session, control.scope(state), owner, [AreaIn.model_validate(form) for form in expected]
        )


async def secret_of(state, area_id):
    async with state.database.sessions() as session:
        area = await session.get(Area, area_id)
        config = await parameters.present(session, control.scope(state), area)
    return config.action_parameters.get("secret")


async def test_apply_edited_export_with_secret(state, user):
    assert (await apply_file(state, user, SIGNED))["created"] == ["signed"]
    (row,) = await rows(state, "select id from areas")
    async with state.database.sessions() as session:
        (exported,) = await bundles.export(session, control.scope(state), user)
    assert "secret" not in exported.action.parameters
    edited = exported.model_dump(mode="json") | {"description": "new"}
    assert (await apply_file(state, user, edited))["changed"] == ["signed"]
    assert await secret_of(state, row["id"]) == "a very secret word"
    edited["action"]["parameters"]["pick"] = "other"  # another parameter
    assert (await apply_file(state, user, edited))["changed"] == ["signed"]
    assert await secret_of(state, row["id"]) == "a very secret word"
    del edited["action"]["parameters"]["pick"]  # what is no secret goes when it is left out
    edited["action"]["parameters"] |= {"signature": "none", "secret": ""}  # and an empty text removes a secret
    assert (await apply_file(state, user, edited))["changed"] == ["signed"]
    assert await secret_of(state, row["id"]) is None


async def test_apply_idempotent_secret(state, user):
    await apply_file(state, user, SIGNED)
    for _ in range(3):
        assert await apply_file(state, user, SIGNED) == {"created": [], "changed": [], "same": ["signed"]}
    assert await rows(state, "select max(version) as version from area_versions") == [{"version": 1}]
    other = {**SIGNED, "action": {**SIGNED["action"], "parameters": {"signature": "hmac_sha256", "secret": "another"}}}
    assert (await apply_file(state, user, other))["changed"] == ["signed"]
    assert (await apply_file(state, user, {**SIGNED, "is_active": False}))["changed"] == ["signed"]
    assert (await apply_file(state, user, {**SIGNED, "is_active": False}))["same"] == ["signed"]


async def test_timezone_change(state, user):
    """A timer that names no time zone has that of the profile when it was made."""
    pool = await state.database.pool()
    await pool.execute(
        "insert into user_settings (user_id, timezone) values ($1, 'Europe/Paris')"
        " on conflict (user_id) do update set timezone = excluded.timezone",
        user,
    )
    daily = {
        "name": "daily",
        "action": {"component": "timer.daily_timer", "parameters": {"time": "09:00"}},
        "reaction": {"component": "probe.send", "parameters": {"text": "{{date}}"}},
    }
    assert (await apply_file(state, user, daily))["created"] == ["daily"]
    await pool.execute("update user_settings set timezone = 'Asia/Tokyo'")
    assert (await apply_file(state, user, daily))["same"] == ["daily"]
    async with state.database.sessions() as session:
        (exported,) = await bundles.export(session, control.scope(state), user)
    assert exported.action.parameters == {"time": "09:00", "timezone": "Europe/Paris"}
    daily["name"], daily["action"]["parameters"]["timezone"] = "utc", "UTC"
    await apply_file(state, user, daily)
    async with state.database.sessions() as session:
        named = {
            area_view.name: area_view.action.parameters
            for area_view in await bundles.export(session, control.scope(state), user)
        }
    assert named["utc"] == {"time": "09:00", "timezone": "UTC"}


async def test_apply_idempotent_login(state, user):
    """The login of an address becomes a credential, and stays one."""
    expected = {
        "name": "feed",
        "action": {"component": "rss.new_item", "parameters": {"url": "https://ann:pw@example.org/feed"}},
        "reaction": {"component": "probe.send", "parameters": {"text": "{{title}}"}},
    }
    assert (await apply_file(state, user, expected))["created"] == ["feed"]
    assert (await apply_file(state, user, expected))["same"] == ["feed"]


async def test_apply_partial_failure(state, user):
    bad = [{**SIGNED, "name": f"bad {number}"} for number in (1, 2)]
    for form in bad:
        form["reaction"] = {"component": "probe.send", "parameters": {"text": "{{nope}}"}}
    with pytest.raises(Invalid) as caught:
        await apply_file(state, user, SIGNED, *bad)
    assert [error["field"] for error in caught.value.errors] == [
        "areas.1.reaction.parameters.text",
        "areas.2.reaction.parameters.text",
    ]
    assert caught.value.errors[0]["message"].startswith('AREA "bad 1": There is no')
    assert await rows(state, "select * from areas") == []


async def test_import_elsewhere_names_the_area_that_lost_its_secret(state, user):
    await apply_file(state, user, SIGNED)
    async with state.database.sessions() as session:
        exported = await bundles.export(session, control.scope(state), user)
    with pytest.raises(Invalid) as caught:
        await apply_file(
            state, await make_user(state, "bob"), *(area_view.model_dump(mode="json") for area_view in exported)
        )
    (error,) = caught.value.errors
    assert error["message"].startswith('AREA "signed": Enter the secret')


async def test_a_new_address_replaces_the_old_one(state, user):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    async with state.database.transaction() as session:
        renewed = await areas.renew_address(session, control.scope(state), user, area.id)
    assert renewed.webhook_url != area.webhook_url
    assert len(renewed.webhook_url.rpartition("/")[2]) >= 43


async def test_deleting_takes_everything_along(state, user):
    area = await make_area(state, user)
    async with state.database.transaction() as session:
        await control.run(session, state, user, area.id)
        await areas.remove(session, user, area.id)
    for table in (
        "areas",
        "area_parameters",
        "area_versions",
        "area_executions",
        "triggers",
        "execution_jobs",
        "pgqueuer",
    ):
        assert await rows(state, f"select * from {table}") == [], table


async def test_one_that_is_deleted_meanwhile_is_left_out(state, user):
    first, second = await make_area(state, user), await make_area(state, user)
    scope = Scope(state.registry, state.keyring, "http://x", 3)
    async with state.database.transaction() as session:
        gone = first.id + 1000
        result = await views.load(session, scope, [second.id, gone, first.id])
        assert [row.id for row in result] == [second.id, first.id]
        assert await views.load(session, scope, [gone]) == []
        assert await views.load(session, scope, []) == []


async def test_what_an_area_says_is_read_anew_when_it_changes(state, user):
    scope = Scope(state.registry, state.keyring, "http://x", 3)
    area = await make_area(state, user, text="first")
    async with state.database.transaction() as session:
        assert (await areas.get(session, scope, user, area.id)).reaction.parameters == {"text": "first"}
    patch = AreaPatch(reaction=areas.Part(component="probe.send", parameters={"text": "second"}))
    async with state.database.sessions() as session:
        assert (await areas.change(session, scope, user, area.id, patch)).reaction.parameters == {"text": "second"}
        await session.rollback()
    async with state.database.transaction() as session:
        assert (await areas.get(session, scope, user, area.id)).reaction.parameters == {"text": "first"}
    third = AreaPatch(reaction=areas.Part(component="probe.send", parameters={"text": "third"}))
    async with state.database.transaction() as session:
        await areas.change(session, scope, user, area.id, third)
    async with state.database.transaction() as session:
        assert (await areas.find(session, scope, user))[0].reaction.parameters == {"text": "third"}


async def test_how_an_area_fares_is_seen_at_once_also_when_it_was_just_looked_at(state, user):
    scope = Scope(state.registry, state.keyring, "http://x", 3)
    area = await make_area(state, user, action="webhook.received", text="x")
    pool = await state.database.pool()

    async def seen():
        async with state.database.transaction() as session:
            return await areas.get(session, scope, user, area.id)

    first = await seen()
    assert first.state == "never_fired"
    assert first.webhook_url.startswith("http://x/hooks/")
    assert await seen() == first
    failing = "insert into area_health (area_id, failures, reason) values ($1, 3, 'Refused.')"
    await pool.execute(failing, area.id)
    assert ((await seen()).state, (await seen()).reason) == ("failing", "Refused.")
    await pool.execute("delete from area_health where area_id = $1", area.id)
    assert await seen() == first
    other = Scope(state.registry, Keyring(["another secret key, as long as it has to be"]), "http://x", 3)
    async with state.database.transaction() as session:
        unreadable = await areas.get(session, other, user, area.id)
        assert await areas.find(session, other, user, addresses=False) == [unreadable]
    assert (unreadable.state, unreadable.webhook_url) == ("failing", None)
    assert await seen() == first
    async with state.database.transaction() as session:
        (without,), (again,) = [await areas.find(session, scope, user, addresses=False) for _ in range(2)]
    assert without == first.model_copy(update={"webhook_url": None, "webhook_secret": None})
    assert again is without, "nothing of it has changed"


async def test_the_parameters_of_a_user_have_a_size_together(state, user, monkeypatch):
    monkeypatch.setattr(areas, "MAX_STORED", 25_000)
    scope = control.scope(state)
    large = AreaIn.model_validate(changed("reaction", parameters={"text": "x" * 10_000}))
    other = await make_user(state, "other")
    async with state.database.transaction() as session:
        first = await areas.create(session, scope, user, large)
        await areas.create(session, scope, user, large)
        with pytest.raises(TooMany, match="25,000 characters"):
            await areas.create(session, scope, user, large)
        await areas.create(session, scope, other, large)
    async with state.database.transaction() as session:
        longer = AreaPatch.model_validate(
            {"reaction": changed("reaction", parameters={"text": "x" * 20_000})["reaction"]}
        )
        with pytest.raises(TooMany):
            await areas.change(session, scope, user, first.id, longer)
    async with state.database.transaction() as session:
        shorter = AreaPatch.model_validate(
            {"reaction": changed("reaction", parameters={"text": "x" * 5_000})["reaction"]}
        )
        await areas.change(session, scope, user, first.id, shorter)


async def test_a_time_that_has_passed_is_refused_when_the_timer_would_start(state, user):
    """`timer.once_at`: at creation, at a change of its time and at switching on; a rename and switching off are not."""
    past, future = {"at": "2001-01-01 00:00"}, {"at": "2999-01-01 00:00"}

    async def change(number, **patch):
        async with state.database.transaction() as session:
            return await areas.change(session, control.scope(state), user, number, AreaPatch.model_validate(patch))

    with pytest.raises(Invalid) as refused:
        await make_area(state, user, action="timer.once_at", action_parameters=past, text="x")
    assert refused.value.errors == [
        {"field": "action.parameters.at", "message": "This time has passed. Choose a later one."}
    ]
    assert await rows(state, "select * from areas") == []
    area = await make_area(state, user, action="timer.once_at", action_parameters=future, text="x")
    with pytest.raises(Invalid, match="This time has passed"):
        await change(area.id, action={"component": "timer.once_at", "parameters": past})
    await change(area.id, is_active=False, action={"component": "timer.once_at", "parameters": past})
    assert (await change(area.id, name="renamed")).name == "renamed"
    with pytest.raises(Invalid, match="This time has passed"):
        await change(area.id, is_active=True)
