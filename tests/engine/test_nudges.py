"""Vendors that tell of changes at one address for all accounts: what is polled is asked at once, and nothing else is
believed.
"""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import select
from structlog.testing import capture_logs

from area import catalog
from area.connections import introductions
from area.db.models import ConnectionState
from area.engine import nudges
from area.engine.cache import Cache
from area.engine.lanes import Intake
from area.hooks import Hooks
from area.kit.crypto import Keyring
from area.kit.keys import Keys
from area.kit.problems import Conflict, NotFound
from area.sdk import Context, Credentials, Event, Inbound, Permanent, Reply, Request, Service, hmac_sha256, parse
from tests.engine.conftest import Item, Login, Topic, connect, make_area, make_user, rows, until, worker

SIGNING = "what it signs with"


class Board:
    """What the vendor shows, and how often it was asked."""

    def __init__(self):
        self.items = []
        self.asked = 0
        self.slow = None


@pytest.fixture
async def board(state):
    it = Board()

    async def works(ctx: Context, credential: Login) -> None:
        return None

    def accounts(request: Request) -> list[str]:
        answer = request.json()
        if "accounts" not in answer:
            raise Permanent("It names no account.")
        return answer["accounts"]

    def token(request: Request) -> str | None:
        return parse(dict[str, str], request.json(), "Board").get("token")

    def challenge(request: Request) -> Reply | None:
        return Reply(request.query["challenge"]) if "challenge" in request.query else None

    board = Service(
        "board",
        "Board",
        "A board that tells of news.",
        auth=Credentials(Login, works),
        inbound=Inbound(hmac_sha256("X-Signature"), accounts, challenge, token),
    )

    @board.poll("A note is pinned", every=timedelta(hours=1))
    async def pinned(ctx: Context, params: Topic, since: datetime) -> AsyncIterator[Event[Item]]:
        it.asked += 1
        if it.slow:
            it.items.append("seen only by the next look")
            results, it.slow = it.items[:-1], it.slow.set()
            await asyncio.sleep(0.3)
        else:
            results = list(it.items)
        for name in results:
            yield Event(name, Item(title=name))

    keys = {"board": Keys("id", SecretStr("secret"), SecretStr(SIGNING))}
    state.settings = state.settings.model_copy(update={"clients": keys})
    state.registry.add(board)
    async with state.database.transaction() as session:
        await catalog.sync(session, state.registry)
    return it


async def tell(state, *accounts, signed=SIGNING, body=None, path="board", query=b""):
    body = orjson.dumps({"accounts": accounts}) if body is None else body
    signature = hmac.new(signed.encode(), body, hashlib.sha256).hexdigest() if signed else ""
    scope = {
        "type": "http", "method": "POST", "path": f"/webhooks/{path}", "query_string": query,
        "headers": [(b"x-signature", signature.encode())],
    }  # fmt: skip
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def answer(message):
        sent.append(message)

    await Hooks(state, Cache(state), Intake(state.database.dsn))(scope, receive, answer)
    return sent[0]["status"], sent[1]["body"]


async def connected(state, user, account):
    await connect(state, user, slug="board")
    async with state.database.transaction() as session:
        (row,) = await session.scalars(select(ConnectionState).where(ConnectionState.user_id == user))
        row.account_id = account


async def test_who_is_named_is_asked_at_once_and_nobody_else(state, user, board):
    other = await make_user(state, "bob")
    await connected(state, user, "T1")
    await connected(state, other, "T2")
    async with worker(state):
        await make_area(state, user, action="board.pinned")
        await make_area(state, other, action="board.pinned")
        await until(lambda: board.asked == 2)
        await until(lambda: _at_rest(state))
        board.items.append("hello")
        assert await tell(state, "T1", "T9") == (202, b'{"nudged":1}')
        await until(lambda: rows(state))
        assert board.asked == 3
        await until(lambda: _at_rest(state))
        await rows(state, "update sources set checked_at = now()")
        for _ in range(3):
            assert await tell(state, "T1") == (202, b'{"nudged":1}')
        await until(lambda: board.asked == 4)
        await asyncio.sleep(0.5)
        assert board.asked == 4, "a crowd of nudges is one look"
    assert len(await rows(state)) == 1


async def test_news_that_comes_while_it_is_looked_at_is_looked_for_again(state, user, board):
    await connected(state, user, "T1")
    async with worker(state):
        await make_area(state, user, action="board.pinned")
        await until(lambda: board.asked == 1)
        await until(lambda: _at_rest(state))
        board.slow = asyncio.Event()
        looking = board.slow
        await tell(state, "T1")
        await looking.wait()
        await tell(state, "T1")
        await until(lambda: rows(state))


async def _at_rest(state):
    records = await rows(state, "select * from sources")
    return all(row["lease_owner"] is None and row["checked_at"] for row in records)


async def test_what_is_not_signed_moves_nothing(state, user, board):
    for signed in ("wrong", ""):
        assert (await tell(state, "T1", signed=signed))[0] == 401
    state.settings = state.settings.model_copy(update={"clients": {"board": Keys("id", SecretStr("secret"))}})
    assert (await tell(state, "T1", signed=""))[0] == 401, "no signing secret, nothing believed"
    state.settings = state.settings.model_copy(update={"clients": {}})
    assert (await tell(state, "T1", signed=""))[0] == 401


async def test_challenges_and_what_cannot_be_read(state, user, board):
    assert await tell(state, signed="", query=b"challenge=abc") == (200, b"abc")
    assert (await tell(state, body=b"{"))[0] == 400
    assert (await tell(state, body=b"{}"))[0] == 400
    assert (await tell(state, "T1", path="probe"))[0] == 404
    assert (await tell(state, "T1", path="nobody"))[0] == 404


async def test_what_the_vendor_will_sign_with_is_kept_until_it_is_set(state, user, board):
    def set_to(keys):
        state.settings = state.settings.model_copy(update={"clients": keys})

    async def shown(keyring=state.keyring):
        async with state.database.sessions() as session:
            sent = await introductions.sent(session, keyring, state.registry, state.settings)
        return {slug: [token.token for token in tokens] for slug, tokens in sent.items()}

    answer = orjson.dumps({"token": "s3cret-t0ken"})
    assert (await tell(state, body=answer, signed=""))[0] == 401, "a signing secret is set"
    registered = {"board": Keys("id", SecretStr("secret"))}
    for keys in ({}, registered):
        set_to(keys)
        assert await shown() == {}
        assert (await tell(state, body=answer, signed=""))[0] == (200 if keys else 401)
    with capture_logs() as logged:
        assert await tell(state, body=answer.replace(b"s3cret", b"n3w"), signed="") == (200, b"{}")
    assert [entry["event"] for entry in logged] == ["webhook.token"]
    assert "n3w-t0ken" not in str(logged)
    assert await shown() == {"board": ["s3cret-t0ken", "n3w-t0ken"]}, "none replaces another"
    assert (await tell(state, body=answer, signed=""))[0] == 200, "the same again is no other"
    for number, status in enumerate([200, 401, 401]):
        more = answer.replace(b"s3cret", b"m0re-%d" % number)
        assert (await tell(state, body=more, signed=""))[0] == status, "three from one address"
        await asyncio.sleep(1)  # one a second
    assert len((await shown())["board"]) == 3
    assert "t0ken" not in str(await rows(state, "select * from meta")), "kept encrypted"
    assert await shown(Keyring(["another-key-of-more-than-32-characters"])) == {}
    for body in (b"{}", b"{", b"[]"):
        assert (await tell(state, body=body, signed=""))[0] == 401, "nothing else is believed"
    set_to({"board": Keys("id", SecretStr("secret"), SecretStr("n3w-t0ken"))})
    assert await shown() == {}
    assert (await tell(state, "T1", signed="n3w-t0ken"))[0] == 202


async def test_a_user_has_it_checked_now_and_not_too_often(state, user, board):
    other = await make_user(state, "bob")
    await connected(state, user, "T1")
    await connected(state, other, "T2")

    async def check(whose, area):
        async with state.database.transaction() as session:
            return await nudges.check_now(session, whose, area)

    async with worker(state):
        area = (await make_area(state, user, action="board.pinned")).id
        its = (await make_area(state, other, action="board.pinned")).id
        await until(lambda: board.asked == 2)
        await until(lambda: _at_rest(state))
        (before,) = await rows(state, "select checked_at from sources where user_id = $1", user)
        assert await check(user, area) == before["checked_at"] + nudges.BY_HAND
        assert await check(user, area) == before["checked_at"] + nudges.BY_HAND, "however often"
        with pytest.raises(NotFound):
            await check(user, its)
        await rows(
            state, "update sources set checked_at = now() - interval '1 minute', due_at = now() + interval '1 h'"
        )
        board.items.append("hello")
        await check(user, area)
        await until(lambda: rows(state))
        assert board.asked == 3, "and nobody else's"
    await rows(state, "update sources set failures = 1, due_at = now() + interval '1 hour'")
    with pytest.raises(Conflict, match="failed last time"):
        await check(user, area)
    await rows(state, "update areas set is_active = false")
    with pytest.raises(Conflict, match="is off"):
        await check(user, area)
