"""Connecting a service at its own site, against a real authorization server."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from area import rotation
from area.connections import grants
from area.connections.consent import GOOD_FOR
from area.connections.vault import Ref
from area.kit import oauth2
from area.kit.crypto import Keyring
from tests.api.conftest import PASSWORD
from tests.engine.conftest import rows
from tests.oauth.conftest import link, nowhere, register
from tests.oauth.vendor import KEY, SECRET

BACK = "/api/auth/vendor/callback"


async def away(client, **params):
    answer = await client.get("/api/connections/vendor/authorize", params=params)
    assert answer.status == 200, answer.body
    return answer.json()["url"]


def part(url, name):
    return parse_qs(urlsplit(url).query)[name][0]


async def test_link(ann, server, state, logs):
    (before,) = (await ann.get("/api/connections")).json()["items"]
    assert (before["kind"], before["available"], before["connected"]) == ("oauth2", True, False)
    url = await away(ann)
    assert part(url, "code_challenge_method") == "S256"
    assert part(url, "redirect_uri") == "http://testserver.localhost/api/auth/vendor/callback"
    assert part(url, "scope") == "openid offline_access profile"
    back = await server.browse(url)
    assert back.pop("address") == "http://testserver.localhost/api/auth/vendor/callback"
    view = (await ann.get(BACK, params=back)).json()
    assert (view["connected"], view["status"], view["account"]) == (True, "works", "Ann")
    assert view["scopes"] == ["openid", "offline_access", "profile"]
    assert view["fields"] == []
    (row,) = await rows(state, "select * from user_services")
    assert row["oauth_token"].startswith("v1.")
    assert row["refresh_token"].startswith("v1.")
    tokens = (await server.set())["tokens"]
    keyring = Keyring([KEY])
    assert keyring.decrypt(row["oauth_token"], f"{ann.id}|vendor|oauth_token") in tokens
    assert keyring.decrypt(row["refresh_token"], f"{ann.id}|vendor|refresh_token") in tokens
    assert (await ann.post("/api/connections/vendor/test")).json()["works"]
    await nowhere(state, ann, logs, SECRET, back["code"], *filter(None, tokens))


async def test_a_browser_is_sent_there_and_back_to_where_it_was(ann, server):
    html = {"accept": "text/html,*/*"}
    answer = await ann.get("/api/connections/vendor/authorize", params={"next": "/services?x=1"}, headers=html)
    assert answer.status == 303
    back = await server.browse(answer.header("location"))
    answer = await ann.get(urlsplit(back.pop("address")).path, params=back, headers=html)
    assert (answer.status, answer.header("location")) == (303, "/services?x=1")


@pytest.mark.parametrize("next_", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x"])
async def test_it_leads_back_to_pages_of_ours_only(ann, server, next_):
    back = await server.browse(await away(ann, next=next_))
    answer = await ann.get(urlsplit(back.pop("address")).path, params=back, headers={"accept": "text/html"})
    assert (answer.status, answer.header("location")) == (303, "/")


async def test_consent_refused(ann, server, state):
    back = await server.browse(await away(ann, next="/services"), deny=True)
    back.pop("address")
    assert back["error"] == "access_denied"
    answer = await ann.get(BACK, params=back)
    assert answer.status == 403
    assert answer.json()["detail"] == "You didn't give AREA access to Vendor. Nothing has changed."
    assert not await rows(state, "select * from user_services")
    assert not await rows(state, "select * from consents"), "the state is used up all the same"
    back = await server.browse(await away(ann, next="/services"), deny=True)
    back.pop("address")
    answer = await ann.get(BACK, params=back, headers={"accept": "text/html"})
    assert (answer.status, answer.header("location")) == (303, "/services")
    assert "You%20didn" in answer.header("set-cookie")


async def test_wrong_and_missing_state(ann, server, state):
    url = await away(ann)
    back = await server.browse(url)
    good = back["state"]
    for wrong in ("", "x", good[:-2] + ("AA" if not good.endswith("AA") else "BB"), "ä" * 50, good.replace(".", "")):
        answer = await ann.get(BACK, params=back | {"state": wrong})
        assert answer.status == 422, wrong
        assert "Start again" in answer.json()["detail"]
    assert not await rows(state, "select * from user_services")
    assert (await ann.get(BACK, params=back)).status == 200, "what others tried took nothing away"


async def test_a_state_is_good_once_and_so_is_a_code(ann, server):
    back = await server.browse(await away(ann))
    assert (await ann.get(BACK, params=back)).status == 200
    assert (await ann.get(BACK, params=back)).status == 410
    other = part(await away(ann), "state")
    answer = await ann.get(BACK, params=back | {"state": other})  # the old code with a new state
    assert answer.status == 422
    assert "127.0.0.1" in answer.json()["detail"]
    assert "invalid_grant" in answer.json()["detail"]


async def test_a_state_belongs_to_its_session(ann, server, nobody, state):
    back = await server.browse(await away(ann))
    bob = await register(nobody, "bob@example.org")
    assert (await bob.get(BACK, params=back)).status == 410
    again = await nobody.post("/api/auth/login", {"login": "ann@example.org", "password": "correct horse battery"})
    assert (await nobody.as_(again.json()["token"]).get(BACK, params=back)).status == 410, "another session of ann's"
    assert (await nobody.get(BACK, params=back)).status == 401
    assert not await rows(state, "select * from user_services")
    assert (await ann.get(BACK, params=back)).status == 200


async def test_a_state_ends_after_ten_minutes(ann, server, state):
    back = await server.browse(await away(ann))
    pool = await state.database.pool()
    await pool.execute("update consents set expires_at = now()")
    assert (await ann.get(BACK, params=back)).status == 410
    late = Keyring([KEY]).sign("connect vendor x", f"consent http://testserver.localhost{BACK}", -1)
    assert (await ann.get(BACK, params=back | {"state": late})).status == 410
    assert timedelta(minutes=10) == GOOD_FOR


async def test_a_state_for_one_vendor_is_none_for_another(ann, server):
    back = await server.browse(await away(ann))
    back.pop("address")
    assert (await ann.get("/api/auth/oidc/callback", params=back)).status == 422
    assert (await ann.get(BACK, params=back)).status == 200


async def test_who_connects_and_who_logs_in_come_back_to_one_address(ann, server, state):
    connecting = await ann.get("/api/connections/vendor/authorize")
    logging_in = await ann.post("/api/me/logins/vendor", {"password": PASSWORD})
    cookie = logging_in.header("set-cookie").partition(";")[0]
    connected, logged_in = [await server.browse(answer.json()["url"]) for answer in (connecting, logging_in)]
    assert connected.pop("address") == logged_in.pop("address") == f"http://testserver.localhost{BACK}"
    assert (await ann.get(BACK, params=logged_in)).status == 410, "without the browser's cookie"
    answer = await ann.get(BACK, params=logged_in, headers={"cookie": cookie})
    assert (answer.status, answer.json()["token"], answer.json()["user"]["id"]) == (200, "", ann.id)
    assert not await rows(state, "select * from user_services")
    answer = await ann.get(BACK, params=connected, headers={"cookie": cookie})
    assert (answer.status, answer.json()["service"], answer.json()["connected"]) == (200, "vendor", True)
    assert len(await rows(state, "select * from user_oauth2_accounts")) == 1


async def test_the_services_of_one_registration_have_one_address(ann, state):
    vendor, probe = state.registry.services["vendor"], state.registry.services["probe"]
    probe.auth = replace(vendor.auth, client="vendor", login_scopes=None)
    answer = await ann.get("/api/connections/probe/authorize")
    assert part(answer.json()["url"], "redirect_uri") == f"http://testserver.localhost{BACK}"


async def test_the_server_wants_pkce_and_the_exact_address(ann, server):
    url = await away(ann)
    parts = urlsplit(url)
    params = {name: value[0] for name, value in parse_qs(parts.query).items()}
    without = {name: value for name, value in params.items() if not name.startswith("code_challenge")}
    back = await server.browse(parts._replace(query=urlencode(without)).geturl())
    assert back["error"] == "invalid_request"
    back.pop("address")
    answer = await ann.get(BACK, params=back)
    assert answer.status == 422
    assert "denied AREA access" in answer.json()["detail"]
    wrong = params | {"redirect_uri": params["redirect_uri"] + "/"}
    with pytest.raises(AssertionError, match="redirect_uri"):
        await server.browse(parts._replace(query=urlencode(wrong)).geturl())


async def test_a_client_that_receives_the_code_itself(ann, server, state, logs):
    verifier = oauth2.verifier()
    request = {
        "redirect_uri": "https://app.example.org/back",
        "code_challenge": oauth2.challenge(verifier),
        "state": "mine",
    }
    back = await server.browse(await away(ann, **request))
    assert (back["address"], back["state"]) == ("https://app.example.org/back", "mine")
    provided = {"code": back["code"], "redirect_uri": back["address"], "code_verifier": verifier}
    for wrong in ({"code_verifier": oauth2.verifier()}, {"redirect_uri": "https://app.example.org/other"}):
        again = await server.browse(await away(ann, **request))
        answer = await ann.post("/api/connections/vendor", provided | {"code": again["code"]} | wrong)
        assert answer.status == 422, wrong
        assert "invalid_grant" in answer.json()["detail"]
    answer = await ann.post("/api/connections/vendor", provided | {"more": 1, "code": None})
    assert {error["field"] for error in answer.json()["errors"]} == {"code", "more"}
    view = (await ann.post("/api/connections/vendor", provided)).json()
    assert (view["connected"], view["account"]) == (True, "Ann")
    assert (await ann.post("/api/connections/vendor", provided)).status == 422, "a code is good once"
    # the server ends the whole grant when a code is used twice, and the user is told
    tested = (await ann.post("/api/connections/vendor/test")).json()
    assert (tested["works"], tested["expired"]) == (False, True)
    assert (await ann.get("/api/connections/vendor")).json()["status"] == "expired"
    answer = await ann.get("/api/connections/vendor/authorize", params={"redirect_uri": "https://app.example.org/back"})
    assert answer.json()["errors"][0]["field"] == "code_challenge"
    await nowhere(state, ann, logs, back["code"], verifier, SECRET)


async def test_consent_grows_with_what_is_needed(ann, server):
    await link(ann, server)
    url = await away(ann, component="vendor.tell")
    assert part(url, "scope").split() == ["openid", "offline_access", "profile", "write"]
    view = await link(ann, server, component="vendor.tell")
    assert "write" in view["scopes"]
    assert "write" in part(await away(ann), "scope"), "what was granted is asked for again"
    answer = await ann.get("/api/connections/vendor/authorize", params={"component": "vendor.none"})
    assert answer.status == 422


async def test_disconnecting_revokes(ann, server, state, clean_up):
    await link(ann, server)
    async with state.database.sessions() as session:
        stored = await grants.stored(session, state.keyring, state.registry.services["vendor"], Ref(ann.id, "vendor"))
    before = (await server.set())["revoked"]
    assert (await ann.delete("/api/connections/vendor")).json() == {"areas": []}
    await clean_up()
    assert (await server.set())["revoked"] == before + 1
    assert not await rows(state, "select * from user_services")
    assert not await rows(state, "select * from connection_states")
    auth = state.registry.services["vendor"].auth
    with pytest.raises(oauth2.GrantFailed) as caught:
        await oauth2.refresh(state.client, auth.server, state.settings.client("vendor"), stored.refresh)
    assert caught.value.refused


@pytest.mark.parametrize("over", [False, True])
async def test_a_revocation_by_the_token_itself_is_done_with_a_good_one(ann, server, state, over):
    async def end(request: web.Request) -> web.Response:
        """The vendor's endpoint, to which a token that is over is none."""
        seen = {"authorization": request.headers["authorization"]}
        async with server.http.get(f"{server.issuer}/me", headers=seen) as me:
            return web.Response(status=me.status)

    door = web.Application()
    door.router.add_post("/revoke", end)
    vendor = state.registry.services["vendor"]
    await link(ann, server)
    if over:
        await server.end_access()
        pool = await state.database.pool()
        await pool.execute("update user_services set token_expires_at = now() at time zone 'utc' - interval '1 second'")
    async with state.database.sessions() as session:
        stored = await grants.stored(session, state.keyring, vendor, Ref(ann.id, vendor.slug))
    assert stored.over == over
    async with TestServer(door) as there:
        quirks = replace(vendor.auth.quirks, revoke_auth="token")
        auth = replace(vendor.auth, quirks=quirks, revoke_url=str(there.make_url("/revoke")))
        await grants.revoke(state.client, auth, state.settings.client("vendor"), stored)


async def test_what_would_end_the_connection_of_another_service_is_not_revoked(ann, server, state, clean_up):
    vendor, other = state.registry.services["vendor"], state.registry.services["probe"]
    vendor.auth = replace(vendor.auth, quirks=replace(vendor.auth.quirks, revokes_all=True))
    other.auth = replace(vendor.auth, client="vendor")
    pool = await state.database.pool()
    before = (await server.set())["revoked"]
    await link(ann, server)
    await pool.execute(
        "insert into user_services (user_id, service_id) select $1, id from services where name = 'Probe'", ann.id
    )
    assert (await ann.delete("/api/connections/vendor")).status == 200
    await clean_up()
    assert (await server.set())["revoked"] == before
    await link(ann, server)
    await pool.execute("delete from user_services using services where id = service_id and name = 'Probe'")
    assert (await ann.delete("/api/connections/vendor")).status == 200
    await clean_up()
    assert (await server.set())["revoked"] == before + 1, "nothing else needs it"


async def test_rotated_keys_open_tokens(ann, server, state):
    await link(ann, server)
    new = "another-key-of-more-than-32-characters!"
    keyring = Keyring([new, KEY])
    async with state.database.transaction() as session:
        assert (await rotation.rotate(session, keyring, state.registry)).count == 2
    state.keyring = Keyring([new])
    assert (await ann.post("/api/connections/vendor/test")).json()["works"]


async def test_a_vendor_that_knows_no_area_here(ann, state):
    object.__setattr__(state.settings, "clients", {})
    (view,) = (await ann.get("/api/connections")).json()["items"]
    assert view["available"] is False
    answer = await ann.get("/api/connections/vendor/authorize")
    assert answer.status == 409
    assert "administrator" in answer.json()["detail"]


async def test_a_foreign_page_can_not_set_out(ann):
    answer = await ann.get("/api/connections/vendor/authorize", headers={"sec-fetch-site": "cross-site"})
    assert answer.status == 403
    answer = await ann.get("/api/auth/vendor/authorize", headers={"sec-fetch-site": "cross-site"})
    assert answer.status == 403
