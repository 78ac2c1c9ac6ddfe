"""A calendar that asks for a password, as Radicale serves it, read with a credential that is kept."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from area import areas, connections
from area.areas import AreaIn
from area.engine import control
from area.kit.problems import Invalid
from tests.peers import radicale

from .conftest import rows, until, worker

NEW = "another horse"


@pytest.fixture
def calendar():
    with radicale() as peer:
        start = datetime.now(UTC) + timedelta(hours=3)
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN", "BEGIN:VEVENT", "UID:1@example.org"]
        lines += [f"DTSTAMP:{start:%Y%m%dT%H%M%SZ}", f"DTSTART:{start:%Y%m%dT%H%M%SZ}", "SUMMARY:Team meeting"]
        peer.write("\r\n".join([*lines, "END:VEVENT", "END:VCALENDAR", ""]))
        yield peer


async def connect(state, user, calendar, password):
    provided = {"url": calendar.calendar, "user": calendar.login, "password": password}
    async with state.database.transaction() as session:
        return await connections.connect(
            session, state.keyring, state.client, state.guard, state.registry, user, "calendar", provided, name="Team"
        )


async def make(state, user, calendar, connection):
    action = {"component": "calendar.event_starts", "parameters": {"url": calendar.calendar}, "connection": connection}
    reaction = {"component": "probe.send", "parameters": {"text": "{{summary}}"}}
    expected = AreaIn.model_validate({"name": "team", "action": action, "reaction": reaction})
    async with state.database.transaction() as session:
        return await areas.create(session, control.scope(state), user, expected)


async def view(state, user, area):
    async with state.database.sessions() as session:
        return await areas.get(session, control.scope(state), user, area.id)


async def coming(state):
    """The titles of what the look has found in the calendar."""
    (source,) = await rows(state, "select state from sources")
    return [event["summary"] for event in orjson.loads(source["state"]).get("coming", [])]


async def test_a_wrong_password_is_refused_and_nothing_is_kept(state, user, calendar):
    with pytest.raises(Invalid, match=f"{calendar.port} rejected this credential"):
        await connect(state, user, calendar, "wrong")
    assert await rows(state, "select * from named_connections") == []


async def test_it_is_read_and_says_so_when_the_password_is_another(state, user, calendar):
    stored = await connect(state, user, calendar, calendar.password)
    assert (stored.status, stored.note) == ("works", None)
    area = await make(state, user, calendar, "Team")
    async with worker(state):
        await until(lambda: coming(state))
        assert await coming(state) == ["Team meeting"]
    calendar.change_password(NEW)
    pool = await state.database.pool()
    await pool.execute("update sources set due_at = now(), state = '{}'")
    async with worker(state):
        await until(lambda: rows(state, "select * from notices"))
        (notice,) = await rows(state, "select * from notices")
        assert notice["title"] == "Calendar (ICS) (Team) must be reconnected"
        assert f"127.0.0.1:{calendar.port} returned 401" in notice["body"]
        waiting = await view(state, user, area)
        assert (waiting.state, waiting.waits_for) == ("waiting_for_connection", "calendar")
        assert await coming(state) == []
        await connect(state, user, calendar, NEW)
        await until(lambda: coming(state))
    assert (await view(state, user, area)).state == "never_fired"  # it is to start in three hours


async def test_without_a_credential_it_says_what_is_missing(state, user, calendar):
    area = await make(state, user, calendar, None)
    async with worker(state):
        await until(lambda: rows(state, "select 1 from sources where failures > 0"))
    failing = await view(state, user, area)
    assert failing.state == "failing"
    assert f"127.0.0.1:{calendar.port} returned 401" in failing.reason
    assert await rows(state, "select * from notices") == []
