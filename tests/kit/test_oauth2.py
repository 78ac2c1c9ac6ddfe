"""How vendors differ, each difference against a server that has it."""

import base64
import hashlib
import json
from urllib.parse import parse_qs, parse_qsl, urlsplit

import jwt
import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import SecretStr

from area.kit import oauth2
from area.kit.http import Client
from area.kit.keys import Keys
from area.kit.net import Guard
from area.kit.oauth2 import GrantFailed, Quirks, Server

KEYS = Keys("the id", SecretStr("s:e/c r+e%t"))
GOOD = {"access_token": "new-access-token", "token_type": "bearer"}


class Vendor:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self):
        self.status, self.answer, self.headers = 200, GOOD, {}
        self.form, self.asked = {}, {}

    async def token(self, request):
        body, self.asked = await request.text(), dict(request.headers)
        self.form = json.loads(body) if request.content_type == "application/json" else dict(parse_qsl(body))
        if isinstance(self.answer, str):
            return web.Response(status=self.status, text=self.answer, headers=self.headers)
        return web.json_response(self.answer, status=self.status, headers=self.headers)

    async def deleted(self, request):
        self.form, self.asked = await request.json(), dict(request.headers)
        return web.Response(status=self.status)


@pytest_asyncio.fixture
async def vendor():
    vendor = Vendor()
    app = web.Application()
    app.router.add_post("/token", vendor.token)
    app.router.add_post("/revoke", vendor.token)
    app.router.add_delete("/clients/{client_id}/token", vendor.deleted)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    vendor.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    vendor.client = Client(Guard(["127.0.0.1"]))
    yield vendor
    await vendor.client.close()
    await runner.cleanup()


async def refresh(vendor, **quirks):
    server = Server("https://a.example/go", f"{vendor.url}/token", f"{vendor.url}/revoke", Quirks(**quirks))
    return await oauth2.refresh(vendor.client, server, KEYS, SecretStr("old-refresh-token"))


async def test_a_client_proves_itself_in_the_header(vendor):
    grant = await refresh(vendor)
    assert vendor.form == {"grant_type": "refresh_token", "refresh_token": "old-refresh-token"}
    kind, _, value = vendor.asked["Authorization"].partition(" ")
    assert (kind, base64.b64decode(value)) == ("Basic", b"the+id:s%3Ae%2Fc+r%2Be%25t")
    assert vendor.asked["Accept"] == "application/json"
    assert (grant.access.get_secret_value(), grant.refresh, grant.lifetime, grant.scopes) == (
        "new-access-token",
        None,
        None,
        None,
    )


async def test_or_in_the_form(vendor):
    await refresh(vendor, client_auth="post", token_params={"audience": "x"}, token_headers={"X-Version": "2"})
    assert "Authorization" not in vendor.asked
    assert vendor.form["client_id"], vendor.form["client_secret"] == (KEYS.id, KEYS.secret.get_secret_value())
    assert (vendor.form["audience"], vendor.asked["X-Version"]) == ("x", "2")


async def test_a_token_of_ones_own_is_asked_for_with_nothing_else(vendor):
    server = Server("https://a.example/go", f"{vendor.url}/token", quirks=Quirks(client_auth="post"))
    grant = await oauth2.client_credentials(vendor.client, server, KEYS)
    assert grant.access.get_secret_value() == "new-access-token"
    assert vendor.form == {"grant_type": "client_credentials", "client_id": "the id", "client_secret": "s:e/c r+e%t"}


async def test_or_as_json(vendor):
    await refresh(vendor, token_json=True)
    assert vendor.asked["Content-Type"] == "application/json"
    assert vendor.asked["Authorization"].startswith("Basic ")
    assert vendor.form == {"grant_type": "refresh_token", "refresh_token": "old-refresh-token"}
    server = Server("https://a.example/go", f"{vendor.url}/token", f"{vendor.url}/revoke", Quirks(token_json=True))
    await oauth2.revoke(vendor.client, server, KEYS, SecretStr("old"), "access_token")
    assert vendor.form == {"token": "old"}


@pytest.mark.parametrize(
    ("values", "lifetime"),
    [(3600, 3600), ("3600", 3600), (None, None), (0, None), (-1, None), ("soon", None), (1e300, None)],
)
async def test_how_long_it_lasts(vendor, values, lifetime):
    vendor.answer = GOOD | {"expires_in": values}
    assert (await refresh(vendor)).lifetime == lifetime
    assert (await refresh(vendor, lifetime=60)).lifetime == (lifetime or 60)


@pytest.mark.parametrize("values", ["a b", "a,b", "a, b", ["a", "b"]])
async def test_scopes_however_they_are_written(vendor, values):
    vendor.answer = GOOD | {"scope": values, "refresh_token": "next"}
    grant = await refresh(vendor)
    assert grant.scopes == ("a", "b")
    assert grant.refresh.get_secret_value() == "next"


@pytest.mark.parametrize(
    ("status", "answer", "quirks", "code", "refused"),
    [
        (400, {"error": "invalid_grant"}, {}, "invalid_grant", True),
        (401, {"error": "invalid_client"}, {}, "invalid_client", False),
        (200, {"error": "bad_refresh_token"}, {"refused": frozenset({"bad_refresh_token"})}, "bad_refresh_token", True),
        (200, {"ok": False, "error": "ratelimited"}, {}, "ratelimited", False),
        (200, {"error": {"type": "x"}}, {}, "error", False),
        (200, {"err": "gone"}, {"error_field": "err", "refused": frozenset({"gone"})}, "gone", True),
        (
            400,
            {"message": "No such token"},
            {"error_field": "message", "refused": frozenset({"No such token"})},
            "No such token",
            True,
        ),
        (503, "come back later", {}, "", False),
        (200, "<html>", {}, "", False),
        (200, {"access_token": ""}, {}, "", False),
        (200, {"access_token": 7}, {}, "", False),
        (200, ["x"], {}, "", False),
        (302, GOOD, {}, "", False),
    ],
)
async def test_refusals(vendor, status, answer, quirks, code, refused):
    vendor.status, vendor.answer, vendor.headers = status, answer, {"location": "/elsewhere"} if status == 302 else {}
    with pytest.raises(GrantFailed) as caught:
        await refresh(vendor, **quirks)
    assert (caught.value.code, caught.value.refused) == (code, refused)
    assert str(caught.value).startswith("127.0.0.1")


async def test_no_message_repeats_what_the_vendor_says(vendor):
    text = "old-refresh-token is not good for s:e/c r+e%t"
    for answer in (
        {"error": text, "error_description": text},
        {"error": "invalid_grant", "error_description": text},
        text,
    ):
        vendor.status, vendor.answer = 400, answer
        with pytest.raises(GrantFailed) as caught:
            await refresh(vendor)
        assert "old-refresh-token" not in str(caught.value)
        assert "s:e/c" not in str(caught.value)


async def test_a_form_as_an_answer(vendor):
    vendor.answer, vendor.headers = (
        "access_token=abc&expires_in=60",
        {"content-type": "application/x-www-form-urlencoded"},
    )
    grant = await refresh(vendor)
    assert (grant.access.get_secret_value(), grant.lifetime) == ("abc", 60)


async def test_a_vendor_that_is_away(vendor):
    server = Server("https://a.example/go", "http://127.0.0.1:2/token")
    with pytest.raises(GrantFailed, match="refused the connection") as caught:
        await oauth2.refresh(vendor.client, server, KEYS, SecretStr("x"))
    assert not caught.value.refused
    with pytest.raises(GrantFailed):
        await oauth2.refresh(vendor.client, Server("x", "http://10.0.0.1/token"), KEYS, SecretStr("x"))


async def test_revocation(vendor):
    server = Server("https://a.example/go", f"{vendor.url}/token", f"{vendor.url}/revoke")
    await oauth2.revoke(vendor.client, server, KEYS, SecretStr("a-token"), "refresh_token")
    assert vendor.form == {"token": "a-token", "token_type_hint": "refresh_token"}
    vendor.status = 503
    with pytest.raises(GrantFailed):
        await oauth2.revoke(vendor.client, server, KEYS, SecretStr("a-token"), "refresh_token")


async def test_a_revocation_is_proven_otherwise_where_the_vendor_wants_it(vendor):
    where = "https://a.example/go", f"{vendor.url}/token", f"{vendor.url}/revoke"
    server = Server(*where, Quirks(client_auth="post", revoke_auth="basic"))
    await oauth2.revoke(vendor.client, server, KEYS, SecretStr("a-token"), "access_token")
    assert vendor.asked["Authorization"].startswith("Basic ")
    assert vendor.form == {"token": "a-token", "token_type_hint": "access_token"}
    server = Server(*where, Quirks(revoke_auth="token"))
    await oauth2.revoke(vendor.client, server, KEYS, SecretStr("a-token"), "access_token")
    assert (vendor.asked["Authorization"], vendor.form) == ("Bearer a-token", None)
    vendor.status = 401
    with pytest.raises(GrantFailed, match="401"):
        await oauth2.revoke(vendor.client, server, KEYS, SecretStr("a-token"), "access_token")


def test_where_the_user_agrees():
    quirks = Quirks(scope_separator=",", authorize_params={"access_type": "offline"})
    verifier = oauth2.verifier()
    address = oauth2.authorization_address(
        Server("https://a.example/go?tenant=1", "x", quirks=quirks), "the id",
        redirect_uri="https://b.example/back", state="s", challenge=oauth2.challenge(verifier), scopes=("a", "b"),
    )  # fmt: skip
    query = {name: value[0] for name, value in parse_qs(urlsplit(address).query).items()}
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    assert query == {
        "tenant": "1", "response_type": "code", "client_id": "the id", "redirect_uri": "https://b.example/back",
        "state": "s", "scope": "a,b", "code_challenge": digest, "code_challenge_method": "S256", "access_type": "offline",
    }  # fmt: skip
    assert 43 <= len(verifier) <= 128
    plain = oauth2.authorization_address(
        Server("https://a.example/go", "x", quirks=Quirks(pkce=False)), "i",
        redirect_uri="r", state="s", challenge="c", scopes=(),
    )  # fmt: skip
    assert "challenge" not in plain
    assert "scope" not in plain
    assert KEYS.secret.get_secret_value() not in repr(KEYS)


@pytest.mark.parametrize(
    ("claims", "wrong"),
    [
        ({"aud": "the id", "nonce": "n"}, ""),
        ({"nonce": "n"}, ""),
        ({"aud": "the id", "nonce": "m"}, "another request"),
        ({"aud": "the id"}, "another request"),
        (None, "can't be read"),
    ],
)
async def test_an_id_token_must_answer_the_request(vendor, claims, wrong):
    server = Server("https://a.example/go", f"{vendor.url}/token")
    where = {"redirect_uri": "r", "state": "s", "challenge": "c", "scopes": ("openid",)}
    address = oauth2.authorization_address(server, KEYS.id, **where, nonce="n")
    assert parse_qs(urlsplit(address).query)["nonce"] == ["n"]
    token = "x.y.z" if claims is None else jwt.encode(claims, "a key of no matter that is long enough", "HS256")
    vendor.answer = GOOD | {"id_token": token}

    async def exchange(nonce):
        how = {"code": "c", "redirect_uri": "r", "verifier": "v", "nonce": nonce}
        return await oauth2.exchange(vendor.client, server, KEYS, **how)

    assert (await exchange("")).access.get_secret_value() == GOOD["access_token"]
    if wrong:
        with pytest.raises(GrantFailed, match=wrong) as caught:
            await exchange("n")
        assert token not in str(caught.value)
    else:
        assert token not in repr(await exchange("n"))


async def test_github_is_told_with_delete_that_a_token_is_over(vendor):
    server = Server("https://a.example/go", f"{vendor.url}/token", vendor.url + "/clients/{client_id}/token")
    keys, vendor.status = Keys("id", SecretStr("secret")), 204
    await oauth2.revoke(vendor.client, server, keys, SecretStr("a-token"), "access_token")
    assert vendor.form == {"access_token": "a-token"}
    assert base64.b64decode(vendor.asked["Authorization"].partition(" ")[2]) == b"id:secret"
    vendor.status = 422
    with pytest.raises(GrantFailed, match="422"):
        await oauth2.revoke(vendor.client, server, keys, SecretStr("a-token"), "access_token")


async def test_a_scope_may_stand_for_others(vendor):
    vendor.answer = GOOD | {"scope": "repo,gist"}
    implied = {"repo": ("public_repo",), "user": ("user:email",)}
    assert (await refresh(vendor, implied=implied)).scopes == ("repo", "gist", "public_repo")
    assert (await refresh(vendor)).scopes == ("repo", "gist")
