"""Accounts: every sentence of the issue, and the races."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from area import accounts
from area.accounts import attempts, sessions, setup
from area.db.session import Database
from area.kit.problems import TooMany

PASSWORD = "correct horse battery"
REGISTER, LOGIN = "/api/auth/register", "/api/auth/login"


def form(name: str, **more: object) -> dict[str, object]:
    return {"email": f"{name}@example.org", "username": name, "password": PASSWORD, **more}


async def log_in(client, login: str, password: str = PASSWORD):
    return await client.post(LOGIN, {"login": login, "password": password})


async def test_the_first_account_is_the_admin_and_the_second_is_not(nobody):
    first = (await nobody.post(REGISTER, form("ann"))).json()["user"]
    second = (await nobody.post(REGISTER, form("bob"))).json()["user"]
    assert (first["is_admin"], second["is_admin"]) == (True, False)
    assert first["last_connection_at"] is not None


async def test_of_many_first_registrations_at_once_exactly_one_is_the_admin(state, dsn):
    second = Database(dsn)
    try:

        async def one(number: int) -> bool:
            database = (state.database, second)[number % 2]
            async with database.transaction() as session:
                user = await accounts.register(
                    session, state.settings, email=f"u{number}@example.org", username=f"u{number}", password=PASSWORD
                )
                return user.is_admin

        assert sum(await asyncio.gather(*(one(number) for number in range(12)))) == 1
    finally:
        await second.close()


async def test_log_in_by_email_in_any_case_or_by_username_in_any_case(nobody):
    await nobody.post(REGISTER, form("Ann"))
    for login in ("ANN@Example.org", "ann", "ANN"):
        answer = await log_in(nobody, login)
        assert answer.status == 200, login
        assert answer.json()["user"]["email"] == "ann@example.org"
        assert answer.json()["user"]["last_connection_at"] is not None


async def test_email_and_username_are_taken_in_any_case(nobody):
    await nobody.post(REGISTER, form("ann"))
    assert (await nobody.post(REGISTER, form("bob", email="ANN@example.org"))).status == 409
    assert (await nobody.post(REGISTER, form("bob", username="ANN"))).status == 409


@pytest.mark.parametrize(
    ("change", "field", "word"),
    [
        ({"password": "a" * 73}, "password", "72 bytes"),
        ({"password": "é" * 37}, "password", "72 bytes"),
        ({"password": "short"}, "password", "8 characters"),
        ({"email": "ann"}, "email", "valid e-mail address"),
        ({"email": "ann@@example.org"}, "email", "valid e-mail address"),
        ({"username": "a"}, "username", "2 to 100"),
        ({"username": "a@b"}, "username", "contain @"),
        ({"username": "a\u200bb"}, "username", "invisible"),
        ({"username": "x" * 101}, "username", "2 to 100"),
        ({"is_admin": True}, "is_admin", "Unknown field"),
    ],
)
async def test_what_can_not_be_registered_is_a_422_that_says_which_field(nobody, change, field, word):
    answer = await nobody.post(REGISTER, form("ann", **change))
    assert answer.status == 422
    assert answer.header("content-type") == "application/problem+json"
    assert [(error["field"], word in error["message"]) for error in answer.json()["errors"]] == [(field, True)]


async def test_72_bytes_are_not_cut_off(nobody):
    password = "éèêëàâäùûüôöîïçñæøåßðþýœ÷éèúéêëàâäùû"  # 36 letters of two bytes, and none too easy to guess
    assert len(password.encode()) == 72
    assert (await nobody.post(REGISTER, form("ann", password=password))).status == 201
    assert (await log_in(nobody, "ann", password)).status == 200
    assert (await log_in(nobody, "ann", password + "x")).status == 401
    assert (await log_in(nobody, "ann", password[:-1])).status == 401


async def test_an_unknown_account_and_a_wrong_password_are_told_alike(nobody):
    await nobody.post(REGISTER, form("ann"))
    wrong, unknown = await log_in(nobody, "ann", "wrong password"), await log_in(nobody, "eve", "wrong password")
    assert wrong.status == unknown.status == 401
    assert wrong.json()["detail"] == unknown.json()["detail"]
    assert wrong.header("www-authenticate") == "Bearer"


async def test_registration_can_be_closed_but_for_the_first(state, nobody):
    state.settings = state.settings.model_copy(update={"registration": "closed"})
    assert (await nobody.post(REGISTER, form("ann"))).status == 201
    answer = await nobody.post(REGISTER, form("bob"))
    assert (answer.status, answer.json()["code"]) == (403, "forbidden")


async def test_an_invitation_lets_one_in_once(state, people, nobody):
    state.settings = state.settings.model_copy(update={"registration": "invite"})
    created = (await people.admin.post("/api/admin/invitations", {"days": 1})).json()
    assert (await nobody.post(REGISTER, form("carl"))).status == 403
    assert (await nobody.post(REGISTER, form("carl", invitation="area_i_wrong"))).status == 403
    answers = await asyncio.gather(
        *(nobody.post(REGISTER, form(name, invitation=created["token"])) for name in ("carl", "dora", "emil"))
    )
    assert sorted(answer.status for answer in answers) == [201, 403, 403]
    listed = (await people.admin.get("/api/admin/invitations")).json()["items"]
    assert [row["used_at"] is not None for row in listed] == [True]
    assert created["token"] not in str(listed)
    other = (await people.admin.post("/api/admin/invitations", {})).json()
    assert (await people.admin.delete(f"/api/admin/invitations/{other['item']['id']}")).status == 204
    assert (await nobody.post(REGISTER, form("fred", invitation=other["token"]))).status == 403


async def test_tokens_are_kept_hashed_and_never_listed(people, state):
    answer = (await people.user.post("/api/me/tokens", {"name": "script", "password": PASSWORD})).json()
    async with state.database.sessions() as session:
        stored = str((await session.execute(text("select * from access_tokens"))).all())
    for token in (answer["token"], people.user.token):
        assert token not in stored
    assert (await people.user.as_(answer["token"]).get("/api/me")).status == 200
    for path in ("/api/me/tokens", "/api/me/sessions"):
        body = (await people.user.get(path)).body.decode()
        assert answer["token"] not in body
        assert people.user.token not in body
    [listed] = (await people.user.get("/api/me/tokens")).json()["items"]
    assert listed["name"] == "script"
    assert listed["last_used_at"] is not None


async def test_an_api_token_can_not_make_what_outlives_it(people):
    answer = (await people.user.post("/api/me/tokens", {"name": "script", "password": PASSWORD})).json()
    script = people.user.as_(answer["token"])
    for method, path, body in (
        ("POST", "/api/me/tokens", {"name": "second"}),
        ("DELETE", f"/api/me/tokens/{answer['item']['id']}", None),
        ("POST", "/api/me/password", {"current_password": PASSWORD, "new_password": "another password"}),
        ("PATCH", "/api/me", {"username": "eve"}),
        ("DELETE", "/api/me", {"password": PASSWORD}),
        ("DELETE", "/api/me/sessions", None),
        ("POST", "/api/auth/logout", None),
    ):
        assert (await script.request(method, path, json=body)).status == 403, path
    assert (await people.user.delete(f"/api/me/tokens/{answer['item']['id']}")).status == 204
    assert (await script.get("/api/me")).status == 401


async def test_an_admins_api_token_can_not_change_accounts(people):
    sent = {"name": "script", "password": PASSWORD, "scope": "admin"}
    script = people.admin.as_((await people.admin.post("/api/me/tokens", sent)).json()["token"])
    assert (await script.get("/api/admin/users")).status == 200
    assert (await script.patch(f"/api/admin/users/{people.ids['user']}", {"is_admin": True})).status == 403
    assert (await script.post("/api/admin/invitations", {})).status == 403


async def test_a_token_ends_when_it_says(people, state):
    past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    beyond = "9999-12-31T23:59:59-14:00"  # no instant that UTC has a year for
    for wrong in (past, beyond, "2030-01-01T00:00:00", "tomorrow"):
        assert (
            await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD, "expires_at": wrong})
        ).status == 422
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    answer = (await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD, "expires_at": soon})).json()
    script = people.user.as_(answer["token"])
    assert (await script.get("/api/me")).status == 200
    async with state.database.transaction() as session:
        await session.execute(text("update access_tokens set expires_at = now() where kind = 'api'"))
    assert (await script.get("/api/me")).status == 401
    assert (await people.user.get("/api/me/tokens")).json()["items"] == []


async def test_a_session_slides_and_ends_when_unused(people, state):
    async def expires() -> datetime:
        async with state.database.transaction() as session:
            return (
                await session.scalars(
                    text("select expires_at from access_tokens where user_id = :id"), {"id": people.ids["user"]}
                )
            ).one()

    async with state.database.transaction() as session:
        await session.execute(
            text(
                "update access_tokens set last_used_at = now() - interval '1 day', expires_at = now() + interval '1 day'"
            )
        )
    await people.user.get("/api/me")
    slid = await expires()
    assert slid > datetime.now(UTC) + timedelta(days=29)
    await people.user.get("/api/me")
    assert await expires() == slid  # at most once a minute
    async with state.database.transaction() as session:
        await session.execute(text("update access_tokens set expires_at = now()"))
    assert (await people.user.get("/api/me")).status == 401


async def test_sessions_are_listed_and_ended_one_by_one_or_all_others(people, nobody):
    second = people.user.as_((await log_in(nobody, "user")).json()["token"])
    third = people.user.as_((await log_in(nobody, "user")).json()["token"])
    items = (await second.get("/api/me/sessions")).json()["items"]
    assert len(items) == 3
    current = [item["id"] for item in items if item["current"]]
    assert len(current) == 1
    others = [item["id"] for item in (await third.get("/api/me/sessions")).json()["items"] if item["current"]]
    assert (await people.other.delete(f"/api/me/sessions/{others[0]}")).status == 404
    assert (await second.delete(f"/api/me/sessions/{others[0]}")).status == 204
    assert (await third.get("/api/me")).status == 401
    assert (await second.delete("/api/me/sessions")).json() == {"ended": 1}
    assert (await people.user.get("/api/me")).status == 401
    assert (await second.get("/api/me")).status == 200


async def test_log_out_ends_the_session(people):
    answer = await people.user.post("/api/auth/logout")
    assert answer.status == 204
    assert "area_session=" in (answer.header("set-cookie") or "")
    assert (await people.user.get("/api/me")).status == 401


async def test_a_new_password_ends_other_sessions_and_keeps_api_tokens(people, nobody):
    other = people.user.as_((await log_in(nobody, "user")).json()["token"])
    script = people.user.as_(
        (await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD})).json()["token"]
    )
    change = {"current_password": "wrong password", "new_password": "another password"}
    wrong = await people.user.post("/api/me/password", change)
    assert (wrong.status, wrong.json()["errors"][0]["field"]) == (422, "current_password")
    long = await people.user.post("/api/me/password", {"current_password": PASSWORD, "new_password": "x" * 73})
    assert (long.status, long.json()["errors"][0]["field"]) == (422, "new_password")
    done = await people.user.post("/api/me/password", {**change, "current_password": PASSWORD})
    assert done.status == 204
    assert [(await person.get("/api/me")).status for person in (people.user, other, script)] == [200, 401, 200]
    assert (await log_in(nobody, "user")).status == 401
    assert (await log_in(nobody, "user", "another password")).status == 200


async def test_a_wrong_present_password_is_limited_like_log_in(people, state):
    for _ in range(state.settings.login_attempts):
        answer = await people.user.post("/api/me/password", {"current_password": "no", "new_password": "another one"})
        assert answer.status == 422
    answer = await people.user.post("/api/me/password", {"current_password": PASSWORD, "new_password": "another one"})
    assert answer.status == 429
    assert (await people.user.delete("/api/me", {"password": PASSWORD})).status == 429


async def test_the_profile_is_changed_field_by_field(people):
    icon = "https://example.org/u.png"
    changed = await people.user.patch("/api/me", {"username": "Ursula", "icon_path": icon, "timezone": "Europe/Paris"})
    assert changed.status == 200, changed.body
    me = (await people.user.get("/api/me")).json()
    assert (me["username"], me["icon_path"], me["timezone"]) == ("Ursula", icon, "Europe/Paris")
    assert (await people.user.patch("/api/me", {"icon_path": None})).json()["icon_path"] is None
    for wrong in (
        {"icon_path": "javascript:alert(1)"},
        {"icon_path": "http://example.org/u.png"},
        {"icon_path": 'https://example.org/"onerror=x'},
        {"timezone": "Mars/Olympus"},
        {"username": ""},
        {"is_admin": True},
        {"username": None},
    ):
        assert (await people.user.patch("/api/me", wrong)).status == 422, wrong
    assert (await people.user.patch("/api/me", {"username": "OTHER"})).status == 409
    assert (await people.user.patch("/api/me", {"username": "ursula"})).status == 200  # one's own, in another case


async def test_a_new_email_address_needs_the_password(people):
    assert (await people.user.patch("/api/me", {"email": "New@example.org"})).status == 422
    assert (await people.user.patch("/api/me", {"email": "new@example.org", "password": "wrong"})).status == 422
    changed = await people.user.patch("/api/me", {"email": "New@example.org", "password": PASSWORD})
    assert (changed.status, changed.json()["email"]) == (200, "new@example.org")
    taken = await people.user.patch("/api/me", {"email": "other@example.org", "password": PASSWORD})
    assert taken.status == 409


async def test_an_account_is_deleted_with_its_password_and_all_that_is_its_own(people, state, nobody):
    await people.user.post(
        "/api/areas",
        {
            "name": "x",
            "action": {"component": "hall.found"},
            "reaction": {"component": "hall.say", "parameters": {"item": "x"}},
        },
    )
    assert (await people.user.delete("/api/me", {"password": "wrong"})).status == 422
    assert (await people.user.delete("/api/me", {})).status == 422
    assert (await people.user.delete("/api/me", {"password": PASSWORD})).status == 204
    assert (await people.user.get("/api/me")).status == 401
    assert (await log_in(nobody, "user")).status == 401
    async with state.database.sessions() as session:
        assert await session.scalar(text("select count(*) from areas")) == 0


async def test_the_last_admin_stays_while_others_are_there(people):
    mine, user = people.ids["admin"], people.ids["user"]
    assert (await people.admin.delete("/api/me", {"password": PASSWORD})).status == 409
    for change in ({"is_admin": False}, {"is_active": False}):
        assert (await people.admin.patch(f"/api/admin/users/{mine}", change)).status == 409
    assert (await people.admin.patch(f"/api/admin/users/{user}", {"is_admin": True})).status == 200
    assert (await people.admin.patch(f"/api/admin/users/{user}", {"is_active": False})).status == 200
    # the other admin is disabled, so this one is the last again
    assert (await people.admin.patch(f"/api/admin/users/{mine}", {"is_admin": False})).status == 409
    assert (await people.admin.patch(f"/api/admin/users/{user}", {"is_active": True})).status == 200
    assert (await people.admin.patch(f"/api/admin/users/{mine}", {"is_admin": False})).status == 200
    assert (await people.admin.get("/api/admin/users")).status == 403


async def test_an_admin_deletes_others_only(people):
    mine, user = people.ids["admin"], people.ids["user"]
    assert (await people.admin.delete(f"/api/admin/users/{mine}")).status == 409
    assert (await people.admin.delete(f"/api/admin/users/{user}")).status == 204
    assert (await people.admin.delete(f"/api/admin/users/{user}")).status == 404
    assert (await people.user.get("/api/me")).status == 401
    (entry,) = (await people.admin.get("/api/admin/audit", params={"action": "admin.user_deleted"})).json()["items"]
    assert (entry["user_id"], entry["subject"], entry["detail"]) == (mine, f"user {user}", {"username": "user"})


async def test_two_admins_can_not_leave_at_the_same_time(people):
    await people.admin.patch(f"/api/admin/users/{people.ids['user']}", {"is_admin": True})
    answers = await asyncio.gather(
        *(person.delete("/api/me", {"password": PASSWORD}) for person in (people.admin, people.user))
    )
    assert sorted(answer.status for answer in answers) == [204, 409]


async def test_the_only_account_stays_or_the_next_visitor_would_be_the_administrator(nobody):
    token = (await nobody.post(REGISTER, form("ann"))).json()["token"]
    answer = await nobody.as_(token).delete("/api/me", {"password": PASSWORD})
    assert answer.status == 409
    assert "only account" in answer.json()["detail"]
    assert not (await nobody.post(REGISTER, form("bob"))).json()["user"]["is_admin"]


async def test_a_token_needs_the_password(people):
    for sent in ({}, {"password": "wrong password"}):
        answer = await people.user.post("/api/me/tokens", {"name": "x", **sent})
        assert answer.status == 422
        assert answer.json()["errors"][0]["field"] == "password"
    assert (await people.user.get("/api/me/tokens")).json()["items"] == []


async def test_the_scope_of_a_token(people):
    async def make(who, **sent):
        return await who.post("/api/me/tokens", {"name": "x", "password": PASSWORD, **sent})

    assert (await make(people.user)).json()["item"]["scope"] == "manage"
    assert (await make(people.user, scope="read")).json()["item"]["scope"] == "read"
    assert (await make(people.user, scope="admin")).json()["errors"][0]["field"] == "scope"
    assert (await make(people.user, scope="all")).status == 422
    created = (await make(people.admin, scope="admin")).json()
    assert created["item"]["scope"] == "admin"
    script = people.admin.as_(created["token"])
    assert (await script.get("/api/admin/users")).status == 200
    await people.admin.patch(f"/api/admin/users/{people.ids['other']}", {"is_admin": True})
    await people.other.patch(f"/api/admin/users/{people.ids['admin']}", {"is_admin": False})
    answer = await script.get("/api/admin/users")
    assert answer.status == 403, "the token is no more than its user"
    assert (await script.get("/api/areas")).status == 200


async def test_a_token_says_which_scope_it_lacks(people):
    created = await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD, "scope": "read"})
    answer = await people.user.as_(created.json()["token"]).post("/api/areas", {})
    assert (answer.status, answer.json()["detail"]) == (
        403,
        "This API token can't do this. It has the scope read; this needs manage.",
    )


async def test_an_api_token_is_no_cookie(people, nobody):
    created = await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD})
    token = created.json()["token"]
    cookie = {"cookie": f"area_session={token}", "sec-fetch-site": "same-origin"}
    assert (await nobody.get("/api/me", headers=cookie)).status == 401
    assert (await nobody.get("/api/me", headers={"authorization": f"Bearer {token}"})).status == 200
    session = {"cookie": f"area_session={people.user.token}"}
    assert (await nobody.get("/api/me", headers=session)).status == 200


async def test_sign_out_everywhere(people, nobody):
    second = people.user.as_((await log_in(nobody, "user")).json()["token"])
    created = await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD})
    script = people.user.as_(created.json()["token"])
    answer = await people.user.post("/api/me/sign-out-everywhere", {})
    assert answer.json() == {"sessions": 1, "tokens": 0}
    assert [(await person.get("/api/me")).status for person in (people.user, second, script)] == [200, 401, 200]
    answer = await people.user.post("/api/me/sign-out-everywhere", {"tokens": True})
    assert answer.json() == {"sessions": 0, "tokens": 1}
    assert [(await person.get("/api/me")).status for person in (people.user, script, people.other)] == [200, 401, 200]


async def test_a_new_password_revokes_tokens_if_that_is_wanted(people):
    created = await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD})
    script = people.user.as_(created.json()["token"])
    change = {"current_password": PASSWORD, "new_password": "correct horse staple"}
    assert (await people.user.post("/api/me/password", change)).status == 204
    assert (await script.get("/api/me")).status == 200
    change = {"current_password": "correct horse staple", "new_password": PASSWORD, "revoke_tokens": True}
    assert (await people.user.post("/api/me/password", change)).status == 204
    assert (await script.get("/api/me")).status == 401


async def test_a_disabled_account_is_out_at_once(people, nobody):
    script = people.user.as_(
        (await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD})).json()["token"]
    )
    path = f"/api/admin/users/{people.ids['user']}"
    assert (await people.admin.patch(path, {"is_active": False})).json()["is_active"] is False
    assert [(await person.get("/api/me")).status for person in (people.user, script)] == [401, 401]
    assert (await log_in(nobody, "user")).status == 403
    assert (await log_in(nobody, "user", "wrong password")).status == 401  # told only to whom it concerns
    await people.admin.patch(path, {"is_active": True})
    assert [(await person.get("/api/me")).status for person in (people.user, script)] == [401, 200]
    assert (await log_in(nobody, "user")).status == 200


async def test_an_admin_resets_a_password_which_ends_everything(people, nobody):
    script = people.user.as_(
        (await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD})).json()["token"]
    )
    path = f"/api/admin/users/{people.ids['user']}"
    assert (await people.admin.patch(path, {"password": "x" * 73})).status == 422
    assert (await people.admin.patch(path, {"password": "given by admin"})).status == 200
    assert [(await person.get("/api/me")).status for person in (people.user, script)] == [401, 401]
    assert (await log_in(nobody, "user", "given by admin")).status == 200
    assert (await people.admin.patch("/api/admin/users/999999", {"is_active": False})).status == 404


async def test_admins_find_accounts(people):
    items = (await people.admin.get("/api/admin/users", params={"q": "USER"})).json()["items"]
    assert [row["username"] for row in items] == ["user"]
    first = (await people.admin.get("/api/admin/users", params={"limit": 2})).json()
    rest = (await people.admin.get("/api/admin/users", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["username"] for item in first["items"] + rest["items"]] == ["other", "user", "admin"]
    assert rest["next_cursor"] is None
    assert (await people.admin.get("/api/admin/users", params={"q": "%"})).json()["items"] == []


async def test_what_happened_stands_in_the_audit_without_secrets(people, nobody):
    await log_in(nobody, PASSWORD, "user")  # typed into the wrong field
    await log_in(nobody, "user", "wrong password!")
    await people.user.post("/api/me/password", {"current_password": PASSWORD, "new_password": "another password"})
    entries = (await people.admin.get("/api/admin/audit")).json()["items"]
    actions = [entry["action"] for entry in entries]
    assert actions[:2] == ["account.password_changed", "login.failed"]
    assert entries[1]["address"] == "192.0.2.1"
    assert entries[1]["subject"] == f"user {people.ids['user']}"
    assert entries[2]["subject"] == "unknown user"
    assert "wrong password!" not in str(entries)
    assert PASSWORD not in str(entries)
    failed = (await people.admin.get("/api/admin/audit", params={"action": "login."})).json()["items"]
    assert {run["action"] for run in failed} == {"login.failed"}


async def test_what_did_not_change_is_not_in_the_audit(people):
    me = (await people.user.get("/api/me")).json()
    same = {"username": me["username"], "timezone": me["timezone"], "language": me["language"]}
    assert (await people.user.patch("/api/me", same)).status == 200
    assert (await people.user.patch("/api/me", same | {"timezone": "Asia/Tokyo"})).status == 200
    entries = (await people.admin.get("/api/admin/audit", params={"action": "account.changed"})).json()["items"]
    assert [entry["detail"] for entry in entries] == [{"fields": ["timezone"]}]


# Limits


async def test_failed_log_ins_are_limited_by_name_from_however_many_addresses(people, nobody, state):
    for number in range(state.settings.login_attempts):
        nobody.address = f"198.51.100.{number}"
        login = ("user", "USER")[number % 2]
        assert (await log_in(nobody, login, "wrong password")).status == 401
    nobody.address = "198.51.100.99"
    answer = await log_in(nobody, "user")
    assert answer.status == 429
    assert 800 < int(answer.header("retry-after") or 0) <= 900
    assert answer.json()["retry_after"] == int(answer.header("retry-after") or 0)
    assert (await log_in(nobody, "other")).status == 200


async def test_an_unknown_account_is_limited_the_same(nobody, state):
    statuses = [(await log_in(nobody, "ghost")).status for _ in range(state.settings.login_attempts + 1)]
    assert statuses == [401] * state.settings.login_attempts + [429]


async def test_failed_log_ins_are_limited_per_address(people, nobody, state):
    limit = state.settings.login_attempts * attempts.ADDRESS_FACTOR
    async with state.database.transaction() as session:
        for number in range(limit - 3):  # three registrations count, too
            await attempts.attempt(session, state.settings, f"name{number}", nobody.address)
    assert (await log_in(nobody, "user")).status == 429
    nobody.address = "198.51.100.1"
    assert (await log_in(nobody, "user")).status == 200


async def test_all_of_an_ipv6_network_is_one_address(state):
    async with state.database.transaction() as session:
        for number in range(state.settings.login_attempts * attempts.ADDRESS_FACTOR):
            await attempts.attempt(session, state.settings, f"n{number}", f"2001:db8:1:2::{number:x}")
        with pytest.raises(TooMany):
            await attempts.attempt(session, state.settings, "one more", "2001:db8:1:2:ffff::1")
        await attempts.attempt(session, state.settings, "one more", "2001:db8:1:3::1")


async def test_a_success_takes_back_ones_own_failures_and_nobody_elses(people, nobody, state):
    for _ in range(state.settings.login_attempts - 2):
        nobody.address = "198.51.100.7"
        await log_in(nobody, "user", "wrong password")
    nobody.address = "192.0.2.1"
    assert [(await log_in(nobody, "user")).status for _ in range(5)] == [200] * 5
    nobody.address = "198.51.100.7"
    assert [(await log_in(nobody, "user", "wrong")).status for _ in range(3)] == [401, 401, 429]


async def test_guesses_at_the_same_moment_in_two_processes_do_not_pass_the_limit(people, state, dsn):
    second = Database(dsn)
    try:

        async def guess(number: int) -> bool:
            database = (state.database, second)[number % 2]
            try:
                async with database.transaction() as session:
                    await attempts.attempt(session, state.settings, "user", f"198.51.100.{number}")
            except TooMany:
                return False
            return True

        allowed = sum(await asyncio.gather(*(guess(number) for number in range(40))))
        assert allowed == state.settings.login_attempts
    finally:
        await second.close()


async def test_attempts_are_forgotten_after_a_while(people, nobody, state):
    for _ in range(state.settings.login_attempts):
        await log_in(nobody, "user", "wrong password")
    async with state.database.transaction() as session:
        await session.execute(text("update login_attempts set at = at - interval '16 minutes'"))
    assert (await log_in(nobody, "user")).status == 200
    async with state.database.transaction() as session:
        assert await session.scalar(text("select count(*) from login_attempts")) == 0


async def test_purge_deletes_what_has_run_out(people, state):
    async with state.database.transaction() as session:
        await session.execute(
            text("update access_tokens set expires_at = now() where user_id = :id"), {"id": people.ids["user"]}
        )
        await session.execute(text("update login_attempts set at = now() - interval '1 hour'"))
        assert await sessions.purge(session) == 1 + 3  # a session, and three registrations
    assert (await people.other.get("/api/me")).status == 200


# Browsers


async def test_a_browser_gets_a_cookie_that_pages_can_not_read(nobody):
    answer = await nobody.post(REGISTER, form("ann"))
    cookie = next(row for row in answer.all("set-cookie"))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert (await nobody.get("/api/me", headers={"cookie": answer.cookie()})).status == 200


async def test_behind_https_the_cookie_is_secure(state, nobody):
    state.settings = state.settings.model_copy(update={"public_url": "https://area.example.org"})
    answer = await nobody.post(REGISTER, form("ann", setup_code=setup.code(state.settings)))
    assert "Secure" in answer.all("set-cookie")[0]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://testserver.localhost"}, 403),
        ({"origin": "http://testserver.localhost"}, 200),
        ({"origin": "http://testserver.localhost.example.org"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[broken"}, 403),
        ({}, 403),
    ],
)
async def test_a_cookie_changes_something_only_for_our_own_pages(people, nobody, headers, status):
    cookie = (await log_in(nobody, "user")).cookie()
    answer = await nobody.patch("/api/me", {"username": "Ursula"}, headers={"cookie": cookie, **headers})
    assert answer.status == status
    assert (await nobody.get("/api/me", headers={"cookie": cookie, **headers})).status == 200


async def test_a_foreign_page_can_not_log_a_browser_in(people, nobody):
    provided = {"login": "user", "password": PASSWORD}
    assert (await nobody.post(LOGIN, provided, headers={"origin": "https://evil.example"})).status == 403
    assert (await nobody.post(REGISTER, form("eve"), headers={"sec-fetch-site": "cross-site"})).status == 403
    assert (await nobody.post(LOGIN, provided, headers={"origin": "http://testserver.localhost"})).status == 200


async def test_a_wrong_header_goes_before_a_right_cookie(people, nobody):
    cookie = (await log_in(nobody, "user")).cookie()
    for header in ("Bearer wrong", "Basic dXNlcjp1c2Vy", "Bearer", ""):
        answer = await nobody.get("/api/me", headers={"cookie": cookie, "authorization": header})
        assert answer.status == 401, header


async def test_forwarded_addresses_count_only_from_trusted_proxies(people, nobody, state):
    async def seen(chain: str) -> str:
        await nobody.post(LOGIN, {"login": "user", "password": "wrong password"}, headers={"x-forwarded-for": chain})
        entry = (await people.admin.get("/api/admin/audit", params={"limit": 1})).json()["items"][0]
        return entry["address"]

    assert await seen("203.0.113.9") == "192.0.2.1"
    state.settings = state.settings.model_copy(update={"trusted_proxies": "192.0.2.0/24, 198.51.100.1"})
    assert await seen("203.0.113.9") == "203.0.113.9"
    assert await seen("1.1.1.1, 203.0.113.9, 198.51.100.1") == "203.0.113.9"  # what was forged stands at the left
    assert await seen("") == "192.0.2.1"
