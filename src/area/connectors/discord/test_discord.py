"""Discord against a double written from docs.discord.com and the types of Discord's own specification
(discord/discord-api-spec). No package contains that specification as OpenAPI, so the double doesn't enforce it.
"""

import sys
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from area.connectors.discord import _snowflake, _time, service
from area.sdk import Access, Permanent
from area.sdk.testing import Answer, Double, Watch, act, connector, outcomes

BOT = service.auth.model(token="MTA2.x")
START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
HERE = {"server": "1970", "channel": "4177"}
MESSAGES = "/channels/{channel}/messages"
REACTIONS = "/channels/{channel}/messages/{message}/reactions/{emoji}"
MEMBERS = "/guilds/{guild}/members"


@pytest.fixture(autouse=True)
def _begin(monkeypatch):
    """A run of all tests takes longer than what is new stays new."""
    monkeypatch.setattr(sys.modules[__name__], "START", datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5))


@pytest.fixture
async def vendor():
    async with Double(None, at="https://discord.com/api/v10") as double:
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor, credential=BOT) as context:
        context.idempotency_key = "here-7"
        yield context


def flake(minutes: float, number: int = 0) -> str:
    return str(int(_snowflake(START + timedelta(minutes=minutes))) + number)


def person(number: int, **more) -> dict:
    return {"id": str(number), "username": f"u{number}", "global_name": None, **more}


def message(minutes: float, **more) -> dict:
    own = {
        "id": flake(minutes),
        "channel_id": "4177",
        "type": 0,
        "content": "hi",
        "author": person(7),
        "attachments": [],
    }
    return {**own, **more}


def paged(rows: list, key=lambda row: row["id"]):
    """A page of what comes after an id, as Discord gives it."""

    def answer(request):
        later = sorted(
            (row for row in rows if int(key(row)) > int(request.query["after"])), key=lambda row: int(key(row))
        )
        return later[: int(request.query["limit"])][::-1]

    return answer


async def test_a_message_fires_once(vendor, ctx):
    rows = [message(0)]
    vendor.on("GET", MESSAGES, paged(rows))
    watch = Watch(ctx, service.actions["message_posted"], **HERE)
    assert await watch.ids() == []
    rows += [message(1, id=flake(1, number)) for number in range(150)]
    robot = message(2, author=person(8, bot=True))
    rows += [
        robot,
        message(3, webhook_id="9"),
        message(3.5, type=7),
        message(4, type=19, attachments=[{"url": "https://x/a"}]),
    ]
    events = await watch.look()
    assert len(events) == 151
    assert (events[-1].at, events[-1].data.attachments) == (START + timedelta(minutes=4), ["https://x/a"])
    assert events[-1].data.link == f"https://discord.com/channels/1970/4177/{flake(4)}"
    assert await watch.ids() == []
    robots = Watch(ctx, service.actions["message_posted"], **HERE, bots=True)
    await robots.look()
    rows.append(message(5, author=person(8, bot=True)))
    assert await robots.ids() == [flake(5)]
    assert vendor.asked[0].headers["User-Agent"].startswith("DiscordBot (https://")


async def test_a_member_a_reaction_and_a_thread_fire_once(vendor, ctx):
    members = [{"user": person(n), "joined_at": (START - timedelta(days=9)).isoformat()} for n in range(1, 1001)]
    reacted, threads = [person(1)], [{"id": flake(-60), "name": "old", "parent_id": "4177", "owner_id": "7"}]
    vendor.on("GET", MEMBERS, paged(members, key=lambda row: row["user"]["id"]))
    vendor.on("GET", REACTIONS, paged(reacted))
    vendor.on("GET", "/guilds/{guild}/threads/active", lambda _: {"threads": threads, "members": [], "has_more": False})
    watches = [
        Watch(ctx, service.actions["member_joined"], server="1970"),
        Watch(ctx, service.actions["reaction_added"], **HERE, message="1627", emoji="👍"),
        Watch(ctx, service.actions["thread_created"], server="1970"),
    ]
    assert [await watch.ids() for watch in watches] == [[], [], []]
    joined = START.isoformat()
    members += [{"user": person(2000), "joined_at": joined}, {"user": person(2001, bot=True), "joined_at": joined}]
    reacted.append(person(2, global_name="Ada"))
    threads.append({**threads[0], "id": flake(1)})
    assert [await watch.ids() for watch in watches] == [[f"2000:{joined}"], ["2"], [flake(1)]]
    assert [await watch.ids() for watch in watches] == [[], [], []]
    assert next(item for item in vendor.asked if item.route == REACTIONS).params["emoji"] == "👍"


async def test_what_is_sent(vendor, ctx):
    for route in (MESSAGES, f"{MESSAGES}/{{message}}/threads", "/channels/{channel}/threads", "/users/@me/channels"):
        vendor.on("POST", route, Answer(json={"id": "55"}))
    vendor.on("PUT", f"{REACTIONS}/@me", Answer(204))
    vendor.on("PUT", f"{MEMBERS}/{{user}}/roles/{{role}}", Answer(204))

    async def done(which, /, **params):
        result = await act(ctx, service.reactions[which], **params)
        request = vendor.asked[-1]
        return result.id, request.path, request.json

    sentence = {"content": "hi", "allowed_mentions": {"parse": ["users", "roles"]}, "enforce_nonce": True}
    created, path, body = await done("send_message", **HERE, text="hi", reply_to="1627")
    nonce = body.pop("nonce")
    assert (created, path, body) == (
        "55",
        "/channels/4177/messages",
        {**sentence, "message_reference": {"message_id": "1627"}},
    )
    assert len(nonce) == 25
    created, path, body = await done("send_direct_message", user="7", text="hi")
    assert (path, body) == ("/channels/55/messages", {**sentence, "nonce": nonce}), (
        "the same attempt has the same nonce"
    )
    assert (vendor.asked[-2].path, vendor.asked[-2].json) == ("/users/@me/channels", {"recipient_id": "7"})
    ctx.idempotency_key = "here-8"
    assert (await done("send_message", **HERE, text="hi"))[2]["nonce"] != nonce
    thread = await done("create_thread", **HERE, name="n", message="1627")
    assert thread == ("55", "/channels/4177/messages/1627/threads", {"name": "n"})
    assert (await done("create_thread", **HERE, name="n"))[1:] == (
        "/channels/4177/threads",
        {"name": "n", "type": 11},
    )
    emoji = {**HERE, "message": "1627", "emoji": "<:party:99>"}
    assert await done("add_reaction", **emoji) == ("1627", "/channels/4177/messages/1627/reactions/party:99/@me", None)
    assert await done("add_role", server="1970", user="7", role="8") == (
        "7",
        "/guilds/1970/members/7/roles/8",
        None,
    )


async def test_pickers(vendor, ctx):
    vendor.on("GET", "/users/@me/guilds", paged([{"id": str(n), "name": f"g{n}"} for n in range(1, 251)]))
    kinds = [
        {"id": "1", "name": "general", "type": 0},
        {"id": "2", "name": "talk", "type": 2},
        {"id": "3", "name": "news", "type": 5},
    ]
    vendor.on("GET", "/guilds/{guild}/channels", kinds)
    variables = [("1970", "@everyone", False), ("5", "mods", False), ("6", "robot", True)]
    vendor.on("GET", "/guilds/{guild}/roles", [{"id": i, "name": n, "managed": m} for i, n, m in variables])
    assert len(await service.pickers["servers"](ctx, {})) == 250
    assert [item.label for item in await service.pickers["channels"](ctx, {"server": "1970"})] == ["#general", "#news"]
    assert [item.label for item in await service.pickers["roles"](ctx, {"server": "1970"})] == ["mods"]
    assert await service.pickers["roles"](ctx, {}) == []
    await service.pickers["channels"](ctx, {"server": "../x"})
    assert vendor.asked[-1].path == "/guilds/..%2Fx/channels"


async def test_refusals(vendor, ctx):
    vendor.on("POST", MESSAGES, {})

    async def post():
        return await act(ctx, service.reactions["send_message"], **HERE, text="t")

    await outcomes(ctx, vendor, post, body={"code": 50001, "message": "Missing Access"}, said="Missing Access")
    vendor.on("GET", "/users/@me", person(1))
    assert (await service.auth.test(ctx, BOT)).name == person(1)["username"]
    vendor.fails(401, {"code": 0, "message": "401: Unauthorized"})
    with pytest.raises(Permanent, match="rejected this token"):
        await service.auth.test(ctx, BOT)


@pytest.mark.parametrize(
    ("told", "verified"), [({"email": "a@x.org", "verified": True}, True), ({"email": "a@x.org"}, False), ({}, False)]
)
async def test_who_logs_in(vendor, told, verified):
    async with connector(service, vendor, access=Access(headers={"Authorization": "Bearer t"})) as ctx:
        vendor.on("GET", "/users/@me", person(7, global_name="Ada", **told))
        who = await service.login.account(ctx)
        assert (who.id, who.name, who.email, who.email_verified) == ("7", "Ada", told.get("email"), verified)
    assert service.login.login_scopes == ("identify", "email")


def test_ids_and_times():
    assert _time("175928847299117063") == datetime(
        2016, 4, 30, 11, 18, 25, 796000, UTC
    )  # the example of Discord's reference
    assert _snowflake(datetime(2010, 1, 1, tzinfo=UTC)) == "0"
    with pytest.raises(ValidationError):
        service.actions["message_posted"].params(server="1970", channel="../users/@me")
