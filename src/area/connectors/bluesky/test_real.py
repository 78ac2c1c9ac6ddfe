"""All of it against Bluesky's own servers, those of its development network, too (with `make test-slow`)."""

import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.bluesky_network import Network, bluesky

from area.connectors.bluesky import service, session, works
from area.kit.http import Client
from area.sdk import Context, Guard, Permanent
from area.sdk.testing import Watch

pytestmark = pytest.mark.slow
Login = service.auth.model  # type: ignore[union-attr]
ANN, BOB = "ann.test", "bob.test"


@pytest.fixture(scope="module")
def network():
    with bluesky() as running:
        yield running


@pytest.fixture(scope="module")
def passwords(network: Network) -> dict[str, str]:
    return {handle: network.account(handle) for handle in (ANN, BOB)}


@pytest.fixture
async def users(network: Network, passwords: dict[str, str]) -> AsyncIterator[dict[str, Context]]:
    guard = Guard(["127.0.0.1"])
    client = Client(guard)
    contexts = {}
    for handle, password in passwords.items():
        login = Login(server=network.url, handle=handle, app_password=password)
        contexts[handle] = Context(
            http=service.http(client, service.fixed(login)), guard=guard, platform=cast(Any, None), credential=login
        )
    yield contexts
    await client.close()
    session._sessions.clear()


@pytest.fixture
async def picture() -> AsyncIterator[str]:
    """The URL of a PNG."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=_png(), content_type="image/png")

    app = web.Application()
    app.router.add_get("/1.png", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield str(server.make_url("/1.png"))


def _png() -> bytes:
    """A black square (https://www.w3.org/TR/png-3/)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(9 * 8))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def do(ctx: Context, name: str, key: str, **params: Any) -> Any:
    ctx.idempotency_key = key
    reaction = service.reactions[name]
    return await reaction.function(ctx, reaction.params(**params))


async def test_the_account_is_known(users, network, passwords):
    account = await works(users[ANN], users[ANN].credential)
    assert (account.name, account.id[:8]) == (ANN, "did:plc:")
    users[ANN].credential = Login(server=network.url, handle=ANN, app_password="abcd-efgh-ijkl-mnop")
    with pytest.raises(Permanent, match="rejected this handle and app password"):
        await works(users[ANN], users[ANN].credential)


async def test_posts_are_published_and_found_once(users, network):
    ann, bob = users[ANN], users[BOB]
    published = Watch(bob, service.actions["post_published"], actor=ANN)
    found = Watch(bob, service.actions["post_found"], query="kiwi")
    assert await published.look() == await found.look() == []
    text = "Été 👍 kiwi, see https://example.org/a_(b) and @bob.test #fruit"
    first = await do(ann, "create_post", "1", text=text, language="fr")
    assert (await do(ann, "create_post", "1", text=text, language="fr")).uri == first.uri, "a retry posts nothing more"
    reply = await do(ann, "create_post", "2", text="And more", reply_to=first.uri)
    network.settle()
    (event,) = await published.look()
    assert (event.id, event.data.text, event.data.handle) == (first.uri, text, ANN)
    assert [event.id for event in await found.look()] == [first.uri]
    replies = Watch(bob, service.actions["post_published"], actor=ANN, replies=True)
    await replies.look()
    again = await do(ann, "create_post", "3", text="Third", reply_to=reply.uri)
    network.settle()
    assert await replies.ids() == [again.uri]
    assert await published.look() == await found.look() == []


async def test_links_and_pictures(users, network, picture):
    ann, bob = users[ANN], users[BOB]
    published = Watch(bob, service.actions["post_published"], actor=ANN)
    await published.look()
    await do(ann, "create_post", "p1", text="A picture", picture=picture, alt_text="Nothing")
    link = "https://example.org/news"
    await do(ann, "create_post", "p2", text="A card", link=link, link_title="News", picture=picture)
    network.settle()
    shown, card = sorted((event.data for event in await published.look()), key=lambda post: post.text, reverse=True)
    assert (len(shown.pictures), shown.alt_texts) == (1, ["Nothing"])
    assert (card.card_url, card.card_title) == (link, "News")


async def test_likes_reposts_and_follows_happen_once_and_are_told(users, network):
    ann, bob = users[ANN], users[BOB]
    post = await do(ann, "create_post", "n1", text="Like me, @bob.test")
    network.settle()
    told, liked = Watch(ann, service.actions["notification_received"]), Watch(bob, service.actions["post_liked"])
    reposted = Watch(ann, service.actions["post_published"], actor=BOB, reposts=True)
    assert await told.look() == await liked.look() == await reposted.look() == []
    for name, params in (("like_post", {"post": post.uri}), ("repost", {"post": post.uri}), ("follow", {"actor": ANN})):
        made = await do(bob, name, "n2", **params)
        network.settle()
        assert (await do(bob, name, "n3", **params)).uri == made.uri, "another run does it no second time"
    network.settle()
    events = await told.look()
    assert sorted((event.data.reason, event.data.handle) for event in events) == [
        ("follow", BOB), ("like", BOB), ("repost", BOB)
    ]  # fmt: skip
    assert [event.id for event in await liked.look()] == [post.uri]
    (event,) = await reposted.look()
    assert (event.data.uri, event.data.reposted_by) == (post.uri, BOB)
    mentions = Watch(bob, service.actions["notification_received"], reason="mention")
    await mentions.look()
    await do(ann, "create_post", "n4", text="Hello @bob.test")
    network.settle()
    assert [event.data.reason for event in await mentions.look()] == ["mention"]
    assert await told.look() == await liked.look() == await reposted.look() == await mentions.look() == []


async def test_a_session_that_is_no_longer_taken_is_refreshed(users):
    ann = users[ANN]
    before = await session.account(ann)
    (key,) = [key for key, kept in session._sessions.items() if kept is before]
    broken = before.access.__class__(before.access.get_secret_value()[:-4] + "AAAA")
    session._sessions[key] = before.model_copy(update={"access": broken})
    watch = Watch(ann, service.actions["post_published"], actor=BOB)
    await watch.look()
    after = await session.account(ann)
    assert after.refresh != before.refresh
    assert after.did == before.did


async def test_what_is_not_there_is_refused(users):
    missing = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/3k2yihcrp6f2c"
    with pytest.raises(Permanent, match="doesn't exist"):
        await do(users[ANN], "like_post", "x", post=missing)
    with pytest.raises(Permanent):
        await do(users[ANN], "follow", "x", actor="nobody.test")
