"""Why an AREA or its connection doesn't work, in the language of the person who reads it."""

import orjson
import pytest

from area import areas, connections
from area.areas import AreaPatch
from area.connections.vault import Ref
from area.engine import control
from area.engine.execution import recorder
from area.engine.platform import UserPlatform
from area.kit.sentences import Sentence, from_parts, parts_of
from area.sdk import Permanent, Retry

from .conftest import connect, make_area, offer, rows, until, worker

WORDS = Sentence("%(name)s rejected AREA's access (%(kind)s). Reconnect it.", name="Probe", kind="invalid_grant")
IN_FRENCH = WORDS.translated("fr")


async def seen(state, user, area):
    async with state.database.sessions() as session:
        return await areas.get(session, control.scope(state), user, area.id)


async def execute(state, statement, *values):
    await (await state.database.pool()).execute(statement, *values)


def test_there_is_a_translation():
    assert IN_FRENCH != WORDS
    assert "invalid_grant" in IN_FRENCH


async def test_a_source_that_fails(state, user, world):
    area = await make_area(state, user)
    async with worker(state):
        await until(lambda: world.polls["default"])
        world.poll_error = Retry(WORDS)
        await until(lambda: rows(state, "select 1 from sources where failures >= 1"))
    view = await seen(state, user, area)
    assert (view.state, view.reason) == ("failing", WORDS)
    assert view.reason.translated("fr") == IN_FRENCH


async def test_a_source_that_cannot_be_read(state, user, world):
    area = await make_area(state, user)
    await execute(state, """update sources set params = '{"topic": 5}'""")
    async with worker(state):
        await until(lambda: rows(state, "select 1 from sources where failures >= 1"))
    view = await seen(state, user, area)
    assert view.state == "failing"
    assert view.reason.startswith("Its settings can't be read: ")
    assert view.reason.translated("fr").startswith("Ses paramètres ne peuvent pas être lus")


async def test_what_an_older_version_stored_stays_english(state, user, world):
    area = await make_area(state, user)
    await execute(state, "update sources set failing_since = now(), last_error = 'Timed out.'")
    assert (await seen(state, user, area)).reason == "Timed out."
    # an older worker wrote the text, and left the parts of the text before
    await execute(state, "update sources set said = $1::text::jsonb", orjson.dumps(parts_of(WORDS)).decode())
    assert (await seen(state, user, area)).reason == "Timed out."


async def test_an_area_that_fails_and_is_switched_off(state, user, world, monkeypatch):
    monkeypatch.setattr(recorder, "GIVE_UP_AFTER", 2)

    async def refuse(ctx, params, attempt):
        raise Permanent(WORDS)

    world.behaviour = refuse
    area = await make_area(state, user, action="webhook.received", text="x")
    async with worker(state):
        await offer(state, area, {})
        await until(lambda: rows(state, "select 1 from area_health where failures = 1"))
        view = await seen(state, user, area)
        assert (view.state, view.reason.translated("fr")) == ("failing", IN_FRENCH)
        await offer(state, area, {})
        await until(lambda: rows(state, "select 1 from area_health where switched_off_at is not null"))
    view = await seen(state, user, area)
    assert view.state == "switched_off"
    assert view.reason == f"Failed 2 times in a row. Last error: {WORDS}"
    assert view.reason.translated("fr").endswith(IN_FRENCH)
    async with state.database.transaction() as session:
        await areas.change(session, control.scope(state), user, area.id, AreaPatch(is_active=True))
    assert (await seen(state, user, area)).reason is None


async def test_a_run_that_is_retried(state, user, world):
    async def refuse(ctx, params, attempt):
        raise Retry(WORDS)

    world.behaviour = refuse
    area = await make_area(state, user, action="webhook.received", text="x")
    async with worker(state):
        await offer(state, area, {})
        await until(lambda: rows(state, "select 1 from execution_jobs where reason = 'retry'"))
        view = await seen(state, user, area)
    assert view.state == "retrying"
    assert view.reason.startswith(f"{WORDS} Next attempt at")
    assert view.reason.translated("fr").startswith(IN_FRENCH)


async def test_a_connection_that_expired(state, user):
    await connect(state, user)
    await UserPlatform(state, user, 0).connection_expired(Ref(user, "locked"), WORDS)
    async with state.database.sessions() as session:
        view = await connections.view(session, state.registry, user, "locked")
    assert (view.status, view.last_error) == ("expired", WORDS)
    assert view.last_error.translated("fr") == IN_FRENCH


@pytest.mark.parametrize("text", [None, "The channel is archived.", "100 % %(name)s"])
def test_a_vendors_words_stay_as_they_are(text):
    assert parts_of(text) is None
    assert from_parts(None, text) == text
    assert text is None or from_parts(None, text).translated("fr") == text


def test_parts_of_another_text_are_ignored():
    stored = orjson.loads(orjson.dumps(parts_of(WORDS)))
    assert from_parts(stored, str(WORDS)).translated("fr") == IN_FRENCH
    assert from_parts(stored, "Cancelled by you.") == "Cancelled by you."
