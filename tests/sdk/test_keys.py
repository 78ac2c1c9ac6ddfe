"""Credentials for addresses that users choose: what is sent, where it is sent, and what a trial proves."""

import base64

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from area import connections
from area.connectors.http import service as http_service
from area.kit.http import Client
from area.kit.net import Guard
from area.sdk import AuthExpired, Permanent
from area.sdk.keys import ApiKey, FeedKey, Login, lift, split

KEYS = {
    "bearer": {"token": "canary-token"},
    "basic": {"user": "ann", "password": "canary-password"},
    "header": {"name": "X-Api-Key", "value": "canary-header"},
    "query": {"name": "api_key", "value": "canary-query"},
}
PAIR = base64.b64encode(b"ann:canary-password").decode()
SENT = {
    "bearer": ("authorization", "Bearer canary-token"),
    "basic": ("authorization", f"Basic {PAIR}"),
    "header": ("x-api-key", "canary-header"),
    "query": ("api_key", "canary-query"),
}


class Site:
    """A server that keeps what it was sent. It lets in who has one of the keys, or everybody."""

    def __init__(self):
        self.seen = []
        self.open = False
        self.elsewhere = ""
        self.tokens = 0
        self.good = "token-1"

    def app(self):
        app = web.Application()
        app.router.add_post("/token", self.token)
        app.router.add_get("/away", self.away)
        app.router.add_route("*", "/{rest:.*}", self.any)
        return app

    async def any(self, request):
        sent = {name.lower(): value for name, value in request.headers.items()} | dict(request.query)
        self.seen.append(sent)
        known = {*SENT.values(), ("authorization", f"Bearer {self.good}")}
        if self.open or known & set(sent.items()):
            return web.json_response({"ok": True})
        return web.json_response({"error": "no"}, status=401)

    async def away(self, request):
        raise web.HTTPFound(self.elsewhere)

    async def token(self, request):
        form = await request.post()
        self.seen.append(dict(form))
        if form.get("client_secret") != "canary-client":
            return web.json_response({"error": "invalid_client"}, status=401)
        self.tokens += 1
        return web.json_response({"access_token": f"token-{self.tokens}", "token_type": "bearer", "expires_in": 3600})


@pytest.fixture
async def sites():
    servers = []
    for _ in range(2):
        site = Site()
        server = TestServer(site.app())
        await server.start_server()
        site.url = f"http://127.0.0.1:{server.port}"
        servers.append(server)
        yield_site = site
        server.site = yield_site
    yield [server.site for server in servers]
    for server in servers:
        await server.close()


def key(kind, url, **changes):
    return http_service.auth.read({"kind": kind, "url": url, **KEYS[kind], **changes})


def guard():
    return Guard(["127.0.0.1"])


@pytest.fixture
async def client():
    opened = Client(guard())
    yield opened
    await opened.close()


@pytest.mark.parametrize("kind", KEYS)
async def test_each_kind_is_sent_to_its_own_address_and_nowhere_else(kind, sites, client):
    here, there = sites
    here.elsewhere = f"{there.url}/stolen"
    there.open = True
    http = http_service.http(client, http_service.fixed(key(kind, f"{here.url}/v1/me")))
    assert (await http.get(f"{here.url}/orders"))["ok"] is True
    assert SENT[kind] in here.seen[-1].items()
    with pytest.raises(Permanent, match="Choose another credential"):
        await http.request("GET", f"{there.url}/orders")
    assert there.seen == []
    if kind == "query":
        with pytest.raises(Permanent, match="redirected"):
            await http.request("GET", f"{here.url}/away")
    else:
        await http.request("GET", f"{here.url}/away")
    assert not any("canary" in str(seen) or PAIR in str(seen) for seen in there.seen)


@pytest.mark.parametrize("kind", KEYS)
async def test_a_trial_proves_what_it_says(kind, sites, client):
    here, _ = sites
    tested = await connections.try_out(client, guard(), http_service, key(kind, f"{here.url}/v1/me"))
    assert (tested.works, tested.message) == (True, None)
    wrong = {"token": "wrong", "password": "wrong", "value": "wrong"}
    provided = {name: wrong.get(name, value) for name, value in KEYS[kind].items()}
    tested = await connections.try_out(client, guard(), http_service, key(kind, f"{here.url}/v1/me", **provided))
    assert (tested.works, tested.expired) == (False, True)
    assert "401" in tested.message
    here.open = True  # whoever is let in without it proves nothing
    tested = await connections.try_out(client, guard(), http_service, key(kind, here.url, **provided))
    assert tested.works
    assert "not verified" in tested.message
    assert "wrong" not in tested.message


async def test_a_client_gets_a_token_for_its_trial(sites, client):
    here, _ = sites
    oauth2 = {"kind": "oauth2", "url": f"{here.url}/v1", "token_url": f"{here.url}/token", "client_id": "area"}
    good = http_service.auth.read({**oauth2, "client_secret": "canary-client", "scope": "orders.read  more"})
    tested = await connections.try_out(client, guard(), http_service, good)
    assert (tested.works, tested.message) == (True, None)
    assert here.seen[0]["scope"] == "orders.read more"
    bad = http_service.auth.read({**oauth2, "client_secret": "canary-wrong"})
    tested = await connections.try_out(client, guard(), http_service, bad)
    assert (tested.works, tested.expired) == (False, True)
    assert "canary" not in tested.message


async def test_over_http_it_goes_to_private_addresses_only(client, monkeypatch):
    async def public(self, host, port):
        return ["93.184.216.34"]

    monkeypatch.setattr(Guard, "resolve", public)
    tested = await connections.try_out(client, guard(), http_service, key("bearer", "http://api.example.com/"))
    assert not tested.works
    assert tested.message.startswith("Use https for api.example.com")
    oauth2 = {"kind": "oauth2", "url": "https://api.example.com/", "token_url": "http://tokens.example.com/token"}
    secret = http_service.auth.read({**oauth2, "client_id": "area", "client_secret": "canary-client"})
    tested = await connections.try_out(client, guard(), http_service, secret)
    assert (tested.works, tested.message.partition(":")[0]) == (False, "Use https for tokens.example.com")


async def test_what_is_refused_later_ends_the_connection(sites, client):
    here, _ = sites
    http = http_service.http(client, http_service.fixed(key("bearer", here.url, token="revoked")))
    with pytest.raises(AuthExpired):
        await http.call("GET", f"{here.url}/x")
    with pytest.raises(Permanent):  # without a credential a 401 is nobody's connection
        await http_service.http(client).call("GET", f"{here.url}/x")


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"kind": "bearer", "url": "https://a.example"}, "token", "Enter the token."),
        ({"kind": "basic", "url": "https://a.example", "user": "a"}, "password", "Enter the password."),
        ({"kind": "basic", "url": "https://a.example", "user": "a:b", "password": "x"}, "user", "colon"),
        ({"kind": "header", "url": "https://a.example", "name": "no good", "value": "x"}, "name", "header name"),
        ({"kind": "header", "url": "https://a.example", "name": "Host", "value": "x"}, "name", "sets this header"),
        ({"kind": "oauth2", "url": "https://a.example", "client_id": "x"}, "token_url", "token endpoint"),
        ({"kind": "bearer", "url": "a.example", "token": "x"}, "url", "full URL"),
        ({"kind": "bearer", "url": "https://u:p@a.example", "token": "x"}, "url", "from the URL"),
    ],
)
def test_what_is_missing_is_said_at_its_field(values, field, message):
    with pytest.raises(ValidationError) as caught:
        ApiKey.model_validate(values)
    text = {error["loc"][0]: error["msg"] for error in caught.value.errors()}
    assert message in text[field]


def test_calendars_and_feeds_take_fewer_kinds():
    assert "kind" not in Login.model_fields
    with pytest.raises(ValidationError):
        FeedKey.model_validate({"kind": "oauth2", "url": "https://a.example"})


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://ann:p%40ss@cal.example.org/team.ics?x=1", ("https://cal.example.org/team.ics?x=1", "p@ss")),
        ("webcal://ann:pw@cal.example.org/a", ("webcal://cal.example.org/a", "pw")),
        ("http://ann:pw@127.0.0.1:5232/a", ("http://127.0.0.1:5232/a", "pw")),
        ("http://ann:pw@radicale.lan/a", ("http://radicale.lan/a", "pw")),
        ("http://ann:pw@public.example.org/a", None),
        ("https://cal.example.org/a@b", None),
        ("https://ann@cal.example.org/", None),
        ("https://{{user}}:{{pw}}@cal.example.org/", None),
        ("https://ann:{{pw}}@cal.example.org/", None),
    ],
)
def test_a_login_is_taken_out_of_an_address(address, expected):
    result = split(address)
    if expected is None:
        assert result is None
        return
    clean, provided = result
    assert (clean, provided["password"]) == expected
    assert provided["user"] == "ann"


API = "https://api.example.com/v1?page=2"


@pytest.mark.parametrize(
    ("holds", "text", "left", "kind", "secret"),
    [
        ("headers", "Accept: a/b\nAuthorization: Bearer abc", "Accept: a/b", "bearer", "abc"),
        ("headers", f"Authorization: Basic {PAIR}", "", "basic", "canary-password"),
        ("headers", '{"X-Api-Key": "k", "Title": "t"}', '{"Title":"t"}', "header", "k"),
        ("headers", "X-Api-Key: k\nX-Other-Token: o", "X-Other-Token: o", "header", "k"),
        ("address", "https://a.example/x?api_key=a%20b&page=2", "https://a.example/x?page=2", "query", "a b"),
        ("address", "https://a.example/x?page=2&api_key=ab", "https://a.example/x?page=2", "query", "ab"),
        ("address", "https://a.example/x?api_key=ab", "https://a.example/x", "query", "ab"),
        ("headers", "Authorization: Bearer {{token}}", None, "", ""),
        ("headers", "Accept: text/plain", None, "", ""),
    ],
)
def test_a_secret_is_lifted_out_of_a_text(holds, text, left, kind, secret):
    result = lift(holds, text, text if holds == "address" else API)
    if left is None:
        assert result is None
        return
    rest, provided = result
    assert (rest, provided["kind"]) == (left, kind)
    assert secret in provided.values()
    assert ApiKey.model_validate(provided)


def test_nothing_is_lifted_for_a_host_that_is_not_known():
    for address in ("https://{{host}}/x", "http://api.example.com/", "not an address"):
        assert lift("headers", "Authorization: Bearer abc", address) is None
