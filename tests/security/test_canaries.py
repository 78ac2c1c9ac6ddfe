"""No secret is where it doesn't belong: one of every kind is put into a live installation, which is then looked
through.
"""

from typing import Any

import pyotp
import pytest

from tests.fair.stage import PASSWORD, Person, Stage, stage
from tests.fair.table import Table
from tests.peers import dovecot
from tests.ports import free_port
from tests.web.conftest import authenticator, chromium

from .canaries import Canaries, look_through

SETTINGS = {  # secrets of the administrator's
    "AREA_GITHUB_CLIENT_SECRET": "GitHub's client secret",
    "AREA_GITHUB_SIGNING_SECRET": "GitHub's signing secret",
    "AREA_OIDC_CLIENT_SECRET": "the provider's client secret",
    "AREA_METRICS_TOKEN": "metrics token",
}
FINISH = "/api/auth/register/confirm"


@pytest.mark.slow
async def test_no_secret_is_where_it_does_not_belong():
    canaries = Canaries()
    settings = {name: canaries.make(what) for name, what in SETTINGS.items()}
    port = free_port()
    settings |= {
        "AREA_PORT": str(port),
        "AREA_PUBLIC_URL": f"http://localhost:{port}",  # where browsers allow passkeys
        "AREA_ALLOWED_HOSTS": "nas.local",  # so others can reach it, and the first account needs a code
        "AREA_GITHUB_CLIENT_ID": "area-at-github",
        "AREA_OIDC_CLIENT_ID": "area-at-the-provider",
        "AREA_OIDC_ISSUER": "http://127.0.0.1:9/",
        "AREA_SMTP_URL": f"area:{canaries.make('password of the mail server')}@",
        "AREA_SECRET_KEY": canaries.make("secret key") + "-of-32-characters",
        "AREA_LOG_LEVEL": "debug",
        "AREA_REGISTRATION": "confirm",
    }
    async with stage(Table(), **settings) as live:
        # whoever sets it up reads it in the log; its letters without the dashes are as good
        canaries.keep("set-up code", live.setup_code, shown={"log"})
        canaries.keep("letters of the set-up code", live.setup_code.replace("-", ""))
        await _accounts(live, canaries)
        with dovecot() as imap:
            await _connections(live, canaries, imap)
        await _keys(live, canaries)
        await _areas(live, canaries)
        await look_through(live, canaries, [live.people["admin"], live.victim, live.attacker])
    assert not canaries.found
    assert len(canaries.secrets) > 20
    assert set(canaries.places) == {"log", "database", "api", "page", "export", "metrics", "processes", "backup"}


async def _accounts(live: Stage, canaries: Canaries) -> None:
    """Passwords, right ones and mistyped ones, sessions, tokens, an invitation."""
    admin, victor = live.people["admin"], live.victim
    for person in live.people.values():
        canaries.keep(f"session of {person.name}", person.token)
    canaries.keep("password", PASSWORD)
    await live.log_in(victor.name, canaries.make("mistyped password"))
    await live.log_in(canaries.make("password in the field of the name"), "x")
    new = canaries.make("new password")
    changed = await victor.ask("POST", "/api/me/password", {"current_password": PASSWORD, "new_password": new})
    assert changed.status == 204, changed
    refused = await live.request("POST", "/api/auth/register", json_body={
        "email": "no address", "username": "x", "password": canaries.make("password of a registration that is refused"),
        "setup_code": canaries.make("mistyped set-up code"),
    })  # fmt: skip
    assert refused.status == 422
    created = await victor.ask("POST", "/api/me/tokens", {"name": "script", "password": new})
    assert created.status == 201, created
    canaries.keep("API token", created.body["token"])
    for path in ("/api/me", "/"):
        wrong = canaries.make(f"wrong token for {path}")
        await live.request("GET", path, headers={"Authorization": f"Bearer {wrong}", "Cookie": f"area_session={wrong}"})
    await _second_factor(live, canaries)
    await _links(live, canaries)
    await _passkeys(live, canaries, new)
    created = await admin.ask("POST", "/api/admin/invitations", {})
    assert created.status == 201, created
    canaries.keep("invitation", created.body["token"])


async def _second_factor(live: Stage, canaries: Canaries) -> None:
    """An authenticator app, its recovery codes, and a code that was used."""
    mallory = live.attacker
    created = await mallory.ask("POST", "/api/me/two-factor/app", {"password": PASSWORD})
    assert created.status == 200, created
    secret = canaries.keep("secret of an authenticator app", created.body["secret"].replace(" ", ""))
    confirmed = await mallory.ask(
        "POST", "/api/me/two-factor/app/confirm", {"setup": created.body["setup"], "code": pyotp.TOTP(secret).now()}
    )
    assert confirmed.status == 200, confirmed
    codes = confirmed.body["recovery_codes"]
    for code in codes:
        canaries.keep(f"recovery code {codes.index(code)}", code)
        canaries.keep(f"letters of recovery code {codes.index(code)}", code.replace("-", ""))
    request = await live.log_in(mallory.name)
    assert request.status == 401, request
    ticket = canaries.keep("ticket of a log-in", request.body["ticket"])
    used = await live.request("POST", "/api/auth/second-factor", json_body={"ticket": ticket, "code": codes[0]})
    assert used.status == 200, used
    canaries.keep("session by a recovery code", used.body["token"])


async def _links(live: Stage, canaries: Canaries) -> None:
    """What is mailed: links that are used, and links that are not."""
    mallory = live.attacker
    for name, known in (("nora", False), ("oscar", False), ("someone-else", True)):
        email = mallory.email if known else f"{name}@example.org"
        password = canaries.make(f"password that {name} registers with")
        body = {"email": email, "username": name, "password": password}
        answer = await live.request("POST", "/api/auth/register", json_body=body)
        assert answer.status == 202, answer
        if known:
            continue
        token = canaries.keep(f"link that finishes the registration of {name}", await live.link(email))
        await live.request("GET", f"/finish-sign-up?token={token}")
        mistyped = canaries.make(f"mistyped password of {name}")
        await live.request("POST", FINISH, json_body={"token": token, "password": mistyped})
        if name == "nora":
            answer = await live.request("POST", FINISH, json_body={"token": token, "password": password})
            assert answer.status == 201, answer
            canaries.keep("session of a new account", answer.body["token"])
            await _followed(live, canaries, Person(live, name, email, answer.body["token"]), password)
    live.mail.mails.clear()
    before, mallory.email = mallory.email, "mallory-2@example.org"
    request = await mallory.ask("PATCH", "/api/me", {"email": mallory.email, "password": PASSWORD})
    assert request.status == 200, request
    canaries.keep("link that undoes a change of address", await live.link(before))
    token = canaries.keep("link that confirms an address", await live.link(mallory.email))
    answer = await live.request("POST", "/api/auth/email/confirm", json_body={"token": token})
    assert answer.status == 200, answer
    live.mail.mails.clear()
    answer = await live.request("POST", "/api/auth/password/forgot", json_body={"email": mallory.email})
    assert answer.status == 202, answer
    token = canaries.keep("link that resets a password", await live.link(mallory.email))
    await live.request("GET", f"/reset-password?token={token}")
    wrong = canaries.make("link that is none")
    await live.request("GET", f"/confirm-email?token={wrong}")
    await live.request("POST", "/api/auth/password/reset", json_body={"token": wrong, "new_password": PASSWORD})


async def _followed(live: Stage, canaries: Canaries, nora: Person, password: str) -> None:
    """Links that do what they are for: of a change of address that is taken back, and of a password that is forgotten."""
    live.mail.mails.clear()
    request = await nora.ask("PATCH", "/api/me", {"email": "nora-2@example.org", "password": password})
    assert request.status == 200, request
    undo = canaries.keep("link that has undone a change of address", await live.link(nora.email))
    canaries.keep("link that confirms an address no more", await live.link("nora-2@example.org"))
    await live.request("GET", f"/undo-email-change?token={undo}")
    undone = await live.request("POST", "/api/auth/email/undo", json_body={"token": undo})
    assert (undone.status, undone.body["email"]) == (200, nora.email), undone
    live.mail.mails.clear()
    request = await live.request("POST", "/api/auth/password/forgot", json_body={"email": nora.email})
    assert request.status == 202, request
    token = canaries.keep("link that has reset a password", await live.link(nora.email))
    await live.request("GET", f"/reset-password?token={token}")
    new = {"token": token, "new_password": canaries.make("password that a link has set")}
    reset = await live.request("POST", "/api/auth/password/reset", json_body=new)
    assert reset.status == 204, reset
    logged_in = await live.log_in(nora.name, new["new_password"])
    assert logged_in.status == 200, logged_in
    canaries.keep("session by a password that a link has set", logged_in.body["token"])


# scripts of pages, which are given what the API answers and return what it wants to be sent
SCRIPT = "async given => (await navigator.credentials.{}({{publicKey: PublicKeyCredential.{}(given)}})).toJSON()"
CREATE = SCRIPT.format("create", "parseCreationOptionsFromJSON")
GET = SCRIPT.format("get", "parseRequestOptionsFromJSON")


async def _passkeys(live: Stage, canaries: Canaries, password: str) -> None:
    """A passkey that is made, proves who somebody is, and signs in alone and as second factor; and the mail that tells
    of it.
    """
    victor = live.victim
    live.mail.mails.clear()
    async with chromium() as browser:
        page = await browser.new_page()
        await authenticator(page)
        await page.goto(f"{live.area.environment['AREA_PUBLIC_URL']}/sign-in")

        async def answered(what: str, script: str, request: dict[str, Any]) -> dict[str, Any]:
            """What the browser answers, with the ticket that it goes with."""
            canaries.keep(f"ticket {what}", request["ticket"])
            canaries.keep(f"challenge {what}", request["options"]["challenge"])
            credential = await page.evaluate(script, request["options"])
            signed = credential["response"].get("signature") or credential["response"]["attestationObject"]
            canaries.keep(f"signature {what}", signed)
            return {"ticket": request["ticket"], "credential": credential}

        sent = await victor.ask("POST", "/api/me/passkeys/options", {"password": password})
        assert sent.status == 200, sent
        passkey = await answered("that adds a passkey", CREATE, sent.body)
        # it is no secret, but nobody has to see it; the public key that answers are checked with is kept beside it
        canaries.keep("id of a passkey", passkey["credential"]["id"], shown={"database", "backup"})
        created = await victor.ask("POST", "/api/me/passkeys", passkey | {"name": "Laptop"})
        assert created.status == 201, created
        for number, code in enumerate(created.body["recovery_codes"]):
            canaries.keep(f"recovery code {number} beside a passkey", code)
        link = canaries.keep("link that ends mails of notices", await live.link(victor.email))
        for method in ("GET", "POST"):
            followed = await live.request(method, f"/unsubscribe?token={link}", data={} if method == "POST" else None)
            assert followed.status == 200, followed

        sent = await victor.ask("POST", "/api/me/prove", {})
        proof = await answered("that proves who somebody is", GET, sent.body)
        for status in (201, 422):  # an answer is good once
            token = await victor.ask("POST", "/api/me/tokens", {"name": "by passkey", "passkey": proof})
            assert token.status == status, token
            if status == 201:
                canaries.keep("API token by a passkey", token.body["token"])

        sent = await live.request("POST", "/api/auth/passkey/options", json_body={})
        signed_in = await live.request(
            "POST", "/api/auth/passkey", json_body=await answered("that signs in", GET, sent.body)
        )
        assert signed_in.status == 200, signed_in
        canaries.keep("session by a passkey", signed_in.body["token"])
        sent = await live.log_in(victor.name, password)
        assert sent.status == 401, sent
        second = {"ticket": sent.body["ticket"], "options": sent.body["passkey"]}
        used = await live.request(
            "POST", "/api/auth/second-factor", json_body=await answered("that is a second factor", GET, second)
        )
        assert used.status == 200, used
        canaries.keep("session by a second factor", used.body["token"])

        sent = await live.request("POST", "/api/auth/passkey/options", json_body={})
        wrong = await answered("that is refused", GET, sent.body)
        wrong["credential"] |= {"id": canaries.make("id of a passkey that nobody has")}
        refused = await live.request("POST", "/api/auth/passkey", json_body=wrong)
        assert refused.status == 422, refused


async def _connections(live: Stage, canaries: Canaries, imap) -> None:
    """Credentials of connected services: one that works, and one that is refused."""
    victor = live.victim
    body = {"imap_host": "127.0.0.1", "imap_port": imap.port, "imap_security": "none", "login": imap.login}
    refused = await victor.ask("POST", "/api/connections/email", body | {"password": canaries.make("refused password")})
    assert refused.status == 422, refused
    smtp = {
        "smtp_host": "127.0.0.1",
        "smtp_port": live.mail.port,
        "smtp_security": "none",
        "from_address": victor.email,
    }
    stored = await victor.ask(
        "POST", "/api/connections/email", smtp | {"login": "v", "password": canaries.make("password of a connection")}
    )
    assert stored.status == 200, stored


async def _keys(live: Stage, canaries: Canaries) -> None:
    """Credentials for addresses of one's own, in each form; each is used by a run that succeeds, and by one that fails."""
    victor = live.victim
    token = canaries.make("access token of OAuth 2.0")
    keys = {
        "bearer": {"token": canaries.make("bearer token")},
        "basic": {"user": "v", "password": canaries.make("password of HTTP")},
        "header": {"name": "X-Api-Key", "value": canaries.make("key in a header")},
        "query": {"name": "api_key", "value": canaries.make("key in an address")},
        "oauth2": {
            "token_url": f"{live.website}/token/{token[::-1]}",
            "client_id": "area",
            "client_secret": canaries.make("client secret of OAuth 2.0"),
        },
    }
    hooks = []
    for kind, key in keys.items():
        answer = await victor.ask(
            "POST", f"/api/connections/http?name={kind}", {"url": live.website, "kind": kind} | key
        )
        assert answer.status == 200, answer
        for path in ("sink", "refused"):
            created = await victor.try_area(
                "webhook.received", {}, "http.request", f"{kind} {path}", connection=kind, url=f"{live.website}/{path}"
            )
            assert created.status == 201, created
            hooks.append(str(created.body["webhook_url"]))
            address = str(created.body["webhook_url"]).rpartition("/")[2]
            canaries.keep(f"address of {kind} {path}", address, shown={"api", "page"})
    runs = [(await live.request("POST", hook, json_body={})).body["execution_id"] for hook in hooks]
    over = "select count(*) = 10 from area_executions where id = any($1) and status in ('success', 'failed')"
    await live.until(over, runs, seconds=30)
    statuses = await live.database.fetch("select status from area_executions where id = any($1) order by id", runs)
    assert [row["status"] for row in statuses] == ["success", "failed"] * 5
    hosts = {"url": "http://127.0.0.1:9/", "kind": "query", "name": "k"}
    await victor.ask("POST", "/api/connections/http?name=nobody", hosts | {"value": canaries.make("key for nobody")})


async def _areas(live: Stage, canaries: Canaries) -> None:
    """Secrets of webhooks, their addresses, and what is sent to them with headers that carry secrets."""
    victor = live.victim
    secret = canaries.make("secret of a webhook")
    signed = await victor.area(
        "webhook.received", {"signature": "hmac_sha256", "secret": secret}, "inbox.post", "signed", title="x"
    )
    open_one = await victor.area("webhook.received", {}, "http.request", "open", url=f"{live.website}/sink")
    keys = [
        canaries.make(f"key in {place}")
        for place in ("Authorization", "X-Api-Key", "the login of an address", "a query")
    ]
    headers = f"Authorization: Bearer {keys[0]}\nX-Api-Key: {keys[1]}"
    url = f"{live.website}/sink?api_key={keys[3]}".replace("://", f"://v:{keys[2]}@")
    created = await victor.try_area("webhook.received", {}, "http.request", "with keys", url=url, headers=headers)
    assert created.status in (201, 422), created
    if created.status == 422:  # a login in an address and a header Authorization can't both be
        url = url.replace(f"v:{keys[2]}@", "")
        created = await victor.try_area("webhook.received", {}, "http.request", "with keys", url=url, headers=headers)
        assert created.status == 201, created
    for area in (signed, open_one, created.body):
        # whoever owns the AREA reads its address on its page and in the API
        token = str(area["webhook_url"]).rpartition("/")[2]
        canaries.keep(f"address of {area['name']}", token, shown={"api", "page"})
    await live.request("POST", str(signed["webhook_url"]), json_body={"id": 1})
    headers = {"Authorization": f"Bearer {canaries.make('bearer token of a sender')}"}
    headers["Cookie"] = f"a={canaries.make('cookie of a sender')}"
    answer = await live.request("POST", str(open_one["webhook_url"]), json_body={"id": 1}, headers=headers)
    assert answer.status == 202, answer
    broken = f"{live.area.url}/hooks/{canaries.make('address that is no more')}"
    await live.request("POST", broken, json_body={})
    done = "select status in ('success', 'failed') from area_executions where id = $1"
    await live.until(done, answer.body["execution_id"], seconds=20)
    provided = {"url": f"{live.website}/sink", "headers": f"X-Api-Key: {canaries.make('key that one run was given')}"}
    replay = f"/api/executions/{answer.body['execution_id']}/replay"
    again = await victor.ask("POST", replay, {"parameters": provided})
    assert again.status == 202, again
    await live.until(done, again.body["execution_id"], seconds=20)


async def test_a_canary_is_found_where_it_is():
    canaries = Canaries()
    secret = canaries.make("one")
    canaries.keep("shown", "a-shown-secret", shown={"page"})
    canaries.look("log", "here", f"x {secret} y")
    canaries.look("page", "there", "a-shown-secret")
    canaries.look("database", "as bytes", f"\\x{secret.encode().hex()}")
    assert canaries.found == ["one in log here", "one in database as bytes"]
