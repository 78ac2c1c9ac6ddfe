"""Look-ups: what the engine makes of what they find, and of finding nothing; a dry run really asks."""

import orjson

from area import areas
from area.areas import AreaIn
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


def form(*then, text="{{title}}", component="probe.find"):
    reaction = {"component": component, "parameters": {"text": text}}
    return AreaIn.model_validate(
        {"name": "Head", "action": {"component": "probe.item"}, "reaction": reaction, "then": then}
    )


def link(name, text, component="probe.find", then=(), **more):
    key = "values" if component == "area.pass_on" else "text"
    return {"name": name, "reaction": {"component": component, "parameters": {key: text}}, "then": [*then], **more}


async def tried(state, user, wanted, title="there"):
    """The dry runs of a draft, and of the same chain saved."""
    scope, cache = control.scope(state), Cache(state)
    async with state.database.sessions() as session:
        checked = await areas.check(session, scope, wanted.action, wanted.reaction, saving=False)
        options = {"cache": cache, "name": wanted.name, "then": wanted.then}
        draft = await control.preview(session, state, user, checked, {"title": title}, **options)
    return draft, cache


def results(preview):
    """What was found, by link."""
    each = {preview.name: preview.result} if hasattr(preview, "name") else {"Head": preview.result}
    return each | {name: found for below in preview.then for name, found in results(below).items()}


async def test_a_dry_run_asks_the_look_ups_of_all_links(state, user, world):
    for number, text in enumerate(("there", "there too", "there now")):
        world.publish(str(number), text)
    last = link("Last", "{{steps.second.text | replace:' too',' now'}}")
    passed = link("Passed", '{"text": "{{result.text}}"}', "area.pass_on", [link("After", "{{result.text}}")])
    wanted = form(link("Second", "{{result.text}} too", then=[last]), passed)
    draft, cache = await tried(state, user, wanted)
    assert {name: found and found["text"] for name, found in results(draft).items()} == {
        "Head": "there", "Second": "there too", "Last": "there now", "Passed": None, "After": "there",
    }  # fmt: skip
    async with state.database.transaction() as session:
        area = await areas.create(session, control.scope(state), user, wanted)
    async with state.database.sessions() as session:
        saved = await control.preview(session, state, user, area.id, {"title": "there"}, cache=cache)
    assert results(saved) == results(draft)
    assert not world.sent
    assert not await rows(state)


async def test_a_look_up_that_finds_nothing_ends_the_dry_run_of_what_follows(state, user, world):
    world.publish("1", "there")
    wanted = form(link("Second", "nowhere", then=[link("Third", "there")]))
    draft, _ = await tried(state, user, wanted)
    (second,) = draft.then
    assert (second.runs, second.why, second.result) == (False, "Nothing was found.", None)
    assert second.then[0].result is None


async def test_nobody_is_asked_for_what_is_only_a_sample(state, user, world):
    world.publish("1", "Hello")  # the sample's text
    looks = [link("By sample", "{{result.text}}"), link("By step", "{{steps.head.text}}"), link("Real", "Hello")]
    passed = link("Passed", '{"text": "{{result.text}}"}', "area.pass_on", [link("After", "{{result.text}}")])
    draft, _ = await tried(state, user, form(*looks, passed, component="probe.send"))
    found = {"found": True, "text": "Hello"}
    assert results(draft) == {
        "Head": None, "By sample": None, "By step": None, "Real": found, "Passed": None, "After": None,
    }  # fmt: skip


async def test_the_names_of_a_draft_are_checked_along_its_chain(state, user, world):
    deep = link("Third", "{{steps.secnd.text}}", "probe.send", only_if="origin.titel == 'x'")
    draft, _ = await tried(state, user, form(link("Second", "{{result.txt}}", "probe.send", [deep])))
    (second,) = draft.then
    (third,) = second.then
    assert [(error["field"], error["message"]) for error in second.errors] == [
        ("reaction.parameters.text", 'result has no value called "txt"; did you mean "text"?')
    ]
    assert (second.runs, second.why) == (False, second.errors[0]["message"])
    assert [error["field"] for error in third.errors] == ["action.parameters.only_if", "reaction.parameters.text"]
    assert [link.area_id for link in (second, third)] == [None, None]
