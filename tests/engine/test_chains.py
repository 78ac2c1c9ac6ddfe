"""AREAs that follow others: which runs an outcome leads to, with what data, each exactly once."""

import json

import pytest

from area import areas
from area.areas import AreaIn, AreaPatch, Part, links
from area.engine import control
from area.engine.execution import followers
from area.kit.problems import Invalid
from area.sdk import Permanent, Retry

from .conftest import make_area, offer, rows, settled, until, worker

PLACES = (
    "select e.id, e.area_id, e.status, e.trigger_data, e.error_message, l.parent, l.root, l.index"
    " from area_executions e left join execution_links l on l.execution_id = e.id order by e.id"
)


async def link(state, user, after, name="Next", *, text="{{result.text}}", reaction="probe.send", only_if="", **more):
    parameters = {"after": [area.id for area in after] if isinstance(after, list) else after.id, **more}
    if only_if:
        parameters["only_if"] = only_if
    values = {"values": text} if reaction == "area.pass_on" else {"text": text}
    wanted = AreaIn(
        name=name,
        action=Part(component="area.ran", parameters=parameters),
        reaction=Part(component=reaction, parameters=values),
    )
    async with state.database.transaction() as session:
        return await areas.create(session, control.scope(state), user, wanted)


async def head(state, user, **parameters):
    area = await make_area(state, user, action="webhook.received", **parameters)
    async with state.database.transaction() as session:
        return await areas.change(session, control.scope(state), user, area.id, AreaPatch(name="First one"))


async def ran(state, area, data):
    """Run an event through, and return the executions with their places."""
    accepted = await offer(state, area, data)
    async with worker(state):
        await until(lambda: settled(state))
    found = [row | {"trigger_data": json.loads(row["trigger_data"])} for row in await rows(state, PLACES)]
    assert found[0]["id"] == accepted.execution_id
    return found


async def test_a_link_runs_after_a_success_with_all_that_came_before(state, user, world):
    first = await head(state, user, text="{{body.title}}")
    second = await link(state, user, first, "Second", text="{{origin.body.title}}, {{result.text}}")
    third = await link(state, user, second, "Third", text="{{steps.first_one.text}}|{{result.text}}|{{run}}")
    one, two, three = await ran(state, first, {"body": {"title": "Hello"}})
    assert [text for _, text in world.sent] == ["Hello", "Hello, Hello", f"Hello|Hello, Hello|{one['id']}"]
    assert [row["area_id"] for row in (one, two, three)] == [first.id, second.id, third.id]
    assert (one["parent"], two["parent"], three["parent"]) == (None, one["id"], two["id"])
    assert (two["root"], three["root"]) == (one["id"], one["id"])
    assert three["trigger_data"] == {
        "origin": {"body": {"title": "Hello"}},
        "result": {"text": "Hello, Hello"},
        "steps": {"first_one": {"text": "Hello"}, "second": {"text": "Hello, Hello"}},
        "run": one["id"],
    }
    (known,) = await rows(state, "select * from hook_states where area_id = $1", second.id)
    assert (known["state_key"], known["state_value"]) == (f"event:ran:{one['id']}", str(two["id"]))
    assert [row["triggered_count"] for row in await rows(state, "select * from areas order by id")] == [1, 1, 1]


async def test_what_follows_depends_on_the_outcome(state, user, world):
    async def behave(ctx, params, attempt):
        if params.text == "bad":
            raise Permanent("It broke.")

    world.behaviour = behave
    first = await head(state, user, text="{{body}}")
    async with state.database.transaction() as session:
        action = Part(component="webhook.received", parameters={"only_if": 'body != "dull"'})
        await areas.change(session, control.scope(state), user, first.id, AreaPatch(action=action))
    for when in ("success", "failed", "skipped", "any"):
        await link(state, user, first, when.title(), text=f"{when}: {{{{origin.body}}}}", when=when)
    await link(state, user, first, "Told", text="{{error.message}} {{error.attempts}}", when="failed")
    for body in ("good", "bad", "dull"):
        await offer(state, first, {"body": body})
    async with worker(state):
        await until(lambda: settled(state))
    assert sorted(text for _, text in world.sent) == sorted(
        ["good", "success: good", "any: good", "failed: bad", "any: bad", "It broke. 1", "skipped: dull", "any: dull"]
    )


async def test_otherwise_runs_if_no_other_condition_matches(state, user, world):
    first = await head(state, user, text="{{body}}")
    await link(state, user, first, "A", text="a {{origin.body}}", only_if='origin.body == "a"')
    await link(state, user, first, "B", text="b {{origin.body}}", only_if='origin.body starts_with "b"')
    await link(state, user, first, "Else", text="else {{origin.body}}", when="otherwise")
    for body in ("a", "bb", "c"):
        await offer(state, first, {"body": body})
    async with worker(state):
        await until(lambda: settled(state))
    assert sorted(text for _, text in world.sent) == sorted(["a", "bb", "c", "a a", "b bb", "else c"])


async def test_a_link_runs_for_each_item(state, user, world):
    first = await head(state, user, text="x")
    each = await link(
        state, user, first, "Each", text="{{index}} {{item.n}}", for_each="origin.items", only_if="item.n > 1"
    )
    await link(state, user, first, "Else", text="else {{item.n}}", for_each="origin.items", when="otherwise")
    await link(state, user, each, "After each", text="after {{result.text}}")
    found = await ran(state, first, {"items": [{"n": n} for n in range(4)]})
    assert sorted(text for _, text in world.sent) == sorted(
        ["x", "2 2", "3 3", "else 0", "else 1", "after 2 2", "after 3 3"]
    )
    assert sorted(row["index"] for row in found if row["area_id"] == each.id) == [0, 1, 2, 3]
    assert all(row["root"] == found[0]["id"] for row in found[1:])


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ("none", "origin.items is not a list, so this can't run for each of its items."),
        (None, "origin.items is not a list, so this can't run for each of its items."),
        ([1] * 6, "origin.items has 6 items, and a link can run for at most 5."),
    ],
)
async def test_a_list_that_cannot_be_run_for_fails_and_is_followed(state, user, world, items, why):
    state.settings = state.settings.model_copy(update={"max_items": 5})
    first = await head(state, user, text="x")
    each = await link(state, user, first, "Each", text="{{item}}", for_each="origin.items")
    await link(state, user, each, "Told", text="{{error.message}}", when="failed")
    _, failed, _ = await ran(state, first, {"items": items})
    assert (failed["status"], failed["error_message"]) == ("failed", why)
    assert [text for _, text in world.sent] == ["x", why]


async def test_an_empty_list_leads_to_nothing(state, user, world):
    first = await head(state, user, text="x")
    await link(state, user, first, "Each", text="{{item}}", for_each="origin.items")
    assert len(await ran(state, first, {"items": []})) == 1


async def test_a_retry_and_a_second_recording_lead_to_one_run(state, user, world):
    async def behave(ctx, params, attempt):
        if attempt == 1 and params.text == "once more":
            raise Retry("Again.")

    world.behaviour = behave
    first = await head(state, user, text="x")
    await link(state, user, first, "Second", text="once more")
    found = await ran(state, first, {})
    assert [row["status"] for row in found] == ["success", "success"]
    assert [text for _, text in world.sent] == ["x", "once more"]


async def test_several_actions_lead_to_one_reaction(state, user, world):
    heads = [
        await make_area(state, user, "webhook.received", "area.pass_on", values=f'{{"name": "{name} {{{{body}}}}"}}')
        for name in ("one", "two")
    ]
    await link(state, user, heads, "Both", text="{{result.name}}")
    for area in heads:
        await offer(state, area, {"body": "x"})
    async with worker(state):
        await until(lambda: settled(state))
    assert sorted(text for _, text in world.sent) == ["one x", "two x"]


async def test_a_link_that_is_off_or_deleted_does_not_run(state, user, world):
    first = await head(state, user, text="x")
    second = await link(state, user, first, "Second", text="second")
    await link(state, user, second, "Third", text="third")
    async with state.database.transaction() as session:
        await areas.set_active(session, control.scope(state), user, second.id, active=False)
    assert len(await ran(state, first, {})) == 1


async def test_a_run_has_a_largest_size(state, user, world, monkeypatch):
    monkeypatch.setattr(followers, "MAX_RUN", 5)
    first = await head(state, user, text="x")
    each = await link(state, user, first, "Each", text="{{item}}", for_each="origin.items")
    await link(state, user, each, "After", text="after {{result.text}}")
    found = await ran(state, first, {"items": [1, 2, 3]})
    failed = [row["error_message"] for row in found if row["status"] == "failed"]
    assert failed == ["This run has 5 executions, which is the limit."]
    assert len(found) <= 6


async def test_what_is_too_much_is_left_out_oldest_first(state, user, world, monkeypatch):
    monkeypatch.setattr(followers, "MAX_DATA", 3000)
    monkeypatch.setattr(followers, "ORDERED", 1000)
    first = await head(state, user, text="{{body}}" + "x" * 900)
    second = await link(state, user, first, "A very long name", text="y" * 900)
    third = await link(state, user, second, "Third", text="z" * 900)
    await link(state, user, third, "Needs", text="{{steps.first_one.text}}")
    await link(state, user, third, "Needs not", text="{{origin.body}} {{steps.third.text | length}}")
    found = await ran(state, first, {"body": "b"})
    assert {row["error_message"] for row in found if row["status"] == "failed"} == {
        "steps.first_one was left out, because the data of this run was too large."
    }
    assert [text for _, text in world.sent][-1] == "b 900"
    assert found[-1]["trigger_data"]["left_out"] == ["steps.first_one"]


async def test_circles_and_what_is_another_users_are_refused(state, user, world):
    first = await head(state, user, text="x")
    second = await link(state, user, first, "Second", text="y")
    third = await link(state, user, second, "Third", text="z")
    scope = control.scope(state)
    for area, after in ((second, third), (second, second)):
        action = Part(component="area.ran", parameters={"after": [after.id]})
        with pytest.raises(Invalid, match="circle"):
            async with state.database.transaction() as session:
                await areas.change(session, scope, user, area.id, AreaPatch(action=action))
    action = Part(component="area.ran", parameters={"after": [999]})
    with pytest.raises(Invalid, match="You have no AREA 999"):
        async with state.database.transaction() as session:
            await areas.change(session, scope, user, second.id, AreaPatch(action=action))


async def test_a_chain_has_a_largest_depth_and_width(state, user, world, monkeypatch):
    monkeypatch.setattr(links, "MAX_DEPTH", 2)
    monkeypatch.setattr(links, "MAX_FOLLOWERS", 2)
    first = await head(state, user, text="x")
    second = await link(state, user, first, "Second", text="y")
    third = await link(state, user, second, "Third", text="z")
    with pytest.raises(Invalid, match="at most 2 links long"):
        await link(state, user, third, "Fourth", text="z")
    await link(state, user, first, "Another", text="y")
    with pytest.raises(Invalid, match="2 AREAs follow AREA"):
        await link(state, user, first, "One more", text="y")


async def test_running_an_area_further_up_is_a_loop(state, user, world):
    first = await head(state, user, text="x")
    await link(state, user, first, "Again", text=f"{first.id}")
    wanted = AreaIn(
        name="Loop",
        action=Part(component="area.ran", parameters={"after": first.id}),
        reaction=Part(component="area.run", parameters={"area_id": first.id, "data": {}}),
    )
    async with state.database.transaction() as session:
        await areas.create(session, control.scope(state), user, wanted)
    found = await ran(state, first, {})
    (failed,) = [row for row in found if row["status"] == "failed"]
    assert "already part of this chain" in failed["error_message"]


async def test_switching_off_an_area_further_up_stops_nothing_that_ran(state, user, world):
    first = await head(state, user, text="x")
    second = await link(state, user, first, "Second", text="y", when="any")
    await offer(state, first, {})
    async with state.database.transaction() as session:
        await areas.set_active(session, control.scope(state), user, first.id, active=False)
    async with worker(state):
        await until(lambda: settled(state))
    (skipped,) = await rows(state)
    assert skipped["status"] == "skipped"
    assert second.is_active
