"""Canaries in every place of an HTTP call, a feed and a calendar where a secret can be: none is readable anywhere, and
all still work.
"""

import orjson
import pytest

from area import areas, connections, rotation, sealing
from area.areas import AreaPatch, bundles
from area.engine import control
from area.engine.cache import Cache
from area.kit.budget import Budget
from area.kit.crypto import Keyring
from area.kit.problems import Invalid
from area.web.editor import drafts

from .conftest import make_area, make_user, rows

CANARIES = {
    "headers": "Authorization: Bearer canary-auth\nX-Api-Key: canary-api\nCookie: sid=canary-cookie\nAccept: text/plain",
    "url": "https://ann:canary-login@api.example.com/v1?api_key=canary-query&page=2",
    "body": '{"user": "ann", "password": "canary-body", "text": "{{title}}"}',
}
MOVED = "https://api.example.com/v1?api_key=canary-query&page=2"  # without the login, which is in a credential
WATCHED = {"url": "https://api.example.com/x?token=canary-poll", "path": "@", "headers": '{"X-Api-Key": "canary-json"}'}


async def leaks(state) -> list[str]:
    """What a dump of the database shows of the canaries."""
    tables = []
    for table in await rows(state, "select tablename from pg_tables where schemaname = 'public'"):
        for row in await rows(state, f'select t::text as text from "{table["tablename"]}" t'):
            if "canary" in row["text"]:
                tables.append(f"{table['tablename']}: {row['text'][:300]}")  # noqa: PERF401
    return tables


async def views(state, user):
    async with state.database.sessions() as session:
        return await areas.find(session, control.scope(state), user)


async def exported(state, user):
    async with state.database.sessions() as session:
        return await bundles.export(session, control.scope(state), user)


async def change(state, user, area, **parts):
    async with state.database.transaction() as session:
        return await areas.change(session, control.scope(state), user, area.id, AreaPatch.model_validate(parts))


async def as_run(state, area):
    (loaded,) = (await Cache(state).areas([area.id])).values()
    return loaded.plan


async def test_no_canary_is_readable_and_all_of_it_is_used(state):
    user = await make_user(state, "ann")
    called = await make_area(state, user, reaction="http.request", **CANARIES)
    polled = await make_area(state, user, action="http.value_changed", action_parameters=WATCHED, text="{{value}}")
    assert await leaks(state) == []
    shown = orjson.dumps([view.model_dump(mode="json") for view in await views(state, user)]).decode()
    written = orjson.dumps(
        [exported_area.model_dump(mode="json") for exported_area in await exported(state, user)]
    ).decode()
    for text in (shown, written):
        assert "canary" not in text
        assert "Accept: text/plain" in text
        assert "page=2" in text
    plan = await as_run(state, called)
    params = plan.fill({"title": "hi"}, Budget())
    assert params.headers["Authorization"] == "Bearer canary-auth"
    assert params.headers["Cookie"] == "sid=canary-cookie"
    assert (params.url, params.body["password"]) == (MOVED, "canary-body")
    assert (await as_run(state, polled)).params.headers == {"X-Api-Key": "canary-json"}
    async with state.database.sessions() as session:
        preview = await control.preview(session, state, user, called.id)
    assert "canary" not in preview.model_dump_json()


async def test_what_is_saved_with_dots_stays_and_a_new_area_wants_it(state):
    user = await make_user(state, "ann")
    area = await make_area(state, user, reaction="http.request", **CANARIES)
    masked = area.reaction.parameters
    new = masked | {"headers": masked["headers"] + "\nX-More: yes"}
    await change(state, user, area, reaction={"component": "http.request", "parameters": new})
    params = (await as_run(state, area)).fill({"title": "hi"}, Budget())
    assert params.headers["X-Api-Key"] == "canary-api"
    assert params.headers["X-More"] == "yes"
    assert params.url == MOVED
    elsewhere = masked | {"url": masked["url"].replace("api.example.com", "evil.example.com")}
    with pytest.raises(Invalid) as caught:
        await change(state, user, area, reaction={"component": "http.request", "parameters": elsewhere})
    assert caught.value.errors[0]["field"] == "reaction.parameters.url"
    (bundle,) = await exported(state, user)
    with pytest.raises(Invalid) as caught:
        async with state.database.transaction() as session:
            await areas.create(session, control.scope(state), user, bundle)
    assert {error["field"].rpartition(".")[2] for error in caught.value.errors} == {"headers", "url", "body"}
    assert {error["message"] for error in caught.value.errors} == {"Replace the dots with the secret."}
    async with state.database.transaction() as session:
        assert (await bundles.apply(session, control.scope(state), user, [bundle]))["same"] == [bundle.name]


async def test_what_an_older_version_left_in_clear_is_encrypted_once(state):
    user = await make_user(state, "ann")
    called = await make_area(state, user, reaction="http.request", **CANARIES)
    polled = await make_area(state, user, action="http.value_changed", action_parameters=WATCHED, text="{{value}}")
    pool = await state.database.pool()
    for (name, value), area in [
        *(((name, value), called) for name, value in CANARIES.items()),
        *(((name, value), polled) for name, value in WATCHED.items()),
    ]:
        await pool.execute(
            "update area_parameters p set value = $1 from variables v where v.id = p.variable_id and v.name = $2"
            " and p.area_id = $3",
            value, name, area.id,
        )  # fmt: skip
    config = {
        "action": "probe.item",
        "reaction": "http.request",
        "action_parameters": {},
        "reaction_parameters": CANARIES,
    }
    await pool.execute(
        "update area_versions set config = $1 where area_id = $2", orjson.dumps(config).decode(), called.id
    )
    await pool.execute(
        "update sources set params = $1 where user_id is null and params ? 'path'", orjson.dumps(WATCHED).decode()
    )
    await pool.execute(
        "insert into drafts (user_id, key, content) values ($1, 'new', $2)", user, orjson.dumps(CANARIES).decode()
    )
    assert len(await leaks(state)) >= 7
    async with state.database.transaction() as session:
        assert await sealing.seal(session, state.keyring, state.registry) == 11
        assert await sealing.seal(session, state.keyring, state.registry) == 0
    assert await leaks(state) == []
    assert (await as_run(state, called)).fill({"title": "x"}, Budget()).url == CANARIES["url"]
    async with state.database.transaction() as session:
        assert (await drafts.find(session, state.keyring, user, "new")) == CANARIES
        new = Keyring(["another-key-of-more-than-32-characters!", *state.settings.secret_keys()])
        assert (await rotation.rotate(session, new, state.registry)).count == 14
        assert (await rotation.rotate(session, new, state.registry)).count == 0
    assert await leaks(state) == []


async def test_a_draft_is_kept_encrypted(state):
    user = await make_user(state, "ann")
    async with state.database.transaction() as session:
        await drafts.save(session, state.keyring, user, "new", CANARIES)
    assert await leaks(state) == []
    async with state.database.sessions() as session:
        assert (await drafts.find(session, state.keyring, user, "new")) == CANARIES


async def test_a_login_in_an_address_moves_into_a_credential_of_its_host(state):
    user = await make_user(state, "ann")
    first = await make_area(state, user, reaction="http.request", url=CANARIES["url"])
    again = await make_area(state, user, reaction="http.request", url=CANARIES["url"])
    other = CANARIES["url"].replace("canary-login", "canary-other")
    another = await make_area(state, user, reaction="http.request", url=other)
    assert [loaded.reaction.connection for loaded in (first, again)] == ["api.example.com"] * 2
    assert another.reaction.connection == "api.example.com (ann)"
    assert "@" not in first.reaction.parameters["url"]
    service = state.registry.services["http"]
    passwords = set()
    for row in await rows(state, "select * from named_connections order by id"):
        async with state.database.sessions() as session:
            credential = await connections.credential(
                session, state.keyring, state.registry, user, service.slug, number=row["id"]
            )
        passwords.add((row["name"], credential.user, credential.password.get_secret_value(), credential.url))
    place = "https://api.example.com/"
    assert passwords == {
        ("api.example.com", "ann", "canary-login", place),
        ("api.example.com (ann)", "ann", "canary-other", place),
    }
    feed = await make_area(
        state, user, action="rss.new_item", action_parameters={"url": "https://bob:canary-feed@blog.example.org/feed"}
    )
    assert (feed.action.parameters["url"], feed.action.connection) == (
        "https://blog.example.org/feed",
        "blog.example.org",
    )
    (source,) = await rows(state, "select * from sources where connection_id <> 0")
    assert source["user_id"] == user
    assert await leaks(state) == []
    part = {"component": "http.request", "parameters": {"url": CANARIES["url"]}, "connection": "api.example.com"}
    with pytest.raises(Invalid) as caught:
        await change(state, user, first, reaction=part)
    (error,) = caught.value.errors
    assert error["message"] == "There is a password in the address and a credential. Remove one of them."
