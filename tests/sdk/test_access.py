"""What lets a connector's requests in goes to the service's own hosts, and into nothing else."""

import json
import time
from dataclasses import replace

import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import SecretStr

from area.connections import registrations
from area.kit.http import Client
from area.kit.net import Guard
from area.kit.oauth2 import Quirks
from area.sdk import (
    Access,
    Account,
    AuthExpired,
    Context,
    Credentials,
    Http,
    Nothing,
    OAuth2,
    Permanent,
    Retry,
    Service,
)
from area.sdk.http import Fixed

KEY = "k3y-that-nobody-may-see"


async def echo(request):
    return web.json_response(
        {
            "auth": request.headers.getall("authorization", []),
            "query": dict(request.query),
            "key": request.headers.get("x-key"),
        }
    )


async def redirect(request):
    raise web.HTTPFound(request.query["to"])


async def refuse(request):
    sent = request.headers.get("authorization", "") + request.query.get("key", "")
    return web.Response(status=int(request.match_info["status"]), text=f"no good: {sent}")


async def limit(request):
    return web.Response(status=403, text=request.query.get("said", ""), headers=json.loads(request.query["headers"]))


@pytest_asyncio.fixture
async def hosts():
    """Two servers, the service's own and a foreign one."""
    runners, results = [], []
    for _ in range(2):
        app = web.Application()
        app.router.add_get("/echo", echo)
        app.router.add_get("/redirect", redirect)
        app.router.add_get("/refuse/{status}", refuse)
        app.router.add_get("/limit", limit)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        runners.append(runner)
        results.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield results
    for runner in runners:
        await runner.cleanup()


@pytest_asyncio.fixture
async def client():
    client = Client(Guard(["127.0.0.1"]))
    yield client
    await client.close()


BEARER = Access(headers={"Authorization": f"Bearer {KEY}"})


async def sent(http, url, **more):
    return (await http.get(url, **more))["auth"]


async def test_it_goes_to_the_own_host_however_it_is_written(client, hosts):
    own, _ = hosts
    http = Http(client, own, authority=Fixed(BEARER))
    assert await sent(http, "/echo") == [f"Bearer {KEY}"]
    assert await sent(http, f"{own}/echo") == [f"Bearer {KEY}"]
    assert await sent(http, f"{own.replace('http', 'HTTP')}/echo#x") == [f"Bearer {KEY}"]


async def test_it_goes_nowhere_else(client, hosts):
    own, foreign = hosts
    http = Http(client, own, authority=Fixed(BEARER))
    port = own.rpartition(":")[2]
    assert await sent(http, f"{foreign}/echo") == []
    assert await sent(http, f"{foreign}/echo?x={own}/") == []
    assert await sent(http, f"{own}/echo?to={foreign}") == [f"Bearer {KEY}"]
    assert await sent(http, f"http://localhost:{port}/echo") == [], "another name is another host"
    tricked = await sent(http, f"http://127.0.0.1:{port}@{foreign.partition('//')[2]}/echo")
    assert KEY not in str(tricked)


async def test_it_goes_along_with_no_redirect_to_elsewhere(client, hosts):
    own, foreign = hosts
    http = Http(client, own, authority=Fixed(BEARER))
    assert await sent(http, "/redirect", params={"to": "/echo"}) == [f"Bearer {KEY}"]
    assert await sent(http, "/redirect", params={"to": f"{foreign}/echo"}) == []


async def test_other_hosts_are_named(client, hosts):
    own, other = hosts
    http = Http(client, "https://api.example.org", authority=Fixed(BEARER), hosts=(own, "uploads.example.org"))
    assert await sent(http, f"{own}/echo") == [f"Bearer {KEY}"]
    assert await sent(http, f"{other}/echo") == []
    assert http._is_ours("https://uploads.example.org/x")
    assert not http._is_ours("http://uploads.example.org/x")
    assert not http._is_ours("https://uploads.example.org.evil.example/x")
    assert not http._is_ours("https://evil.example\\@uploads.example.org/x")


async def test_a_key_in_the_address(client, hosts):
    own, foreign = hosts
    http = Http(client, own, authority=Fixed(Access(params={"key": KEY})))
    response = await http.request("GET", "/echo", params={"a": "1"})
    assert response.json()["query"] == {"a": "1", "key": KEY}
    assert KEY not in response.url
    assert (await http.get(f"{foreign}/echo"))["query"] == {}
    with pytest.raises(Permanent, match="doesn't follow redirects"):
        await http.get("/redirect", params={"to": f"{foreign}/echo"})
    with pytest.raises(AuthExpired) as caught:
        await http.get("/refuse/401")
    assert KEY not in str(caught.value)


async def test_the_users_own_server(client, hosts):
    own, foreign = hosts
    http = Http(client, foreign, authority=Fixed(Access(headers={"X-Key": KEY}, base_url=own)))
    assert (await http.get("/echo"))["key"] == KEY
    assert (await http.get(f"{foreign}/echo"))["key"] is None


async def test_a_connector_can_not_send_another(client, hosts):
    own, _ = hosts
    http = Http(client, own, authority=Fixed(BEARER))
    assert await sent(http, "/echo", headers={"authorization": "Basic x"}) == [f"Bearer {KEY}"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500])
async def test_no_message_holds_it(client, hosts, status):
    own, _ = hosts
    http = Http(client, own, authority=Fixed(BEARER))
    with pytest.raises(Exception, match=str(status)) as caught:
        await http.get(f"/refuse/{status}")
    assert KEY not in str(caught.value)
    assert "no good: Bearer" in str(caught.value) or "•••" in str(caught.value)
    assert KEY not in repr(BEARER)


async def test_a_foreign_401_does_not_end_the_connection(client, hosts):
    own, foreign = hosts
    http = Http(client, own, authority=Fixed(BEARER))
    with pytest.raises(AuthExpired):
        await http.get("/refuse/401")
    with pytest.raises(Permanent):
        await http.get(f"{foreign}/refuse/401")
    with pytest.raises(Permanent):
        await http.get("/redirect", params={"to": f"{foreign}/refuse/401"})


async def lines(http, url, **options):
    return [line async for line in http.lines(url, **options)]


async def test_lines_come_with_what_lets_in_to_the_own_hosts_only(client, hosts):
    own, foreign = hosts
    http = Http(client, own, authority=Fixed(BEARER))
    assert json.loads((await lines(http, "/echo", headers={"authorization": "x"}))[0])["auth"] == [f"Bearer {KEY}"]
    assert json.loads((await lines(http, f"{foreign}/echo", params={"a": "b"}))[0]) == {
        "auth": [],
        "query": {"a": "b"},
        "key": None,
    }
    keyed = Http(client, own, authority=Fixed(Access(params={"key": KEY})))
    assert json.loads((await lines(keyed, "/echo"))[0])["query"] == {"key": KEY}


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/refuse/401", AuthExpired),
        ("/refuse/403", Permanent),
        ("/refuse/404", Permanent),
        ("/refuse/429", Retry),
        ("/refuse/503", Retry),
        ("/redirect?to=/echo", Permanent),
    ],
)
async def test_what_is_no_stream_is_one_of_the_three_errors(client, hosts, path, error):
    for access in (BEARER, Access(params={"key": KEY})):
        with pytest.raises(error) as caught:
            await lines(Http(client, hosts[0], authority=Fixed(access)), path)
        assert KEY not in str(caught.value)


async def test_a_stream_that_fails_is_one_of_the_three_errors(client, hosts, unused_tcp_port):
    with pytest.raises(Retry, match="refused the connection"):
        await lines(Http(client), f"http://127.0.0.1:{unused_tcp_port}/")
    with pytest.raises(Permanent, match=r"127\.0\.0\.2"):
        await lines(Http(client), "http://127.0.0.2/")
    with pytest.raises(Permanent, match="sent a line longer"):
        await lines(Http(client), f"{hosts[0]}/echo", longest=5)


async def test_what_is_refused_is_renewed_once(client, hosts):
    class Renewing(Fixed):
        async def renewed(self, refused, status):
            assert status == 401
            return Access(headers={"X-Key": KEY})

        def refuses(self, response):
            return response.status == 401

    async def renewable(request):
        return web.Response(status=200 if request.headers.get("X-Key") == KEY else 401, text="told")

    app = web.Application()
    app.router.add_get("/", renewable)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        http = Http(client, f"http://127.0.0.1:{runner.addresses[0][1]}", authority=Renewing(BEARER))
        assert await lines(http, "/") == ["told"]
        with pytest.raises(AuthExpired):
            await lines(Http(client, hosts[0], authority=Renewing(BEARER)), "/refuse/401")
    finally:
        await runner.cleanup()


async def test_an_address_of_the_user_that_is_none(client):
    http = Http(client, authority=Fixed(Access(headers={"X-Key": KEY}, base_url="not an address")))
    with pytest.raises(Permanent):
        await http.get("/echo")


async def test_how_it_is_declared(client, hosts):
    from pydantic import BaseModel, Field

    class Login(BaseModel):
        token: SecretStr = Field(description="Token")

    def access(login: Login) -> Access:
        return Access(headers={"Authorization": f"Bot {login.token.get_secret_value()}"})

    async def works(ctx: Context, login: Login) -> None:
        await ctx.http.get("/echo")

    async def account(ctx: Context) -> Account:
        return Account("1", "Ann")

    assert Service("a", "A", "A", auth=Credentials(Login, works, access)).auth.access is access
    auth = OAuth2(
        "https://a.example/authorize", "https://a.example/token", account, ("read",), quirks=Quirks(pkce=False)
    )
    service = Service("b", "B", "B", base_url="https://a.example", auth=auth, hosts=("files.a.example",))

    @service.reaction("Do", scopes=("write",))
    async def do(ctx: Context, params: Nothing) -> Nothing:
        return params

    assert registrations.client_of(service) == "b"
    assert registrations.client_of(replace(service, auth=replace(auth, client="a"))) == "a"
    assert service.reactions["do"].scopes == ("write",)
    assert (auth.server.token_url, auth.server.quirks.pkce) == ("https://a.example/token", False)


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"Retry-After": "7"}, "", 7),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "in 600"}, "", 600),
        ({"X-RateLimit-Remaining": "0"}, "", 60),
        ({"X-RateLimit-Remaining": "14"}, "You have exceeded a secondary rate limit.", 60),
        ({"X-RateLimit-Remaining": "14"}, "You may not.", None),
    ],
)
async def test_a_403_may_stand_for_a_rate_limit(client, hosts, headers, message, seconds):
    http = Http(client, hosts[0], authority=Fixed(BEARER))
    answered = {name: str(int(time.time()) + 600) if value == "in 600" else value for name, value in headers.items()}
    with pytest.raises((Retry, Permanent)) as caught:
        await http.get("/limit", params={"headers": json.dumps(answered), "said": message})
    if seconds is None:
        assert isinstance(caught.value, Permanent)
    else:
        assert caught.value.after.total_seconds() == pytest.approx(seconds, abs=30 if seconds > 60 else 0)
        assert caught.value.parks


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("https://en.notes.example/", True),
        ("https://a.b.NOTES.example/", True),
        ("https://notes.example/", False),
        ("https://evil-notes.example/", False),
        ("https://en.notes.example.evil.example/", False),
        ("https://evil.example/?.notes.example", False),
        ("https://evil.example#.notes.example", False),
        ("https://en.notes.example@evil.example/", False),
        ("https://en.notes.example:8443/", False),
        ("http://en.notes.example/", False),
        ("https://evil.example\\@en.notes.example/", False),
        ("nonsense", False),
    ],
)
async def test_all_hosts_of_a_domain_may_be_the_services(client, address, ours):
    http = Http(client, authority=Fixed(BEARER), hosts=("*.notes.example",))
    assert http._is_ours(address) is ours
