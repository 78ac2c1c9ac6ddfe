"""Tokens of deleted connections are revoked, whatever deleted them."""

from dataclasses import replace

import orjson

from area import rotation
from area.kit.crypto import Keyring
from tests.api.conftest import PASSWORD
from tests.engine.conftest import rows
from tests.oauth.conftest import link
from tests.oauth.vendor import KEY


async def told(state):
    records = await rows(state, "select action, subject, detail from audit where action like 'vendor.%' order by id")
    return [(row["action"], row["subject"], orjson.loads(row["detail"])) for row in records]


async def soon(state):
    pool = await state.database.pool()
    await pool.execute("update vendor_cleanups set next_attempt_at = now()")


async def test_a_deleted_account_is_revoked(ann, server, state, clean_up):
    await link(ann, server)
    await link(ann, server, "bob", name="Work")
    pool = await state.database.pool()
    await pool.execute("insert into users (email, username, is_admin) values ('b@example.org', 'b', true)")
    before = (await server.set())["revoked"]
    answer = await ann.delete("/api/me", {"password": PASSWORD})
    assert answer.status == 204, answer.body
    assert await clean_up() == 2
    assert (await server.set())["revoked"] == before + 2
    assert not await rows(state, "select * from vendor_cleanups")
    assert await told(state) == [
        ("vendor.revoke", f"Vendor of user {ann.id}", {"attempts": 1, "outcome": "done"})
    ] * 2  # fmt: skip


async def test_a_vendor_that_is_away_is_told_later_with_keys_rotated_meanwhile(ann, server, state, clean_up):
    await link(ann, server)
    service = state.registry.services["vendor"]
    reachable = service.auth
    service.auth = replace(reachable, revoke_url="http://127.0.0.1:2/revoke")
    assert (await ann.delete("/api/connections/vendor")).status == 200
    assert await clean_up() == 1
    (row,) = await rows(state, "select *, next_attempt_at > now() as later from vendor_cleanups")
    assert (row["attempts"], row["later"], row["lease_until"]) == (1, True, None)
    assert row["last_error"]
    assert await clean_up() == 0
    new = Keyring(["another-key-of-more-than-32-characters!", KEY])
    async with state.database.transaction() as session:
        assert (await rotation.rotate(session, new, state.registry)).count == 2
    state.keyring, service.auth = new, reachable
    before = (await server.set())["revoked"]
    await soon(state)
    assert await clean_up() == 1
    assert (await server.set())["revoked"] == before + 1


async def test_after_three_days_it_is_given_up_and_on_record(ann, server, state, clean_up):
    await link(ann, server)
    service = state.registry.services["vendor"]
    service.auth = replace(service.auth, revoke_url="http://127.0.0.1:2/revoke")
    pool = await state.database.pool()
    await pool.execute("delete from users where id = $1", ann.id)
    await pool.execute("update vendor_cleanups set created_at = now() - interval '73 hours'")
    await clean_up()
    assert not await rows(state, "select * from vendor_cleanups")
    ((action, _, detail),) = await told(state)
    assert (action, detail["outcome"]) == ("vendor.revoke", "refused")
    assert detail["error"]


async def test_what_another_account_replaces_is_revoked(ann, server, state, clean_up):
    await link(ann, server)
    before = (await server.set())["revoked"]
    await link(ann, server)
    assert await clean_up() == 0, "the same account"
    await link(ann, server, "bob")
    assert await clean_up() == 1
    assert (await server.set())["revoked"] == before + 1
    assert (await ann.post("/api/connections/vendor/test")).json()["works"]
