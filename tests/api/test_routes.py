"""For each route and each role, the answer. A route that is not in the table fails the test.

`user` owns what the addresses name: {area}, {done} and {waiting} executions, a {session}, a {token}, a connection to
`locker`. `other` is another user, `disabled` an account that was disabled while it was logged in. `reads`, `runs` and
`script` are API tokens of `user` with the scopes read, run and manage, `boss` one of `admin` with the scope admin.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import text
from tests.api.conftest import Client, Furnished, People, served
from tests.conftest import Copied, name_of

from area.engine.state import State

PASSWORD = "correct horse battery"
DOOR = {"host": "locker.example.org", "login": "ann", "password": "s3cret-of-the-door"}
AREA = {
    "name": "bell",
    "action": {"component": "hall.rung"},
    "reaction": {"component": "hall.say", "parameters": {"item": "{{title}}"}},
}
ROLES = ("nobody", "disabled", "other", "admin", "reads", "runs", "boss", "script", "user")


@dataclass(frozen=True)
class Row:
    method: str
    path: str
    expected: dict[str, int]
    body: Any = None

    def sent(self, things: dict[str, Any]) -> Any:
        """The body, with the ids of what it names."""
        if isinstance(self.body, dict) and isinstance(name := self.body.get("ids"), str):
            return self.body | {"ids": [things[name.strip("{}")]]}
        return self.body

    @property
    def template(self) -> str:
        return TEMPLATES.get(self.path, self.path)


def public(status: int = 200, **more: int) -> dict[str, int]:
    return dict.fromkeys(ROLES, status) | more


def signed(status: int = 200, **more: int) -> dict[str, int]:
    """Reads: whoever is logged in, whatever the scope."""
    return public(status) | {"nobody": 401, "disabled": 401} | more


def running(status: int = 200, **more: int) -> dict[str, int]:
    """Needs the scope run."""
    return signed(status) | {"reads": 403} | more


def changing(status: int = 200, **more: int) -> dict[str, int]:
    """Needs the scope manage."""
    return running(status) | {"runs": 403} | more


def in_person(status: int = 200, **more: int) -> dict[str, int]:
    """No API token, whatever its scope."""
    return signed(status) | dict.fromkeys(("reads", "runs", "script", "boss"), 403) | more


def own(answers: dict[str, int], **more: int) -> dict[str, int]:
    """Only whose it is; an administrator is one more stranger."""
    return answers | {"other": 404, "admin": 404, "boss": 403 if answers["boss"] == 403 else 404} | more


def admins(status: int = 200, **more: int) -> dict[str, int]:
    """Administrators, and their tokens with the scope admin."""
    return dict.fromkeys(ROLES, 403) | {"nobody": 401, "disabled": 401, "admin": status, "boss": status} | more


def admins_in_person(status: int = 200, **more: int) -> dict[str, int]:
    return admins(status) | {"boss": 403} | more


LAST_ADMIN = {"admin": 409}

TABLE = [
    Row("GET", "/api/openapi.json", public()),
    Row("GET", "/api/docs", public()),
    Row(
        "POST", "/api/auth/register", public(409), {"email": "user@example.org", "username": "x2", "password": PASSWORD}
    ),
    Row("POST", "/api/auth/register/confirm", public(410), {"token": "x", "password": PASSWORD}),
    Row("POST", "/api/auth/login", public(), {"login": "user", "password": PASSWORD}),
    Row("POST", "/api/auth/second-factor", public(410), {"ticket": "x", "code": "123456"}),
    Row("POST", "/api/auth/passkey/options", public(409)),  # the address is no place for passkeys
    Row("POST", "/api/auth/passkey", public(410), {"ticket": "x", "credential": {}}),
    Row("POST", "/api/auth/logout", in_person(204)),
    Row("GET", "/api/auth/providers", public()),
    Row("GET", "/api/auth/locker/authorize", public(404)),  # nobody can log in with it
    Row("GET", "/api/auth/locker/callback", public(422)),  # nobody had set out
    Row("POST", "/api/auth/password/forgot", public(403), {"email": "user@example.org"}),  # no mail server
    Row("POST", "/api/auth/password/reset", public(410), {"token": "x", "new_password": "another password"}),
    Row("POST", "/api/auth/email/confirm", public(410), {"token": "x"}),
    Row("POST", "/api/auth/email/undo", public(410), {"token": "x"}),
    Row("GET", "/api/me/email", signed()),
    Row("PATCH", "/api/me/email", in_person(), {"mail_notices": False}),
    Row("POST", "/api/me/email/confirmation", in_person(409)),  # no mail server
    Row("DELETE", "/api/me/email/change", in_person(204)),
    Row("GET", "/api/me/logins", signed()),
    Row("POST", "/api/me/logins/locker", in_person(404), {"password": PASSWORD}),  # nobody can log in with it
    Row("DELETE", "/api/me/logins/locker", in_person(404)),
    Row("POST", "/api/me/sign-out-everywhere", in_person(), {}),
    Row("GET", "/api/me/two-factor", in_person()),
    Row("POST", "/api/me/prove", in_person(409)),
    Row("POST", "/api/me/two-factor/app", in_person(), {"password": PASSWORD}),
    Row("POST", "/api/me/two-factor/app/confirm", in_person(410), {"setup": "x", "code": "123456"}),
    Row("DELETE", "/api/me/two-factor/app", in_person(204), {"password": PASSWORD}),
    Row("POST", "/api/me/two-factor/recovery-codes", in_person(409), {"password": PASSWORD}),
    Row("GET", "/api/me/passkeys", in_person()),
    Row("POST", "/api/me/passkeys/options", in_person(409), {"password": PASSWORD}),
    Row("POST", "/api/me/passkeys", in_person(410), {"ticket": "x", "credential": {}, "name": "x"}),
    Row("DELETE", "/api/me/passkeys/1", in_person(404), {"password": PASSWORD}),
    Row("GET", "/api/me", signed()),
    Row("PATCH", "/api/me", in_person(), {"timezone": "Europe/Paris"}),
    Row("PUT", "/api/me/picture", in_person(422)),  # no body is no picture
    Row("DELETE", "/api/me/picture", in_person()),
    Row("DELETE", "/api/me", in_person(204, **LAST_ADMIN), {"password": PASSWORD}),
    Row("POST", "/api/me/password", in_person(204), {"current_password": PASSWORD, "new_password": "another password"}),
    Row("GET", "/api/me/sessions", signed()),
    Row("DELETE", "/api/me/sessions", in_person()),
    Row("DELETE", "/api/me/sessions/{session}", own(in_person(204))),
    Row("GET", "/api/me/tokens", signed()),
    Row("POST", "/api/me/tokens", in_person(201), {"name": "x", "password": PASSWORD}),
    Row("DELETE", "/api/me/tokens/{token}", own(in_person(204))),
    Row("GET", "/api/me/stats", signed()),
    Row("GET", "/api/services", signed()),
    Row("GET", "/api/services/hall", signed()),
    Row("GET", "/api/components", signed()),
    Row("GET", "/api/components/hall.say", signed()),
    Row("POST", "/api/components/hall.say/options/text", changing(404), {}),  # it has no list to choose from
    Row("GET", "/api/connections", signed()),
    Row("GET", "/api/connections/locker", signed()),
    Row("POST", "/api/connections/locker", changing(), DOOR),
    Row("GET", "/api/connections/locker/authorize", changing(409)),  # it takes a form
    Row("POST", "/api/connections/locker/test", own(changing())),
    Row("PATCH", "/api/connections/locker", changing(422), {"name": "Work"}),  # the default connection has no name
    Row(
        "DELETE", "/api/connections/locker", own(changing(), user=404)
    ),  # `user` comes after `script`, which has deleted it
    Row("GET", "/api/areas", signed()),
    Row("POST", "/api/areas", changing(201), AREA),
    Row("POST", "/api/areas/bulk", own(changing()), {"ids": "{area}", "action": "disable"}),
    Row("POST", "/api/areas/test", changing(), {"area": AREA}),
    Row("GET", "/api/areas/export", signed()),
    Row("POST", "/api/areas/import", changing(), {"areas": [AREA]}),
    Row("GET", "/api/areas/{area}", own(signed())),
    Row("PATCH", "/api/areas/{area}", own(changing()), {"name": "x"}),
    Row("DELETE", "/api/areas/{area}", own(changing(204), user=404)),
    Row("GET", "/api/areas/{area}/figures", own(signed())),
    Row("GET", "/api/areas/{area}/names", own(signed())),
    Row("POST", "/api/areas/{area}/enable", own(changing())),
    Row("POST", "/api/areas/{area}/disable", own(changing())),
    Row("GET", "/api/areas/{area}/versions", own(signed())),
    Row("POST", "/api/areas/{area}/versions/1/restore", own(changing())),
    Row("POST", "/api/areas/{area}/renew-address", own(changing())),
    Row("POST", "/api/areas/{area}/test", own(running()), {}),
    Row("POST", "/api/areas/{area}/run", own(running(202)), {}),
    Row("POST", "/api/areas/{area}/check", own(running(409))),  # it isn't polled
    Row("GET", "/api/executions", signed()),
    Row("GET", "/api/executions/stream", signed()),
    Row("POST", "/api/executions/replay", own(running()), {"ids": "{done}"}),
    Row("POST", "/api/executions/cancel", own(running()), {"ids": "{done}"}),
    Row("GET", "/api/executions/{done}", own(signed())),
    Row("POST", "/api/executions/{done}/replay", own(running(202)), {}),
    Row("POST", "/api/executions/{waiting}/try", own(running(409))),  # it waits for nothing but a worker
    Row("POST", "/api/executions/{waiting}/cancel", own(running(), script=409, user=409)),
    Row("GET", "/api/notices", signed()),
    Row("POST", "/api/notices/read", changing(), {}),
    Row("GET", "/api/admin/clients", admins()),
    Row("GET", "/api/admin/clients/locker/tokens", admins(404)),  # it sends none
    Row("DELETE", "/api/admin/clients/locker/tokens", admins(404)),
    Row("GET", "/api/admin/users", admins()),
    Row("PATCH", "/api/admin/users/{someone}", admins_in_person(), {"is_admin": False}),
    Row("DELETE", "/api/admin/users/{someone}", admins_in_person(204)),
    Row("DELETE", "/api/admin/users/{someone}/two-factor", admins_in_person()),
    Row("GET", "/api/admin/invitations", admins()),
    Row("POST", "/api/admin/invitations", admins_in_person(201), {}),
    Row("DELETE", "/api/admin/invitations/{invitation}", admins_in_person(204)),
    Row("GET", "/api/admin/services", admins()),
    Row("PATCH", "/api/admin/services/{service}", admins(), {"is_active": True}),
    Row("GET", "/api/admin/components", admins()),
    Row("PATCH", "/api/admin/components/{component}", admins(), {"is_active": True}),
    Row("GET", "/api/admin/stats", admins()),
    Row("GET", "/api/admin/workers", admins()),
    Row("GET", "/api/admin/audit", admins()),
]
TEMPLATES = {
    "/api/me/sessions/{session}": "/api/me/sessions/{session_id}",
    "/api/me/tokens/{token}": "/api/me/tokens/{token_id}",
    "/api/services/hall": "/api/services/{name}",
    "/api/components/hall.say": "/api/components/{name}",
    "/api/components/hall.say/options/text": "/api/components/{name}/options/{parameter}",
    "/api/connections/locker": "/api/connections/{service}",
    "/api/auth/locker/authorize": "/api/auth/{provider}/authorize",
    "/api/auth/locker/callback": "/api/auth/{client}/callback",
    "/api/me/logins/locker": "/api/me/logins/{provider}",
    "/api/me/passkeys/1": "/api/me/passkeys/{passkey_id}",
    "/api/admin/clients/locker/tokens": "/api/admin/clients/{service}/tokens",
    "/api/admin/users/{someone}/two-factor": "/api/admin/users/{user_id}/two-factor",
    "/api/connections/locker/authorize": "/api/connections/{service}/authorize",
    "/api/connections/locker/test": "/api/connections/{service}/test",
    "/api/executions/{done}": "/api/executions/{execution_id}",
    "/api/executions/{done}/replay": "/api/executions/{execution_id}/replay",
    "/api/areas/{area}/check": "/api/areas/{area_id}/check",
    "/api/executions/{waiting}/try": "/api/executions/{execution_id}/try",
    "/api/executions/{waiting}/cancel": "/api/executions/{execution_id}/cancel",
    "/api/areas/{area}/versions/1/restore": "/api/areas/{area_id}/versions/{version}/restore",
    "/api/admin/users/{someone}": "/api/admin/users/{user_id}",
    "/api/admin/invitations/{invitation}": "/api/admin/invitations/{invitation_id}",
    "/api/admin/services/{service}": "/api/admin/services/{service_id}",
    "/api/admin/components/{component}": "/api/admin/components/{component_id}",
} | {
    f"/api/areas/{{area}}{rest}": f"/api/areas/{{area_id}}{rest}"
    for rest in ("", "/versions", "/figures", "/names", "/enable", "/disable", "/renew-address", "/test", "/run")
}


def test_every_route_is_in_the_table(app):
    there = {
        (method, context.path)
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
        if method != "HEAD"
    }
    listed = [(row.method, row.template) for row in TABLE]
    assert there == set(listed)
    assert len(listed) == len(set(listed))


@dataclass(frozen=True)
class Place(Furnished):
    """What the addresses name is there."""

    things: dict[str, Any] = field(default_factory=dict)


@pytest_asyncio.fixture(scope="module")
async def place(copied: Copied, _peopled: Furnished, _app: FastAPI) -> AsyncIterator[Place]:
    async with copied(_peopled.database) as dsn:
        async with served(_app, dsn) as (nobody, state):
            tokens = await _tokens(state, nobody, _peopled)
            things = await _things(state, nobody, _peopled)
        yield Place(name_of(dsn), tokens, _peopled.ids, things)


async def _things(state: State, nobody: Client, people: Furnished) -> dict[str, Any]:
    user, admin = nobody.as_(people.tokens["user"]), nobody.as_(people.tokens["admin"])
    area = (await user.post("/api/areas", AREA)).json()["id"]
    runs = [(await user.post(f"/api/areas/{area}/run")).json()["execution_id"] for _ in range(2)]
    await user.post("/api/connections/locker", DOOR)
    token = (await user.post("/api/me/tokens", {"name": "mine", "password": PASSWORD})).json()["item"]["id"]
    session = (await user.get("/api/me/sessions")).json()["items"][0]["id"]
    invitation = (await admin.post("/api/admin/invitations", {})).json()["item"]["id"]
    async with state.database.transaction() as db:
        await db.execute(text("update area_executions set status = 'success' where id = :id"), {"id": runs[0]})
        service, component = (
            await db.execute(text("select s.id, c.id from services s join components c on c.service_id = s.id limit 1"))
        ).one()
    return {
        "area": area,
        "done": runs[0],
        "waiting": runs[1],
        "session": session,
        "token": token,
        "someone": people.ids["other"],
        "invitation": invitation,
        "service": service,
        "component": component,
    }


async def _tokens(state: State, nobody: Client, people: Furnished) -> dict[str, str]:
    """Of each role but `nobody`."""
    registered = await nobody.post(
        "/api/auth/register", {"email": "d@example.org", "username": "disabled", "password": PASSWORD}
    )
    # behind the back of the API, so that the session is still there and only the account is not active
    async with state.database.transaction() as session:
        await session.execute(text("update users set is_active = false where username = 'disabled'"))
    tokens = {}
    for role, scope, owner in (
        ("reads", "read", "user"),
        ("runs", "run", "user"),
        ("script", "manage", "user"),
        ("boss", "admin", "admin"),
    ):
        client = nobody.as_(people.tokens[owner])
        created = await client.post("/api/me/tokens", {"name": role, "password": PASSWORD, "scope": scope})
        tokens[role] = created.json()["token"]
    return {**people.tokens, "disabled": registered.json()["token"], **tokens}


@pytest.fixture
def furnished(place: Place) -> Place:
    return place


@pytest.fixture
def things(place: Place) -> dict[str, Any]:
    """What the addresses name."""
    return place.things


@pytest.fixture
def clients(people: People, nobody: Client, place: Place) -> dict[str, Client]:
    return {"nobody": nobody, **{role: nobody.as_(token) for role, token in place.tokens.items()}}


async def answers(row, clients, things) -> dict[str, int]:
    """The status for each role, one after the other."""
    path = row.path.format(**things)
    seen = {}
    for role in ROLES:
        client = clients[role]
        if path.endswith("/stream") and row.expected[role] == 200:
            async with client.stream(path) as live:
                await live.next("notices")
                seen[role] = live.status
            continue
        answer = await client.request(row.method, path, json=row.sent(things))
        seen[role] = answer.status
        if answer.status >= 400:
            assert answer.header("content-type") == "application/problem+json"
    return seen


# What only reads, and what is refused, leaves everything as it is: one installation does for all of them.


async def test_the_answer_to_each_role_that_reads(clients, things):
    reading = [row for row in TABLE if row.method == "GET"]
    seen = {row.template: await answers(row, clients, things) for row in reading}
    assert seen == {row.template: row.expected for row in reading}


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.method != "GET"], ids=lambda row: f"{row.method} {row.template}"
)
async def test_the_answer_to_each_role(row, clients, things, state):
    assert await answers(row, clients, things) == row.expected
    async with state.database.sessions() as session:
        nowhere = "select action from audit where user_id is not null and address is null"
        assert not (await session.scalars(text(nowhere))).all(), "audit entries without the client's address"


async def test_a_foreign_page_changes_nothing_with_the_cookie(people, nobody, things):
    changing = [row for row in TABLE if row.method != "GET" and "/auth/" not in row.path]
    seen = {}
    for row in changing:
        who = people.admin if "/admin/" in row.path else people.user
        headers = {"cookie": f"area_session={who.token}", "sec-fetch-site": "cross-site"}
        answer = await nobody.request(row.method, row.path.format(**things), json=row.sent(things), headers=headers)
        seen[row.method, row.template] = answer.status
    assert seen == {(row.method, row.template): 403 for row in changing}


@pytest.mark.parametrize("role", ["other", "admin"])
async def test_what_is_somebody_elses_is_answered_as_if_it_were_not_there(role, people, things):
    client = getattr(people, role)
    for row in TABLE:
        if row.expected.get("other") != 404 or row.expected["admin"] != 404 or "connections" in row.path:
            continue
        theirs = await client.request(row.method, row.path.format(**things), json=row.sent(things))
        nowhere = dict.fromkeys(things, 999_999)
        nothing = await client.request(row.method, row.path.format(**nowhere), json=row.sent(nowhere))
        assert (theirs.status, nothing.status) == (404, 404)
        same = [answer.json()["detail"].replace("999999", "N") for answer in (theirs, nothing)]
        for value in things.values():
            same[0] = same[0].replace(f" {value}.", " N.")
        assert same[0] == same[1]
