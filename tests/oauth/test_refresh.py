"""Access tokens that end: refreshed in time, on a 401, by one of all processes; and what happens when the vendor
refuses.
"""

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from area import rotation
from area.connections import grants
from area.connections.grants import StoredTokens
from area.connections.vault import Ref
from area.engine import access
from area.engine.access import Bearer, Tokens
from area.engine.platform import UserPlatform
from area.engine.runtime import worker
from area.kit.clock import now
from area.kit.crypto import Keyring
from area.kit.http import Response
from area.sdk import Access, AuthExpired, Quirks
from tests.engine.conftest import make_area, offer, rows, settled, statuses, until
from tests.oauth.conftest import link, nowhere
from tests.oauth.vendor import KEY, SECRET

ROOT = Path(__file__).parents[2]


@pytest.fixture
def area_of(state):
    async def make(client):
        return await make_area(state, client.id, action="probe.item", reaction="vendor.tell", text="{{title}}")

    return make


async def refreshes(server):
    return (await server.set())["refresh"]


async def over(state):
    """The access token has ended, as far as its holder knows."""
    pool = await state.database.pool()
    await pool.execute("update user_services set token_expires_at = timezone('utc', now()) - interval '1 second'")
    await pool.execute("update connection_states set refresh_at = now() - interval '1 second'")


@contextmanager
def second_worker(state, server, tmp_path):
    """Another process on the same database."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.oauth.vendor", state.database.dsn, server.issuer, str(tmp_path)],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=os.environ,
    )  # fmt: skip
    try:
        yield process
    finally:
        _, body = process.communicate(timeout=30)
        process.told = body.decode()


async def test_a_token_is_refreshed_before_it_ends_and_rotates(ann, server, state, area_of, logs):
    await link(ann, server)
    (before,) = await rows(state, "select * from user_services")
    (soon,) = await rows(state, "select refresh_at, now() as now from connection_states")
    assert 2600 < (soon["refresh_at"] - soon["now"]).total_seconds() < 3310
    area = await area_of(ann)
    count = await refreshes(server)
    async with worker(state) as running:
        await offer(state, area, {"title": "1"})
        await until(lambda: settled(state))
        assert await refreshes(server) == count, "it is good for an hour"
        pool = await state.database.pool()
        await pool.execute("update connection_states set refresh_at = now()")
        await pool.execute("select pg_notify('connection_changed', $1)", f"{ann.id}:vendor")
        await until(lambda: not running.cache.tokens._stored)  # it has heard of it
        for number in range(3):
            await offer(state, area, {"title": str(number)})
        await until(lambda: settled(state))
    assert await refreshes(server) == count + 1
    (after,) = await rows(state, "select * from user_services")
    assert after["oauth_token"] != before["oauth_token"]
    assert after["refresh_token"] != before["refresh_token"]
    assert after["token_expires_at"] > before["token_expires_at"]
    assert set(await statuses(state)) == {"success"}
    seen = await server.set()
    await nowhere(state, ann, logs, SECRET, *filter(None, seen["tokens"]))


async def test_fifty_runs_in_two_processes_refresh_once(ann, server, state, area_of, tmp_path, logs):
    await link(ann, server)
    area = await area_of(ann)
    await over(state)
    count = (await server.set(slow=700))["refresh"]
    for number in range(50):
        await offer(state, area, {"title": str(number)})
    with second_worker(state, server, tmp_path) as other:
        started = b""
        while b"worker.started" not in started:
            started = await asyncio.to_thread(other.stderr.readline)
        for number in range(50):
            await offer(state, area, {"title": str(number)})
        async with worker(state):
            await until(lambda: settled(state))
    assert set(await statuses(state)) == {"success"}
    assert len(await statuses(state)) == 100
    seen = await server.set()
    assert seen["refresh"] == count + 1
    everything = other.told + "".join(logs)
    assert "bug" not in everything
    assert "token.refreshed" in everything
    assert not any(token in everything for token in filter(None, seen["tokens"]))


async def test_two_processes_memories_refresh_once(ann, server, state):
    """The same without workers, where it can be seen that both really asked at the same time."""
    await link(ann, server)
    service = state.registry.services["vendor"]
    ours, other = Tokens(state), Tokens(state)
    await over(state)
    count = (await server.set(slow=500))["refresh"]
    stored = await asyncio.gather(
        *(tokens.good(Ref(ann.id, service.slug), service) for _ in range(25) for tokens in (ours, other))
    )
    assert len({row.access.get_secret_value() for row in stored}) == 1
    assert await refreshes(server) == count + 1


async def test_a_401_in_the_middle_refreshes_once(ann, server, state, area_of):
    await link(ann, server)
    area = await area_of(ann)
    count = await refreshes(server)
    await server.end_access()
    async with worker(state):
        for number in range(20):
            await offer(state, area, {"title": str(number)})
        await until(lambda: settled(state))
    assert set(await statuses(state)) == {"success"}
    assert await refreshes(server) == count + 1
    assert not await rows(state, "select * from notices")


async def test_refused_paused_told_once_reconnected_caught_up(ann, server, state, area_of, logs):
    await link(ann, server)
    area = await area_of(ann)
    await server.end()
    await over(state)
    async with worker(state):
        for number in range(8):
            await offer(state, area, {"title": str(number)})
        await until(lambda: _waiting(state, 8))
        (notice,) = await rows(state, "select * from notices")
        assert notice["title"] == "Vendor must be reconnected"
        assert "Reconnect it" in notice["body"]
        refused = (await server.set())["refused"]
        await offer(state, area, {"title": "8"})
        await until(lambda: _waiting(state, 9))
        assert (await server.set())["refused"] == refused, "a dead connection is not tried again"
        assert (await ann.get("/api/connections/vendor")).json()["status"] == "expired"
        assert await statuses(state) == ["pending"] * 9
        view = await link(ann, server)
        assert view["status"] == "works"
        await until(lambda: settled(state))
    assert set(await statuses(state)) == {"success"}
    assert len(await rows(state, "select * from notices")) == 1
    seen = await server.set()
    await nowhere(state, ann, logs, SECRET, *filter(None, seen["tokens"]))


async def _waiting(state, number):
    return len(await rows(state, "select * from execution_jobs where reason = 'connection'")) == number


async def test_a_vendor_that_is_down_for_a_moment_is_tried_again(ann, server, state, area_of, monkeypatch):
    monkeypatch.setattr(access, "REST", 0.5)
    await link(ann, server)
    area = await area_of(ann)
    await over(state)
    await server.set(down=True)
    async with worker(state):
        await offer(state, area, {"title": "x"})
        await until(lambda: rows(state, "select * from execution_jobs where reason = 'retry'"))
        assert not await rows(state, "select * from notices")
        (row,) = await rows(state, "select status from connection_states")
        assert row["status"] == "works"
        await server.set(down=False)
        await until(lambda: settled(state))
    (row,) = await rows(state)
    assert row["status"] == "success"


async def test_a_token_that_is_still_good_is_used_while_the_vendor_is_down(ann, server, state, area_of):
    await link(ann, server)
    area = await area_of(ann)
    pool = await state.database.pool()
    await pool.execute("update connection_states set refresh_at = now()")
    await server.set(down=True)
    async with worker(state):
        for number in range(3):
            await offer(state, area, {"title": str(number)})
        await until(lambda: settled(state))
    assert set(await statuses(state)) == {"success"}


@asynccontextmanager
async def refreshing(state, ann, server):
    """In the middle of a refresh: the vendor has the question."""
    await over(state)
    await server.set(slow=600)
    tokens = Tokens(state)
    task = asyncio.create_task(tokens.good(Ref(ann.id, "vendor"), state.registry.services["vendor"]))
    await until(lambda: rows(state, "select 1 from connection_states where refreshing_until is not null"))
    await asyncio.sleep(0.1)
    yield task
    await server.set(slow=0)


async def test_a_refresh_goes_on_when_who_wanted_it_is_cancelled(ann, server, state):
    await link(ann, server)
    (before,) = await rows(state, "select refresh_token from user_services")
    async with refreshing(state, ann, server) as task:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: _changed(state, before))
    assert (await ann.post("/api/connections/vendor/test")).json()["works"]


async def _changed(state, before):
    return (await rows(state, "select refresh_token from user_services"))[0] != before


async def test_keys_may_be_rotated_in_the_middle_of_a_refresh(ann, server, state):
    await link(ann, server)
    new = "another-key-of-more-than-32-characters!"
    async with refreshing(state, ann, server) as task:
        async with state.database.transaction() as session:
            assert (await rotation.rotate(session, Keyring([new, KEY]), state.registry)).count == 2
        state.keyring = Keyring([new, KEY])
        stored = await task
    assert stored.access.get_secret_value() in (await server.set())["tokens"]
    assert (await ann.post("/api/connections/vendor/test")).json()["works"]


async def test_reconnecting_in_the_middle_of_a_refresh_wins(ann, server, state):
    await link(ann, server)
    url = (await ann.get("/api/connections/vendor/authorize")).json()["url"]
    back = await server.browse(url)
    back.pop("address")
    service = state.registry.services["vendor"]
    async with refreshing(state, ann, server) as task:
        await server.set(slow=0)
        assert (await ann.get("/api/auth/vendor/callback", params=back)).status == 200
        async with state.database.sessions() as session:
            linked = await grants.stored(session, state.keyring, service, Ref(ann.id, service.slug))
        stored = await task
    assert stored.access == linked.access
    assert (await ann.post("/api/connections/vendor/test")).json()["works"]


async def test_disconnecting_in_the_middle_of_a_refresh_leaves_nothing(ann, server, state, clean_up):
    await link(ann, server)
    async with refreshing(state, ann, server) as task:
        await server.set(slow=0)
        revoked = (await server.set())["revoked"]
        assert (await ann.delete("/api/connections/vendor")).status == 200
        with pytest.raises(AuthExpired):
            await task
    assert not await rows(state, "select * from user_services")
    assert await clean_up() == 2
    assert (await server.set())["revoked"] > revoked


async def test_a_lease_of_a_process_that_died_runs_out(ann, server, state):
    await link(ann, server)
    await over(state)
    pool = await state.database.pool()
    await pool.execute("update connection_states set refreshing_until = now() + interval '1 second'")
    stored = await Tokens(state).good(Ref(ann.id, "vendor"), state.registry.services["vendor"])
    assert stored.access.get_secret_value() in (await server.set())["tokens"]


async def test_a_late_word_of_an_old_token_does_not_end_a_new_connection(ann, server, state):
    await link(ann, server)
    (old,) = await rows(state, "select updated_at from user_services")
    await link(ann, server)
    await UserPlatform(state, ann.id, 0).connection_expired(
        Ref(ann.id, "vendor"), "Vendor returned 401.", old["updated_at"]
    )
    assert not await rows(state, "select * from notices")
    assert (await ann.get("/api/connections/vendor")).json()["status"] == "works"


class Stub:
    """Tokens as a `Bearer` finds them."""

    def __init__(self, granted_at):
        self.kept = StoredTokens(
            SecretStr("old"), SecretStr("refresh"), None, None, granted_at, now(), status="works", last_error=None
        )
        self.renewals = []

    async def current(self, user_id, service):
        return self.kept

    async def renewed(self, user_id, service, stale):
        self.renewals.append(stale)
        return replace(self.kept, access=SecretStr("new"))


def answer(status, body=b""):
    return Response(status, {}, body, "https://a.example/x")


async def test_vendors_that_say_otherwise_that_a_token_has_ended(state):
    service = state.registry.services["vendor"]
    quirks = Quirks(
        expired_statuses=frozenset({401, 403}), expired_field="error", expired_codes=frozenset({"token_expired"})
    )
    auth = replace(service.auth, quirks=quirks)
    old, young = Stub(now() - timedelta(hours=1)), Stub(now() - timedelta(seconds=5))
    refused = Access(secrets=("old",))
    for stub in (old, young):
        bearer = Bearer(state, stub, service, auth, Ref(1, service.slug))
        assert bearer.refuses(answer(403))
        assert bearer.refuses(answer(200, b'{"ok": false, "error": "token_expired"}'))
        assert not bearer.refuses(answer(200, b'{"ok": false, "error": "channel_not_found"}'))
        for body in (b"", b"<html>", b"[]", b'"token_expired"'):
            assert not bearer.refuses(answer(200, body))
        assert not bearer.refuses(answer(404))
        other = await bearer.renewed(refused, 403)
        assert (other is None) == (stub is young), "a new token is not to blame for a 403"
        assert (await bearer.renewed(refused, 401)).headers == {"Authorization": "Bearer new"}
    assert (old.renewals, young.renewals) == (["old", "old"], ["old"])


async def test_a_source_waits_for_its_connection_and_goes_on(ann, server, state, area_of):
    await link(ann, server)
    await make_area(state, ann.id, action="vendor.seen", reaction="vendor.tell", text="{{title}}")
    pool = await state.database.pool()
    failures = "select * from sources where component_id in (select id from components where name = 'seen')"
    async with worker(state):
        await until(lambda: rows(state, f"{failures} and checked_at is not null and failures = 0"))
        await server.end()
        await pool.execute("update sources set due_at = now()")
        await pool.execute("select pg_notify('sources_changed', '1')")
        await until(lambda: rows(state, f"{failures} and failures > 0"))
        assert (await ann.get("/api/connections/vendor")).json()["status"] == "expired"
        await link(ann, server)
        await until(lambda: rows(state, f"{failures} and failures = 0"))
    assert len(await rows(state, "select * from notices")) == 1


async def test_a_crash_between_the_answer_and_the_commit_is_told(ann, server, state, monkeypatch):
    """What rotation punishes: the vendor gave a new refresh token, and nobody kept it."""
    await link(ann, server)
    await over(state)

    async def crash(*_, **__):
        raise SystemError

    service = state.registry.services["vendor"]
    with monkeypatch.context() as patch:
        patch.setattr(Tokens, "_store", crash)
        with pytest.raises(SystemError):
            await Tokens(state).good(Ref(ann.id, "vendor"), service)
    with pytest.raises(AuthExpired, match="Reconnect it"):
        await Tokens(state).good(Ref(ann.id, "vendor"), service)
    assert (await ann.get("/api/connections/vendor")).json()["status"] == "expired"
    assert len(await rows(state, "select * from notices")) == 1


class Pool:
    """A pool whose answers to `fetchval` may get lost."""

    def __init__(self, pool, fetchval):
        self._pool = pool
        self._fetchval = fetchval

    def __getattr__(self, name):
        return getattr(self._pool, name)

    async def fetchval(self, query, *values):
        return await self._fetchval(self._pool.fetchval, query, *values)


async def test_new_tokens_outlast_a_database_that_is_away(ann, server, state, monkeypatch):
    await link(ann, server)
    await over(state)
    away = []

    async def fetchval(ask, query, *values):
        if query == access.STORE_DEFAULT and len(away) < 3:
            away.append(query)
            raise ConnectionResetError("gone")
        return await ask(query, *values)

    monkeypatch.setattr(state.database, "_pool", Pool(await state.database.pool(), fetchval))
    stored = await Tokens(state).good(Ref(ann.id, "vendor"), state.registry.services["vendor"])
    assert len(away) == 3
    assert stored.access.get_secret_value() == (await server.set())["tokens"][-2]
    assert (await ann.post("/api/connections/vendor/test")).json()["works"]


async def test_tokens_that_were_stored_without_a_word_of_it_are_not_revoked(ann, server, state, monkeypatch):
    """The commit arrived, its confirmation did not: asked again, the lease is gone, and the tokens are there."""
    await link(ann, server)
    await over(state)
    away = []

    async def fetchval(ask, query, *values):
        result = await ask(query, *values)
        if query == access.STORE_DEFAULT and not away:
            away.append(query)
            raise ConnectionResetError("gone")
        return result

    monkeypatch.setattr(state.database, "_pool", Pool(await state.database.pool(), fetchval))
    revoked = (await server.set())["revoked"]
    await Tokens(state).good(Ref(ann.id, "vendor"), state.registry.services["vendor"])
    assert (await server.set())["revoked"] == revoked
    assert (await ann.post("/api/connections/vendor/test")).json()["works"]
