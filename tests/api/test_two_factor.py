"""The second factor: an app's codes, recovery codes, who must have one, and who is asked."""

from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from tests.api.conftest import PASSWORD
from tests.engine.conftest import rows

from area.accounts import places, tickets
from area.db import contexts
from area.kit import clock

START = datetime(2026, 11, 30, 12, 0, 5, tzinfo=UTC)
PROOF = {"password": PASSWORD}


class Clock:
    """The time, which moves when it is told to."""

    def __init__(self, monkeypatch):
        self.now = START
        monkeypatch.setattr(clock, "now", lambda: self.now)

    def on(self, seconds):
        self.now += timedelta(seconds=seconds)

    def code(self, secret, steps=0):
        return pyotp.TOTP(secret).at(int(self.now.timestamp()) + 30 * steps)


@pytest.fixture
def time(monkeypatch):
    return Clock(monkeypatch)


async def with_app(client, time):
    """Set an app up; returns its secret and the recovery codes."""
    begun = (await client.post("/api/me/two-factor/app", PROOF)).json()
    answer = await client.post(
        "/api/me/two-factor/app/confirm", {"setup": begun["setup"], "code": time.code(begun["secret"])}
    )
    assert answer.status == 200, answer.body
    time.on(30)
    return begun["secret"], answer.json()["recovery_codes"]


async def log_in(client, login="user", password=PASSWORD, **more):
    return await client.post("/api/auth/login", {"login": login, "password": password}, **more)


async def second(client, request, **what):
    return await client.post("/api/auth/second-factor", {"ticket": request.json()["ticket"], **what})


async def test_a_log_in_asks_for_a_code(people, nobody, time):
    secret, codes = await with_app(people.user, time)
    assert len(codes) == len(set(codes)) == 10
    challenge = await log_in(nobody)
    assert challenge.status == 401
    assert not challenge.all("set-cookie")
    problem = challenge.json()
    assert (problem["code"], problem["methods"]) == ("second_factor_required", ["app", "recovery_code"])
    assert "passkey" not in problem or problem["passkey"] is None
    assert (await second(nobody, challenge, code="000000")).status == 422
    answer = await second(nobody, challenge, code=time.code(secret))
    assert answer.status == 200
    assert (await nobody.as_(answer.json()["token"]).get("/api/me")).json()["two_factor"] is True
    assert (await log_in(nobody, "other")).status == 200, "without a second factor nothing is different"
    assert (await log_in(nobody, password="wrong password")).json()["code"] == "unauthenticated"


async def test_a_code_and_a_ticket_are_good_once(people, nobody, time):
    secret, _ = await with_app(people.user, time)
    first, other = await log_in(nobody), await log_in(nobody)
    code = time.code(secret)
    assert (await second(nobody, first, code=code)).status == 200
    assert (await second(nobody, other, code=code)).status == 422, "the time step was used"
    time.on(30)
    assert (await second(nobody, first, code=time.code(secret))).status == 410, "the ticket was used"
    assert (await second(nobody, other, code=time.code(secret))).status == 200


@pytest.mark.parametrize(("steps", "status"), [(-2, 422), (-1, 200), (0, 200), (1, 200), (2, 422)])
async def test_clocks_may_differ_by_a_step(people, nobody, time, steps, status):
    secret, _ = await with_app(people.user, time)
    time.on(60)
    assert (await second(nobody, await log_in(nobody), code=time.code(secret, steps))).status == status


async def test_a_recovery_code_is_good_once(people, nobody, time, state):
    _, codes = await with_app(people.user, time)
    assert (await second(nobody, await log_in(nobody), code=codes[0].upper().replace("-", " "))).status == 200
    assert (await second(nobody, await log_in(nobody), code=codes[0])).status == 422
    assert (await people.user.get("/api/me/two-factor")).json()["recovery_codes"] == 9
    stored = [row["code_hash"] for row in await rows(state, "select code_hash from recovery_codes")]
    assert not {code.replace("-", "") for code in codes} & set(stored)
    fresh = (await people.user.post("/api/me/two-factor/recovery-codes", PROOF)).json()["recovery_codes"]
    assert len(fresh) == 10
    assert (await second(nobody, await log_in(nobody), code=codes[1])).status == 422
    assert (await second(nobody, await log_in(nobody), code=fresh[1])).status == 200


async def test_a_ticket_is_for_one_thing_and_ends(people, nobody, time, state):
    secret, _ = await with_app(people.user, time)
    user_id = people.ids["user"]
    for purpose in ("passkey", "prove", "add-passkey"):
        forged = tickets.issue(state.keyring, purpose, f"{user_id}|x")
        answer = await nobody.post("/api/auth/second-factor", {"ticket": forged, "code": time.code(secret)})
        assert answer.status == 410
    request = await log_in(nobody)
    time.on(601)
    assert (await second(nobody, request, code=time.code(secret))).status == 410
    request = await log_in(nobody)
    change = {"current_password": PASSWORD, "new_password": "correct horse staple"}
    assert (await people.user.post("/api/me/password", change)).status == 204
    assert (await second(nobody, request, code=time.code(secret))).status == 410, "of the password before"


async def test_guesses_at_codes_are_limited_and_a_right_password_takes_none_back(people, nobody, time, state):
    secret, _ = await with_app(people.user, time)
    attacker = nobody.as_("")
    attacker.address = "203.0.113.9"
    statuses = []
    for _ in range(12):
        challenge = await log_in(attacker)
        assert challenge.json()["code"] == "second_factor_required"
        statuses.append((await second(attacker, challenge, code="000000")).status)
    assert statuses == [422] * 10 + [429] * 2
    answer = await second(nobody, await log_in(nobody), code=time.code(secret))
    assert answer.status == 200, "the owner's own place counts by itself"


async def test_the_app_is_removed_with_its_codes(people, nobody, time, state):
    await with_app(people.user, time)
    assert (await people.user.request("DELETE", "/api/me/two-factor/app", json={})).status == 422
    assert (await people.user.request("DELETE", "/api/me/two-factor/app", json=PROOF)).status == 204
    assert await rows(state, "select * from recovery_codes") == []
    assert (await log_in(nobody)).status == 200
    actions = [row["action"] for row in await rows(state, "select action from audit order by id")]
    assert {"two_factor.app_added", "two_factor.app_removed"} <= set(actions)
    titles = [row["title"] for row in await rows(state, "select title from notices order by id")]
    assert titles[-2:] == [
        "An authenticator app was added to your account",
        "The authenticator app was removed from your account",
    ]


async def test_the_secret_is_encrypted_and_bound_to_its_user(people, time, state):
    secret, _ = await with_app(people.user, time)
    (row,) = await rows(state, "select user_id, secret from two_factor")
    assert secret not in row["secret"]
    assert state.keyring.decrypt(row["secret"], contexts.second_factor(row["user_id"])) == secret
    begun = (await people.user.post("/api/me/two-factor/app", PROOF)).json()
    answer = await people.other.post(
        "/api/me/two-factor/app/confirm", {"setup": begun["setup"], "code": time.code(begun["secret"])}
    )
    assert answer.status == 410


async def test_a_second_factor_may_be_required(people, nobody, time, state, monkeypatch):
    created = await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD})
    script = people.user.as_(created.json()["token"])
    monkeypatch.setattr(state, "settings", state.settings.model_copy(update={"require_two_factor": "everybody"}))
    for method, path in (("GET", "/api/areas"), ("POST", "/api/me/tokens"), ("DELETE", "/api/me")):
        answer = await people.user.request(method, path, json={} if method != "GET" else None)
        assert (answer.status, answer.json()["code"]) == (403, "two_factor_setup_required")
    assert (await script.get("/api/areas")).status == 200, "programs go on"
    assert (await people.user.get("/api/me")).status == 200
    assert (await people.user.get("/api/me/two-factor")).json()["required"] is True
    await with_app(people.user, time)
    assert (await people.user.get("/api/areas")).status == 200
    assert (await people.user.request("DELETE", "/api/me/two-factor/app", json=PROOF)).status == 409
    monkeypatch.setattr(state, "settings", state.settings.model_copy(update={"require_two_factor": "admins"}))
    assert (await people.other.get("/api/areas")).status == 200
    assert (await people.admin.get("/api/areas")).status == 403


async def test_an_administrator_takes_it_off(people, nobody, time):
    await with_app(people.user, time)
    path = f"/api/admin/users/{people.ids['user']}/two-factor"
    assert (await people.other.delete(path)).status == 403
    assert (await people.admin.delete(path)).json()["two_factor"] is False
    assert (await log_in(nobody)).status == 200


async def test_passkeys_need_a_name_with_https(people, nobody, state, monkeypatch):
    answer = await nobody.post("/api/auth/passkey/options", {})
    assert answer.status == 409
    assert "AREA_PUBLIC_URL" in answer.json()["detail"]
    monkeypatch.setattr(state, "settings", state.settings.model_copy(update={"public_url": "https://area.example.org"}))
    request = (await nobody.post("/api/auth/passkey/options", {})).json()
    assert request["options"]["rpId"] == "area.example.org"
    assert request["options"]["userVerification"] == "required"
    for credential in ({}, {"id": "x"}, {"id": 1, "response": []}, {"id": "x" * 2000}):
        sent = {"ticket": request["ticket"], "credential": credential}
        assert (await nobody.post("/api/auth/passkey", sent)).status == 422


# Lock-out


async def test_whoever_guesses_elsewhere_does_not_lock_the_owner_out(people, nobody):
    attacker = nobody.as_("")
    attacker.address = "203.0.113.9"
    for login in ("user", "user@example.org"):
        tried = [(await log_in(attacker, login, "wrong password")).status for _ in range(11)]
        assert tried == [401] * 10 + [429], "each name by itself"
    stranger = nobody.as_("")
    stranger.address = "203.0.113.10"
    assert (await log_in(stranger)).status == 429, "the total of all strangers is bounded"
    assert (await log_in(nobody)).status == 200, "from the owner's network"
    change = {"current_password": PASSWORD, "new_password": "correct horse staple"}
    assert (await people.user.post("/api/me/password", change)).status == 204


async def test_a_browser_that_signed_in_before_is_known_anywhere(people, nobody):
    there = await log_in(nobody)
    device = next(row for row in there.all("set-cookie") if row.startswith("area_device=")).partition(";")[0]
    attacker = nobody.as_("")
    attacker.address = "203.0.113.9"
    for _ in range(10):
        await log_in(attacker, "user", "wrong password")
    abroad = nobody.as_("")
    abroad.address = "203.0.113.77"
    assert (await log_in(abroad)).status == 429
    assert (await log_in(abroad, headers={"cookie": device})).status == 200
    for _ in range(10):
        assert (await log_in(attacker, "user", "wrong password", headers={"cookie": device})).status == 401
    assert (await log_in(attacker, "user", PASSWORD, headers={"cookie": device})).status == 429, "it has its own count"


async def test_known_names_and_unknown_ones_look_the_same(people, nobody):
    attacker = nobody.as_("")
    attacker.address = "203.0.113.9"
    seen = {}
    for login in ("user", "USER", "user@example.org", "nobody-here", "nobody@example.org"):
        answers = [await log_in(attacker, login, "wrong password") for _ in range(3)]
        seen[login] = [(answer.status, answer.json()["detail"]) for answer in answers]
    assert len({str(value) for value in seen.values()}) == 1


async def test_guesses_at_the_own_password_are_limited_by_session(people, nobody):
    wrong = {"current_password": "wrong password", "new_password": "correct horse staple"}
    second_session = people.user.as_((await log_in(nobody)).json()["token"])
    tried = [(await second_session.post("/api/me/password", wrong)).status for _ in range(11)]
    assert tried == [422] * 10 + [429]
    right = wrong | {"current_password": PASSWORD}
    assert (await people.user.post("/api/me/password", right)).status == 204


async def test_places_are_few_and_forgotten_with_the_password(people, state):
    user_id = people.ids["user"]
    async with state.database.transaction() as session:
        for number in range(places.MAX_PLACES + 5):
            await places.remember(session, user_id, f"198.51.100.{number}", "")
    count = "select count(*) as n from known_places where user_id = $1"
    assert (await rows(state, count, user_id))[0]["n"] == places.MAX_PLACES
    change = {"current_password": PASSWORD, "new_password": "correct horse staple"}
    assert (await people.user.post("/api/me/password", change)).status == 204
    assert (await rows(state, count, user_id))[0]["n"] == 0


# Passwords


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "Password1",
        "P@ssw0rd",
        "12345678",
        "qwertyuiop",
        "letmein123",
        "iloveyou2",
        "aaaaaaaa",
        "sunshine1",
        "abcdefgh1",
    ],
)
async def test_a_common_password_is_refused(nobody, password):
    form = {"email": "ann@example.org", "username": "ann", "password": password}
    answer = await nobody.post("/api/auth/register", form)
    assert answer.status == 422
    assert answer.json()["errors"] == [
        {
            "field": "password",
            "message": "This password is too easy to guess. Use several unrelated words, or a password manager.",
        }
    ]


@pytest.mark.parametrize("password", ["marguerite", "marguerite.duras", "Marguerite.Duras@example.org", "marguerite2"])
async def test_a_password_made_of_the_own_name_is_refused(nobody, password):
    form = {"email": "marguerite.duras@example.org", "username": "marguerite", "password": password}
    assert (await nobody.post("/api/auth/register", form)).json()["errors"][0]["field"] == "password"
    assert (await nobody.post("/api/auth/register", form | {"password": PASSWORD})).status == 201


async def test_a_new_password_is_looked_at_in_the_same_way(people):
    for new in ("password1", "user@example.org"):
        change = {"current_password": PASSWORD, "new_password": new}
        assert (await people.user.post("/api/me/password", change)).json()["errors"][0]["field"] == "new_password"
    path = f"/api/admin/users/{people.ids['user']}"
    assert (await people.admin.patch(path, {"password": "password1"})).status == 422
