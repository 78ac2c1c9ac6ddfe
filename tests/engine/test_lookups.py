"""Look-ups: what the engine makes of what they find, and of finding nothing; a dry run really asks."""

import orjson

from area.engine import control
from area.engine.cache import Cache
from area.engine.runtime import worker

from .conftest import make_area, offer, rows, settled, until


async def test_nothing_found_stops_the_run_or_goes_on_as_its_area_says(state, user, world):
    world.publish("1", "there")
    stops = await make_area(state, user, reaction="probe.find", text="{{title}}")
    goes_on = await make_area(state, user, reaction="probe.find", text="{{title}}", if_nothing="go_on")
    for area, title in ((stops, "there"), (stops, "gone"), (goes_on, "gone")):
        await offer(state, area, {"title": title})
    async with worker(state):
        await until(lambda: settled(state))
    ended = await rows(state)
    assert [row["status"] for row in ended] == ["success", "skipped", "success"]
    assert ended[1]["error_message"] == "Nothing was found."
    results = [row["execution_result"] and orjson.loads(row["execution_result"]) for row in ended]
    assert results == [{"found": True, "text": "there"}, None, {"found": False, "text": None}]


async def test_a_dry_run_really_asks(state, user, world):
    area = await make_area(state, user, reaction="probe.find", text="{{title}}")
    cache = Cache(state)

    async def tried(title, **options):
        async with state.database.sessions() as session:
            return await control.preview(session, state, user, area.id, {"title": title}, **options)

    assert (await tried("there")).result is None, "nobody is asked for a preview while somebody types"
    nothing = await tried("there", cache=cache)
    assert (nothing.runs, nothing.why, nothing.result) == (False, "Nothing was found.", None)
    world.publish("1", "there")
    shown = await tried("there", cache=cache)
    assert (shown.runs, shown.why, shown.result) == (True, None, {"found": True, "text": "there"})
    assert not world.sent
    assert not await rows(state)
