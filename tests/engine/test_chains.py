"""AREAs that follow others: which runs an outcome leads to, with what data, each exactly once."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from area import areas, runs
from area.areas import AreaIn, AreaPatch, Part, bundles, chains, links, moving
from area.engine import control
from area.engine.execution import followers
from area.kit.problems import Conflict, Invalid, NotFound
from area.runs import retention, whole
from area.sdk import Permanent, Retry

from .conftest import make_area, make_user, offer, rows, settled, until, worker

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
        state, user, first, "Each", text="{{index}} {{item.n}}", for_each="origin.body", only_if="item.n > 1"
    )
    await link(state, user, first, "Else", text="else {{item.n}}", for_each="origin.body", when="otherwise")
    await link(state, user, each, "After each", text="after {{result.text}}")
    found = await ran(state, first, {"body": [{"n": n} for n in range(4)]})
    assert sorted(text for _, text in world.sent) == sorted(
        ["x", "2 2", "3 3", "else 0", "else 1", "after 2 2", "after 3 3"]
    )
    assert sorted(row["index"] for row in found if row["area_id"] == each.id) == [0, 1, 2, 3]
    assert all(row["root"] == found[0]["id"] for row in found[1:])


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ("none", "origin.body is not a list, so this can't run for each of its items."),
        (None, "origin.body is not a list, so this can't run for each of its items."),
        ([1] * 6, "origin.body has 6 items, and a link can run for at most 5."),
    ],
)
async def test_a_list_that_cannot_be_run_for_fails_and_is_followed(state, user, world, items, why):
    state.settings = state.settings.model_copy(update={"max_items": 5})
    first = await head(state, user, text="x")
    each = await link(state, user, first, "Each", text="{{item}}", for_each="origin.body")
    await link(state, user, each, "Told", text="{{error.message}}", when="failed")
    _, failed, _ = await ran(state, first, {"body": items})
    assert (failed["status"], failed["error_message"]) == ("failed", why)
    assert [text for _, text in world.sent] == ["x", why]


async def test_an_empty_list_leads_to_nothing(state, user, world):
    first = await head(state, user, text="x")
    await link(state, user, first, "Each", text="{{item}}", for_each="origin.body")
    assert len(await ran(state, first, {"body": []})) == 1


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
    each = await link(state, user, first, "Each", text="{{item}}", for_each="origin.body")
    await link(state, user, each, "After", text="after {{result.text}}")
    found = await ran(state, first, {"body": [1, 2, 3]})
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
        with pytest.raises(Invalid, match="create a loop"):
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
    with pytest.raises(Invalid, match="already has 2 AREAs that follow it"):
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


CHAIN = {
    "name": "First one",
    "action": {"component": "webhook.received"},
    "reaction": {"component": "probe.send", "parameters": {"text": "{{body.title}}"}},
    "then": [
        {
            "name": "Second",
            "reaction": {"component": "probe.send", "parameters": {"text": "{{result.text}}!"}},
            "then": [
                {
                    "name": "Each",
                    "for_each": "origin.body",
                    "only_if": "item != 1",
                    "reaction": {"component": "probe.send", "parameters": {"text": "{{item}} {{steps.second.text}}"}},
                }
            ],
        },
        {
            "name": "Told",
            "when": "failed",
            "delay": "10m",
            "reaction": {"component": "probe.send", "parameters": {"text": "{{error.message}}"}},
        },
    ],
}


async def create(state, user, form):
    async with state.database.transaction() as session:
        return await areas.create(session, control.scope(state), user, AreaIn.model_validate(form))


async def seen(state, user, area_id):
    async with state.database.sessions() as session:
        return await areas.get(session, control.scope(state), user, area_id)


def outline(link):
    return {link.name: [outline(below) for below in link.then]}


async def test_a_whole_chain_is_made_at_once_and_shown_as_a_tree(state, user, world):
    area = await create(state, user, CHAIN)
    assert outline(area.chain) == {"First one": [{"Second": [{"Each": []}]}, {"Told": []}]}
    second, told = area.chain.then
    assert (second.when, second.after, second.step, told.when, told.delay) == (
        "success", [area.id], "second", "failed", "10m",
    )  # fmt: skip
    assert (second.then[0].for_each, second.then[0].only_if) == ("origin.body", "item != 1")
    assert (await seen(state, user, second.then[0].id)).chain == area.chain


async def test_names_are_known_along_the_chain(state, user, world):
    for text, place, why in (
        ("{{result.txt}}", "then.0.reaction.parameters.text", 'result has no value called "txt"; did you mean "text"?'),
        (
            "{{origin.boddy}}",
            "then.0.reaction.parameters.text",
            'origin has no value called "boddy"; did you mean "body"?',
        ),
        (
            "{{steps.first_on.text}}",
            "then.0.reaction.parameters.text",
            'No AREA before this one is called "first_on"; did you mean "first_one"?',
        ),
        ("{{item}}", "then.0.reaction.parameters.text", "item is only available with for_each."),
        ("{{error.message}}", "then.0.reaction.parameters.text", "error is only available after a failure."),
    ):
        form = {
            **CHAIN,
            "then": [{**CHAIN["then"][0], "reaction": {"component": "probe.send", "parameters": {"text": text}}}],
        }
        with pytest.raises(Invalid) as raised:
            await create(state, user, form)
        assert [(error["field"], error["message"]) for error in raised.value.errors] == [(place, why)]
    deep = {**CHAIN["then"][0]["then"][0], "for_each": "steps.second.text"}
    with pytest.raises(Invalid) as raised:
        await create(state, user, {**CHAIN, "then": [{**CHAIN["then"][0], "then": [deep]}]})
    assert [error["field"] for error in raised.value.errors] == ["then.0.then.0.for_each"]
    assert await rows(state, "select * from areas") == []


async def test_what_may_be_used_is_offered_by_area(state, user, world):
    area = await create(state, user, CHAIN)
    (second, _) = area.chain.then
    async with state.database.sessions() as session:
        groups = await chains.offered(session, state.registry, user, [second.id], when="any", for_each="origin.body")
    assert [(group.name, group.path) for group in groups] == [
        ("origin", "origin"), ("First one", "steps.first_one"), ("Second", "steps.second"), ("run", ""),
    ]  # fmt: skip
    assert [value.path for value in groups[2].values] == ["steps.second.text"]
    assert [value.path for value in groups[3].values] == ["run", "item", "index", "error"]


async def test_a_change_that_breaks_a_later_link_is_told_and_fails(state, user, world):
    area = await create(state, user, CHAIN)
    second = area.chain.then[0]
    async with state.database.transaction() as session:
        changed = await areas.change(session, control.scope(state), user, second.id, AreaPatch(name="Renamed"))
    (broken,) = changed.chain.then[0].then[0].broken
    assert (broken["field"], broken["message"]) == (
        "reaction.parameters.text", 'No AREA before this one is called "second". Available: first_one, renamed.',
    )  # fmt: skip
    found = await ran(state, area, {"body": [2]})
    assert [row["error_message"] for row in found if row["status"] == "failed"] == [broken["message"]]
    async with state.database.transaction() as session:
        mended = await areas.change(session, control.scope(state), user, second.id, AreaPatch(name="Second"))
    assert mended.chain.then[0].then[0].broken == []


async def test_a_link_in_the_middle_is_taken_out(state, user, world):
    area = await create(state, user, CHAIN)
    second = area.chain.then[0]
    scope = control.scope(state)
    with pytest.raises(Conflict, match="Choose what happens to them"):
        async with state.database.transaction() as session:
            await areas.take_out(session, scope, user, second.id)
    async with state.database.transaction() as session:
        await areas.take_out(session, scope, user, second.id, then="follow")
    after = await seen(state, user, area.id)
    assert outline(after.chain) == {"First one": [{"Each": []}, {"Told": []}]}
    (each,) = [link for link in after.chain.then if link.name == "Each"]
    assert (each.after, each.when) == ([area.id], "success")
    assert [error["message"] for error in each.broken] == [
        'No AREA before this one is called "second". Available: first_one.'
    ]
    async with state.database.transaction() as session:
        await areas.take_out(session, scope, user, area.id, then="delete")
    assert await rows(state, "select * from areas") == []


async def test_a_run_is_listed_cancelled_replayed_and_deleted_whole(state, user, world):
    area = await create(state, user, CHAIN)
    found = await ran(state, area, {"body": [1, 2, 3]})
    root = found[0]["id"]
    async with state.database.sessions() as session:
        listed = await runs.find(session, user, limit=100, run=root)
        assert [line.id for line in listed] == sorted((row["id"] for row in found), reverse=True)
        assert {(line.run, line.parent) for line in listed} == {(root, row["parent"]) for row in found}
        again = await make_user(state, "bob")
        assert await runs.find(session, again, limit=100, run=root) == []
    second = found[1]["id"]
    for alone, more in ((True, 1), (False, 4)):
        async with state.database.transaction() as session:
            await control.replay(session, state, user, second, "present", alone=alone)
        async with worker(state):
            await until(lambda: settled(state))
        places = await rows(state, PLACES)
        assert len(places) == len(found) + more
        assert {row["root"] for row in places[1:]} == {root}
        found = places
    pool = await state.database.pool()
    await pool.execute("update area_executions set created_at = now() - interval '2 days'")
    await pool.execute("update area_executions set created_at = now() where id = $1", found[-1]["id"])
    moment = datetime.now(UTC) - timedelta(days=1)
    async with pool.acquire() as conn:
        assert (await retention.purge(conn, moment, moment))["executions"] == 0
        await conn.execute("update area_executions set created_at = now() - interval '2 days'")
        assert (await retention.purge(conn, moment, moment))["executions"] == len(found)
    assert await rows(state, "select * from execution_links") == []


async def test_a_whole_run_is_cancelled(state, user, world):
    form = {
        **CHAIN,
        "then": [{**CHAIN["then"][0], "delay": "1h"}, {**CHAIN["then"][0], "name": "Other", "delay": "2h", "then": []}],
    }
    area = await create(state, user, form)
    accepted = await offer(state, area, {"body": [1]})

    async def delayed():
        return len(await rows(state, "select * from execution_jobs where reason = 'delay'")) == 2

    async with worker(state):
        await until(delayed)
        async with state.database.transaction() as session:
            cancelled = await control.cancel_run(session, user, accepted.execution_id)
    assert len(cancelled) == 2
    assert [row["status"] for row in await rows(state)] == ["success", "cancelled", "cancelled"]
    assert await rows(state, "select * from pgqueuer where entrypoint = 'later'") == []


async def test_a_chain_is_one_document_in_a_file(state, user, world):
    other = [{"name": "Another", "action": {"component": "webhook.received"}, "reaction": CHAIN["reaction"]}]
    both = {**CHAIN["then"][0]["then"][0], "name": "Both", "also_after": ["Another"], "for_each": None, "only_if": None}
    both["reaction"] = {"component": "probe.send", "parameters": {"text": "{{result.text}}", "count": 2}}
    written = [{**CHAIN, "then": [*CHAIN["then"], both]}, *other]
    scope = control.scope(state)

    async def apply(bundle):
        async with state.database.transaction() as session:
            return await bundles.apply(session, scope, user, [AreaIn.model_validate(item) for item in bundle])

    report = await apply(written)
    assert report["created"] == ["First one", "Another", "Second", "Each", "Told", "Both"]
    async with state.database.sessions() as session:
        exported = await bundles.export(session, scope, user)
    read = [item.model_dump(mode="json") for item in exported]
    assert [link["name"] for link in read[0]["then"]] == ["Second", "Told", "Both"]
    assert read[0]["then"][2]["also_after"] == ["Another"]
    assert read[0]["then"][0]["then"][0]["for_each"] == "origin.body"
    assert read[0]["then"][1]["delay"] == "10m"
    assert (await apply(read))["same"] == report["created"]
    read[0]["then"][0]["then"][0]["only_if"] = "item != 2"
    assert (await apply(read))["changed"] == ["Each"]
    each = read[0]["then"].pop(0)["then"]
    each[0]["reaction"]["parameters"]["text"] = "{{item}}"
    read[0]["then"] += each
    assert (await apply(read))["changed"] == ["Each"]
    async with state.database.transaction() as session:
        gone = await bundles.prune(session, user, set(bundles.names_in(AreaIn.model_validate(item) for item in read)))
    assert gone == ["Second"]
    read[0]["then"][1]["also_after"] = ["Nobody"]
    read[0]["then"][2]["only_if"] = "item ="
    with pytest.raises(Invalid) as raised:
        await apply(read)
    assert [error["field"] for error in raised.value.errors] == [
        "areas.0.then.1.also_after", "areas.0.then.2.only_if",
    ]  # fmt: skip


def sent(preview):
    return {
        "text": preview.parameters.get("text"),
        "why": preview.why,
        "then": {link.name: sent(link) for link in preview.then},
    }


async def test_a_dry_run_shows_what_each_link_would_send(state, user, world):
    area = await create(state, user, CHAIN)
    form = AreaIn.model_validate(CHAIN)
    event = {"body": {"title": "Hi"}}
    async with state.database.sessions() as session:
        saved = await control.preview(session, state, user, area.id, event)
        checked = await areas.check(session, control.scope(state), form.action, form.reaction, saving=False)
        draft = await control.preview(session, state, user, checked, event, name=form.name, then=form.then)
    each = {"text": " Hello", "why": None, "then": {}}
    second = {"text": "Hello!", "why": None, "then": {"Each": each}}
    told = {"text": "example.org answered 404.", "why": None, "then": {}}
    assert sent(saved) == {"text": "Hi", "why": None, "then": {"Second": second, "Told": told}}
    assert sent(draft) == sent(saved)
    assert world.sent == []


async def test_runs_are_listed_with_what_they_led_to(state, user, world):
    area = await create(state, user, CHAIN)
    found = await ran(state, area, {"body": [1, 2]})
    root = found[0]["id"]
    async with state.database.sessions() as session:
        (line,) = await whole.newest(session, user, limit=10)
        lines = await whole.whole(session, user, found[2]["id"])
    assert (line.id, line.status, line.executions, line.failed, line.waiting) == (root, "success", 4, 0, 0)
    assert [(depth, line.area_name, line.index) for depth, line in whole.below(lines)] == [
        (0, "First one", None), (1, "Second", None), (2, "Each", 0), (2, "Each", 1),
    ]  # fmt: skip


async def test_the_list_of_runs_is_that_of_whole_runs(state, user, world):
    """Each filter asks about all of a run; a page ends where the next one begins."""
    area, alone = await create(state, user, CHAIN), await create(state, user, {**CHAIN, "name": "Alone", "then": []})
    bodies = [(area, [1, 2]), (area, ["needle"]), (area, [3]), (alone, "single")]
    *chained, single = [(await offer(state, of, {"body": body})).execution_id for of, body in bodies]
    async with worker(state):
        await until(lambda: settled(state))
    each = area.chain.then[0].then[0].id
    pool = await state.database.pool()
    failed = await pool.fetchval(
        "update area_executions set status = 'failed', error_message = 'Gone.' where area_id = $1 and id in"
        " (select execution_id from execution_links where root = $2) returning id",
        each,
        chained[2],
    )
    async with state.database.sessions() as session:

        async def listed(**filters):
            return [line.id for line in await whole.newest(session, user, **{"limit": 10, **filters})]

        assert await listed() == [single, *chained[::-1]]
        assert await listed(limit=2) == [single, chained[2]]
        assert await listed(limit=2, before=chained[2]) == [chained[1], chained[0]]
        assert await listed(area_id=each) == chained[::-1]
        assert await listed(area_id=each, limit=1, before=chained[2]) == [chained[1]]
        assert await listed(area_id=alone.id) == [single]
        assert await listed(status=["failed"]) == [chained[2]]
        assert await listed(status=["success"]) == [single, chained[1], chained[0]]
        assert await listed(q="NEEDLE") == [chained[1]]
        assert await listed(q="gone.") == [chained[2]]
        assert await listed(service="nothing") == []
        (line,) = await whole.newest(session, user, limit=1, status=["failed"])
        assert (line.status, line.links, line.items, line.failed) == ("failed", 3, 1, 1)
        assert (line.failed_at, str(line.error_message)) == ("Each", "Gone.")
    async with state.database.transaction() as session:
        await control.replay(session, state, user, failed, "present")
    async with worker(state):
        await until(lambda: settled(state))
    async with state.database.sessions() as session:
        assert await whole.newest(session, user, limit=1, status=["failed"]) == []


async def test_a_link_moves_with_or_without_what_follows_it(state, user, world):
    area = await create(state, user, CHAIN)
    second = area.chain.then[0]
    each, told = second.then[0], area.chain.then[1]

    async def moved(number, after, *, alone, by=user):
        async with state.database.transaction() as session:
            await moving.move(session, state.registry, by, number, after, alone=alone)
        return outline((await seen(state, user, area.id)).chain)

    async def breaks(number, after, *, alone):
        async with state.database.transaction() as session:
            change = moving.move(session, state.registry, user, number, after, alone=alone)
            return [
                (each.name, str(each.message)) for each in await moving.breaks(session, state.registry, user, change)
            ]

    assert outline(area.chain) == {"First one": [{"Second": [{"Each": []}]}, {"Told": []}]}
    assert await breaks(second.id, told.id, alone=False) == []
    why = 'No AREA before this one is called "second". Available: first_one.'
    assert await breaks(second.id, told.id, alone=True) == [("Each", why)]
    assert outline((await seen(state, user, area.id)).chain) == outline(area.chain)  # only looked at
    with pytest.raises(Invalid, match="loop"):
        await moved(second.id, each.id, alone=False)
    with pytest.raises(Invalid, match="You have no AREA"):
        await moved(second.id, 999_999, alone=False)
    with pytest.raises(Conflict):
        await moved(area.id, told.id, alone=False)
    with pytest.raises(NotFound):
        await moved(second.id, area.id, alone=False, by=await make_user(state, "other"))
    assert await moved(told.id, second.id, alone=False) == {"First one": [{"Second": [{"Each": []}, {"Told": []}]}]}
    assert await moved(second.id, each.id, alone=True) == {"First one": [{"Each": [{"Second": []}]}, {"Told": []}]}
    (broken,) = (await seen(state, user, each.id)).chain.then[0].broken
    assert str(broken["message"]) == why
    first, other, *_ = await ran(state, area, {"body": [2]})
    assert (first["status"], other["area_id"], other["status"]) == ("success", each.id, "failed")
    assert await moved(each.id, second.id, alone=True) == {"First one": [{"Second": [{"Each": []}]}, {"Told": []}]}
    assert not (await seen(state, user, each.id)).chain.then[0].then[0].broken
