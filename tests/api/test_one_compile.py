"""What an AREA does is looked up and compiled once for each request, however it comes: counted, not timed."""

import re
import sys
from collections import Counter
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from sqlalchemy import event

from area.areas import plans
from area.db.models import AreaVersion
from area.doors.deps import COOKIE
from area.engine.cache import Cache
from area.web import editor, make_web

from .conftest import Client, attach

WANTED = {
    "name": "Bell",
    "action": {"component": "hall.rung", "parameters": {"code": "canary-code", "only_if": "size > 0"}},
    "reaction": {"component": "hall.say", "parameters": {"item": "{{title}}"}},
}
FORM = {"action": "hall.rung", "reaction": "hall.say", "r.item": "{{title}}", "name": "Bell", "is_active": "1"}
ONCE = {"compiled": 1, "components": 2}


@pytest.fixture
def counted(state, monkeypatch):
    """How many plans were made, and how many components were looked up by name."""
    counter = Counter()

    class Plan(plans.Plan):
        def __init__(self, *args, **kwargs):
            counter["compiled"] += 1
            super().__init__(*args, **kwargs)

    def look(_connection, _cursor, statement, *_):
        counter["components"] += "FROM components JOIN services" in statement and "components.name =" in statement

    monkeypatch.setattr(plans, "Plan", Plan)
    event.listen(state.database.engine.sync_engine, "before_cursor_execute", look)
    yield lambda: {name: counter.pop(name, 0) for name in ONCE}
    event.remove(state.database.engine.sync_engine, "before_cursor_execute", look)


@pytest_asyncio.fixture
async def send(state, people):
    """Post the editor's form as a page would; returns where it leads, or the page."""
    app = make_web(state, Cache(state))
    attach(app, state)

    async def send(do="", key="new", **form):
        body = urlencode({**FORM, "key": key, "do": do, **form}).encode()
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "sec-fetch-site": "same-origin",
            "cookie": f"{COOKIE}={people.user.token}",
        }
        answer = await Client(app).request("POST", "/areas/editor", body=body, headers=headers)
        return answer.header("location") or answer.body.decode()

    yield send
    await app.state.hub.close()


async def test_a_save_in_the_editor(people, counted, send):
    where = await send("save")
    assert where.startswith("/areas/"), where
    assert counted() == ONCE
    number = where.rpartition("/")[2]
    assert await send("save", number, **{"r.item": "other"}) == where
    assert counted() == ONCE
    assert await send("save", number, **{"r.item": "other", "name": "Renamed"}) == where
    assert counted() == {"compiled": 0, "components": 0}
    area = (await people.user.get(f"/api/areas/{number}")).json()
    assert (area["name"], area["reaction"]["parameters"]) == ("Renamed", {"item": "other"})


ROOMS = {"web", "catalog", "areas", "connections", "registry", "sdk", "kit", "db"}
EDGE = {"doors", "settings"}  # around every request


async def test_a_save_enters_eight_rooms(send, monkeypatch):
    entered = set()

    def look(frame, kind, _):
        name = frame.f_globals.get("__name__", "") if kind == "call" else ""
        if name.startswith("area."):
            entered.add(name.split(".")[1])

    async def read(*provided):
        sys.setprofile(look)
        return await unwatched(*provided)

    unwatched = editor.read
    monkeypatch.setattr(editor, "read", read)
    where = "/areas/new"
    for text in ("{{title}}", "other"):
        try:
            where = await send("save", where.rpartition("/")[2], **{"r.item": text})
        finally:
            sys.setprofile(None)
        assert re.fullmatch(r"/areas/\d+", where)
    assert entered - EDGE == ROOMS


async def test_a_save_that_is_refused_is_shown_with_what_is_wrong(counted, send):
    page = await send("save", **{"r.item": "{{titel}}"})
    assert "did you mean" in page
    assert counted()["components"] == 2


async def test_a_show_with_its_preview(people, counted, send):
    page = await send(trying="1")
    assert "umbrella" in page.split("would receive exactly this")[1]
    assert counted() == ONCE
    number = (await people.user.post("/api/areas", WANTED)).json()["id"]
    assert counted() == ONCE
    page = await send("", str(number), trying="1", **{"r.item": "{{title}}!"})
    assert "would receive exactly this" in page
    assert "canary" not in page
    assert counted() == ONCE


async def test_the_api(people, counted, state):
    user = people.user
    area = (await user.post("/api/areas", WANTED)).json()
    assert counted() == ONCE
    assert (await user.post("/api/areas/test", {"area": WANTED})).json()["runs"]
    assert counted() == ONCE
    parts = {"action": area["action"]["parameters"], "reaction": {"item": "changed"}}
    patch = {kind: {"component": area[kind]["component"], "parameters": parts[kind]} for kind in parts}
    assert (await user.patch(f"/api/areas/{area['id']}", patch)).status == 200
    assert counted() == ONCE
    assert (await user.patch(f"/api/areas/{area['id']}", {"name": "Renamed"})).status == 200
    assert counted() == {"compiled": 0, "components": 0}
    again = {"areas": [{**WANTED, "name": "Other"}]}
    assert (await user.post("/api/areas/import", again)).json()["created"] == ["Other"]
    assert counted() == ONCE
    async with state.database.sessions() as session:
        assert await session.get(AreaVersion, (area["id"], 2))
