"""Logging in and signing up with a provider, and whose account it is."""

import asyncio
from dataclasses import replace
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from area.accounts import providers
from area.connections import consent
from tests.api.conftest import PASSWORD
from tests.engine.conftest import rows
from tests.oauth.conftest import nowhere, register
from tests.oauth.vendor import SECRET

HTML = {"accept": "text/html"}


async def away(client, provider="vendor", **params):
    """Set out; returns the address and the cookie that binds the browser."""
    if params.pop("link", None):
        answer = await client.post(f"/api/me/logins/{provider}", {"password": PASSWORD, **params})
    else:
        answer = await client.get(f"/api/auth/{provider}/authorize", params=params)
    assert answer.status == 200, answer.body
    return answer.json()["url"], answer.header("set-cookie").partition(";")[0]


async def arrive(client, server, account="ann", provider="vendor", *, deny=False, headers=None, **params):
    """The whole way; returns the last answer."""
    url, cookie = await away(client, provider, **params)
    back = await server.browse(url, account, deny=deny)
    path = urlsplit(back.pop("address")).path
    assert path == f"/api/auth/{provider}/callback"
    return await client.get(path, params=back, headers={"cookie": cookie, **(headers or {})})


async def only_admin(nobody):
    """Somebody else is there already, so that who comes is no admin."""
    return await register(nobody, "first@example.org")


async def test_providers(nobody):
    assert (await nobody.get("/api/auth/providers")).json()["items"] == [
        {"provider": "vendor", "name": "Vendor", "icon_path": "/icons/vendor.svg"},
        {"provider": "oidc", "name": "Single sign-on", "icon_path": None},
    ]


@pytest.mark.parametrize("provider", ["vendor", "oidc"])
async def test_sign_up_and_log_in(nobody, server, state, logs, provider):
    first = await arrive(nobody, server, provider=provider)
    assert first.status == 200, first.body
    user = first.json()["user"]
    assert (user["email"], user["username"], user["has_password"]) == ("ann@example.org", "Ann", False)
    assert user["is_admin"], "the first account is"
    again = await arrive(nobody, server, provider=provider)
    assert again.json()["user"]["id"] == user["id"]
    me = nobody.as_(again.json()["token"])
    assert (await me.get("/api/me")).json()["email"] == "ann@example.org"
    (login,) = (await me.get("/api/me/logins")).json()["items"]
    assert (login["provider"], login["email"]) == (provider, "ann@example.org")
    (row,) = await rows(state, "select * from user_oauth2_accounts")
    assert row["service_account_id"] == ("ann" if provider == "vendor" else f"{server.issuer} ann")
    assert len(await rows(state, "select * from users")) == 1
    assert not await rows(state, "select * from consents")
    seen = await server.set()
    await nowhere(state, nobody, logs, SECRET, *filter(None, seen["tokens"]))


@pytest.mark.parametrize("provider", ["vendor", "oidc"])
async def test_an_answer_to_another_request_is_refused(nobody, server, provider):
    """An OpenID server repeats the nonce in its ID token; an answer without ours is to somebody else's request."""
    url, cookie = await away(nobody, provider)
    assert len(parse_qs(urlsplit(url).query)["nonce"][0]) > 20
    for nonce in ({}, {"nonce": "another"}):
        url, cookie = await away(nobody, provider)
        params = {name: value for name, value in parse_qsl(urlsplit(url).query) if name != "nonce"}
        back = await server.browse(urlsplit(url)._replace(query=urlencode(params | nonce)).geturl())
        answer = await nobody.get(urlsplit(back.pop("address")).path, params=back, headers={"cookie": cookie})
        assert answer.status == 422
        assert "the server sent an ID token for another request." in answer.json()["detail"]


async def test_a_refusal_is_shown_and_logged(nobody, logs):
    async def refused(**text):
        url, cookie = await away(nobody, "oidc")
        state = dict(parse_qsl(urlsplit(url).query))["state"]
        answer = await nobody.get(
            "/api/auth/oidc/callback", params={"state": state, **text}, headers={"cookie": cookie}
        )
        assert answer.status == 422, answer.body
        return answer.json()["detail"]

    after = "Try again; if it keeps happening, tell an administrator."
    message = {"error": "invalid_request", "error_description": "Missing 'nonce' in request."}
    assert (
        await refused(**message)
        == f"Single sign-on denied AREA access: invalid_request: Missing 'nonce' in request. {after}"
    )
    assert any("Missing 'nonce' in request." in line and "consent.refused" in line for line in logs)
    assert await refused(error="server_error") == f"Single sign-on denied AREA access: server_error. {after}"
    odd = await refused(error="x", error_description="a\x1b[31m\nb\0" + "c" * 1000)
    assert odd.startswith("Single sign-on denied AREA access: x: a [31m b\ufffdccc")
    assert len(odd) < 450
    assert await refused() == "Single sign-on sent neither a code nor an error. Try again."


async def test_a_browser_is_logged_in_and_goes_on(nobody, server):
    answer = await nobody.get("/api/auth/vendor/authorize", params={"next": "/areas/new"}, headers=HTML)
    assert answer.status == 303
    cookie = answer.header("set-cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    back = await server.browse(answer.header("location"))
    path = urlsplit(back.pop("address")).path
    answer = await nobody.get(path, params=back, headers={**HTML, "cookie": cookie.partition(";")[0]})
    assert (answer.status, answer.header("location")) == (303, "/areas/new")
    session = answer.cookie()
    assert (await nobody.get("/api/me", headers={"cookie": session})).json()["username"] == "Ann"


async def test_refused_wrong_replayed(nobody, server, state):
    answer = await arrive(nobody, server, deny=True)
    assert answer.status == 403
    assert "Nothing has changed" in answer.json()["detail"]
    answer = await arrive(nobody, server, deny=True, headers=HTML, next="/sign-in")
    assert (answer.status, answer.header("location")) == (303, "/sign-in")
    url, cookie = await away(nobody)
    back = await server.browse(url)
    back.pop("address")
    path = "/api/auth/vendor/callback"
    assert (await nobody.get(path, params=back)).status == 410, "another browser"
    assert (await nobody.get(path, params=back, headers={"cookie": "area_consent=x"})).status == 410
    assert (await nobody.get(path, params=back | {"state": "x"}, headers={"cookie": cookie})).status == 422
    assert (await nobody.get("/api/auth/oidc/callback", params=back, headers={"cookie": cookie})).status == 422
    assert (await nobody.get(path, params=back, headers={"cookie": cookie})).status == 200
    assert (await nobody.get(path, params=back, headers={"cookie": cookie})).status == 410
    assert len(await rows(state, "select * from users")) == 1
    assert (await nobody.get("/api/auth/none/authorize")).status == 404


async def test_at_the_same_time_one_account_is_made(nobody, server, state):
    answers = await asyncio.gather(*(arrive(nobody, server) for _ in range(4)))
    assert [answer.status for answer in answers] == [200] * 4
    assert len({answer.json()["user"]["id"] for answer in answers}) == 1
    assert len(await rows(state, "select * from users")) == 1


async def test_an_email_address_with_a_password_is_not_taken_over(nobody, ann, server, state):
    """Nobody has proven that the account's address is theirs: who registered with it may be anybody."""
    for provider in ("vendor", "oidc"):
        answer = await arrive(nobody, server, provider=provider)
        assert answer.status == 409
        assert "Sign in to it first" in answer.json()["detail"]
    assert not await rows(state, "select * from user_oauth2_accounts")


async def test_an_email_address_that_is_not_verified_takes_nothing_over(nobody, server, state):
    await only_admin(nobody)
    bob = await arrive(nobody, server, "bob")
    assert bob.json()["user"]["email"] == "bob@example.org"
    (row,) = await rows(state, "select * from user_oauth2_accounts")
    assert row["email"] is None, "it is no proof"
    assert (await arrive(nobody, server, "bob", "oidc")).status == 409
    # the other way round: the account's address is proven, the second provider's is not
    pool = await state.database.pool()
    await pool.execute("update user_oauth2_accounts set email = 'bob@example.org'")
    assert (await arrive(nobody, server, "bob", "oidc")).status == 409


async def test_where_addresses_are_confirmed_one_that_is_not_verified_tells_nothing(nobody, server, state):
    await only_admin(nobody)
    object.__setattr__(state.settings, "registration", "confirm")
    unknown = await arrive(nobody, server, "bob")
    pool = await state.database.pool()
    await pool.execute("update users set email = 'bob@example.org'")
    known = await arrive(nobody, server, "bob")
    assert (unknown.status, unknown.json()["detail"]) == (known.status, known.json()["detail"])
    assert "Vendor hasn't verified your e-mail address" in known.json()["detail"]
    assert (await arrive(nobody, server)).status == 200, "a verified one needs no mail"


async def test_an_email_address_that_both_have_verified_is_one_persons(nobody, server, state):
    first = await arrive(nobody, server)
    second = await arrive(nobody, server, provider="oidc")
    assert first.json()["user"]["id"] == second.json()["user"]["id"]
    assert len(await rows(state, "select * from user_oauth2_accounts")) == 2
    assert (await arrive(nobody, server, "ann2")).status == 409, (
        "another account of the same provider is another person"
    )


async def test_an_email_address_that_was_changed_afterwards_is_no_proof(nobody, server):
    bob = nobody.as_((await arrive(nobody, server, "bob")).json()["token"])
    assert (await bob.patch("/api/me", {"email": "ann@example.org"})).status == 200
    assert (await arrive(nobody, server, "ann", "oidc")).status == 409


async def test_who_is_signed_in_may_add_a_provider(nobody, ann, server, state):
    answer = await arrive(ann, server, "bob", link="true")
    assert answer.json()["token"] == ""
    assert [item["provider"] for item in (await ann.get("/api/me/logins")).json()["items"]] == ["vendor"]
    assert (await arrive(nobody, server, "bob")).json()["user"]["id"] == ann.id
    assert (await arrive(ann, server, "bob", link="true")).status == 200, "again is nothing new"
    answer = await arrive(ann, server, "ann2", link="true")
    assert answer.status == 409
    other = await register(nobody, "other@example.org")
    assert (await arrive(other, server, "bob", link="true")).status == 409, "it belongs to ann"
    for who in (nobody, ann):
        assert (await who.get("/api/auth/vendor/authorize", params={"link": "true"})).status == 403
    assert (await ann.post("/api/me/logins/vendor", {})).json()["errors"][0]["field"] == "password"
    assert (await ann.post("/api/me/logins/vendor", {"password": "wrong password"})).status == 422
    created = await ann.post("/api/me/tokens", {"name": "x", "password": PASSWORD})
    api = ann.as_(created.json()["token"])
    assert (await api.post("/api/me/logins/vendor", {"password": PASSWORD})).status == 403


async def test_a_provider_is_added_to_who_set_out(nobody, ann, server, state):
    other = await register(nobody, "other@example.org")
    url, cookie = await away(ann, link="true")
    back = await server.browse(url, "bob")
    path = urlsplit(back.pop("address")).path
    assert (await other.get(path, params=back, headers={"cookie": cookie})).status == 403
    assert not await rows(state, "select * from user_oauth2_accounts")


async def test_the_last_way_in_stays(nobody, server):
    me = nobody.as_((await arrive(nobody, server)).json()["token"])
    answer = await me.delete("/api/me/logins/vendor")
    assert answer.status == 409
    assert "only way to sign in" in answer.json()["detail"]
    await arrive(nobody, server, provider="oidc")
    answers = await asyncio.gather(me.delete("/api/me/logins/vendor"), me.delete("/api/me/logins/oidc"))
    assert sorted(answer.status for answer in answers) == [204, 409]
    (left,) = (await me.get("/api/me/logins")).json()["items"]
    assert (await me.delete(f"/api/me/logins/{left['provider']}")).status == 409
    assert (await me.post("/api/me/password", {"new_password": PASSWORD})).status == 204
    assert (await me.delete(f"/api/me/logins/{left['provider']}")).status == 204
    assert (await me.delete(f"/api/me/logins/{left['provider']}")).status == 404
    again = await nobody.post("/api/auth/login", {"login": "ann@example.org", "password": PASSWORD})
    assert again.status == 200


async def test_a_provider_is_called_otherwise_than_its_service(nobody, server, state):
    connector = state.registry.services["vendor"]
    connector.auth = replace(connector.auth, vendor="Vendors & Sons")
    assert (await nobody.get("/api/auth/providers")).json()["items"][0]["name"] == "Vendors & Sons"
    assert (
        "Vendors & Sons doesn't share your e-mail address" in (await arrive(nobody, server, "nomail")).json()["detail"]
    )
    assert "access to Vendors & Sons" in (await arrive(nobody, server, deny=True)).json()["detail"]
    me = nobody.as_((await arrive(nobody, server)).json()["token"])
    (login,) = (await me.get("/api/me/logins")).json()["items"]
    assert (login["provider"], login["name"]) == ("vendor", "Vendors & Sons")
    assert "Vendors & Sons is your only way to sign in" in (await me.delete("/api/me/logins/vendor")).json()["detail"]


async def test_a_provider_that_is_no_longer_there_is_no_way_in(nobody, server, state):
    me = nobody.as_((await arrive(nobody, server)).json()["token"])
    await arrive(nobody, server, provider="oidc")
    object.__setattr__(state.settings, "oidc_client_id", None)
    assert (await me.delete("/api/me/logins/vendor")).status == 409


async def test_registration_is_respected(nobody, server, state):
    await only_admin(nobody)
    object.__setattr__(state.settings, "registration", "closed")
    answer = await arrive(nobody, server)
    assert (answer.status, answer.json()["detail"][:22]) == (403, "Registration is closed")
    object.__setattr__(state.settings, "registration", "invite")
    assert (await arrive(nobody, server)).status == 403
    assert (await arrive(nobody, server, invitation="wrong")).status == 403
    admin = nobody.as_((await nobody.post("/api/auth/login", {"login": "first", "password": PASSWORD})).json()["token"])
    created = await admin.post("/api/admin/invitations", {})
    invitation = created.json()["token"]
    assert (await arrive(nobody, server, invitation=invitation)).status == 200
    assert (await arrive(nobody, server, "bob", invitation=invitation)).status == 403, "it was for one"
    assert (await arrive(nobody, server)).status == 200, "who has an account needs none"


async def test_the_first_account_of_a_reachable_installation_is_not_for_whoever_comes_first(nobody, server, state):
    object.__setattr__(state.settings, "host", "0.0.0.0")
    answer = await arrive(nobody, server)
    assert answer.status == 403
    assert "the set-up code" in answer.json()["detail"]
    assert not await rows(state, "select * from users")


async def test_who_tells_no_email_address_is_told_what_to_do(nobody, server, state):
    answer = await arrive(nobody, server, "nomail")
    assert answer.status == 422
    assert "doesn't share your e-mail address" in answer.json()["detail"]
    assert not await rows(state, "select * from users")


async def test_a_disabled_account_stays_out(nobody, server, state):
    await only_admin(nobody)
    await arrive(nobody, server)
    pool = await state.database.pool()
    await pool.execute("update users set is_active = false where email = 'ann@example.org'")
    answer = await arrive(nobody, server)
    assert (answer.status, answer.json()["detail"]) == (403, "This account is disabled. Ask an administrator.")


async def test_a_taken_username_gets_a_number(nobody, server):
    answer = await nobody.post(
        "/api/auth/register", {"email": "x@example.org", "username": "ANN", "password": PASSWORD}
    )
    assert answer.status == 201
    assert (await arrive(nobody, server)).json()["user"]["username"] == "Ann2"


async def test_an_issuer_that_is_not_what_it_says(nobody, state, monkeypatch):
    monkeypatch.setattr(providers, "_discovered", {})
    object.__setattr__(state.settings, "oidc_issuer", "http://127.0.0.1:2")
    answer = await nobody.get("/api/auth/oidc/authorize")
    assert answer.status == 409
    assert "The sign-in provider is unavailable" in answer.json()["detail"]


async def test_administrators_see_what_to_register(ann, nobody, server):
    vendor, issuer = (await ann.get("/api/admin/clients")).json()["items"]
    assert vendor["redirect_uri"] == "http://testserver.localhost/api/auth/vendor/callback"
    assert issuer["redirect_uri"] == "http://testserver.localhost/api/auth/oidc/callback"
    assert vendor["variables"] == ["AREA_VENDOR_CLIENT_ID", "AREA_VENDOR_CLIENT_SECRET"]
    assert (vendor["configured"], issuer["configured"]) == (True, True)
    other = await register(nobody, "other@example.org")
    assert (await other.get("/api/admin/clients")).status == 403


async def test_log_in_asks_for_little(nobody):
    url, _ = await away(nobody)
    query = parse_qs(urlsplit(url).query)
    assert query["scope"] == ["openid email profile"]
    assert "prompt" not in query, "it is for connections, to get tokens that last"
    assert query["redirect_uri"] == ["http://testserver.localhost/api/auth/vendor/callback"]


async def test_who_sets_out_again_and_again_is_stopped(nobody, state, monkeypatch):
    monkeypatch.setattr(consent, "MOST_UNDER_WAY", 3)
    for _ in range(3):
        await away(nobody)
    answer = await nobody.get("/api/auth/vendor/authorize")
    assert (answer.status, answer.header("retry-after")) == (429, "60")
    elsewhere = type(nobody)(nobody.app, address="192.0.2.77", told=nobody.told)
    assert (await elsewhere.get("/api/auth/vendor/authorize")).status == 200
