"""Connections: tried before they are kept, and never readable again."""

import asyncpg
import pytest
from sqlalchemy import text

from area import connections, rotation
from area.connections.vault import Ref
from area.engine.platform import UserPlatform
from area.kit.crypto import Keyring
from area.kit.http import Client as HttpClient
from area.registry import Registry

SECRET = "s3cret-of-the-door"
DOOR = {"host": "locker.example.org", "login": "ann", "password": SECRET}
PATH = "/api/connections/locker"
AREA = {
    "name": "lock",
    "action": {"component": "locker.put_in"},
    "reaction": {"component": "hall.say", "parameters": {"item": "{{title}}"}},
}


async def rows(state) -> list:
    async with state.database.sessions() as session:
        return list((await session.execute(text("select * from user_services"))).all())


async def test_it_is_tried_then_kept_encrypted_and_bound_to_its_place(people, state):
    answer = await people.user.post(PATH, DOOR)
    assert answer.status == 200, answer.body
    assert answer.json()["connected"] is True
    assert answer.json()["status"] == "works"
    [row] = await rows(state)
    assert SECRET not in str(row)
    assert "locker.example.org" not in str(row)
    user_id = people.ids["user"]
    assert SECRET in state.keyring.decrypt(row.oauth_token, f"{user_id}|locker|oauth_token")
    for elsewhere in (
        f"{user_id + 1}|locker|oauth_token",
        f"{user_id}|hall|oauth_token",
        f"{user_id}|locker|refresh_token",
    ):
        with pytest.raises(Exception, match="belongs elsewhere"):
            state.keyring.decrypt(row.oauth_token, elsewhere)
    async with state.database.sessions() as session:
        stored = await connections.credential(session, state.keyring, state.registry, user_id, "locker")
        assert stored is not None
        assert (stored.host, stored.port, stored.password.get_secret_value()) == ("locker.example.org", 4000, SECRET)
        assert (
            await connections.credential(session, state.keyring, state.registry, people.ids["other"], "locker") is None
        )


async def test_nothing_of_it_comes_out_through_any_door(people, nobody):
    provided = {**DOOR, "host": "host-that-nobody-sees.example.org", "login": "login-that-nobody-sees"}
    answers = [await people.user.post(PATH, provided)]
    await people.user.post("/api/areas", AREA)
    document = (await nobody.get("/api/openapi.json")).json()
    for path, operations in document["paths"].items():
        if "get" in operations and "stream" not in path:
            filled = path.replace("{service}", "locker").replace("{name}", "locker")
            for part in ("area_id", "execution_id"):
                filled = filled.replace(f"{{{part}}}", "1")
            for client in (people.user, people.admin):
                answers.append(await client.get(filled))  # noqa: PERF401
    answers.append(await people.user.post(f"{PATH}/test"))
    answers.append(await people.user.delete(PATH))
    assert len(answers) > 30
    for answer in answers:
        for hidden in (SECRET, "nobody-sees"):
            assert hidden not in answer.body.decode(), answer.body


@pytest.mark.parametrize(
    ("mode", "word"),
    [
        ("refused", "refused the login"),
        ("expired", "no longer good"),
        ("certificate", "certificate"),
        ("away", "can't be reached"),
        ("slow", "within 0.2 seconds"),
        ("broken", "connector failed (RuntimeError)"),
        ("platform", "can't use AREA itself"),
    ],
)
async def test_what_is_wrong_is_said_without_the_password_and_nothing_is_kept(
    people, state, monkeypatch, capsys, mode, word
):
    monkeypatch.setattr(connections, "TEST_TIMEOUT", 0.2 if mode == "slow" else 30)
    answer = await people.user.post(PATH, {**DOOR, "mode": mode})
    assert answer.status == 422
    assert word in answer.json()["detail"]
    assert SECRET not in answer.body.decode()
    assert SECRET not in "".join(capsys.readouterr())
    assert await rows(state) == []


async def test_wrong_fields_are_named_and_what_was_typed_is_not_repeated(people):
    answer = await people.user.post(PATH, {"host": "h" * 201, "port": 70000, "passwrod": SECRET})
    assert {error["field"] for error in answer.json()["errors"]} == {"passwrod"}
    assert 'did you mean "password"' in answer.json()["detail"]
    answer = await people.user.post(PATH, {"host": "h" * 201, "port": 70000, "password": [SECRET]})
    assert answer.status == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"host", "port", "login", "password"}
    assert SECRET not in answer.body.decode()


async def test_services_without_a_connection_and_unknown_ones_are_404(people):
    for service in ("hall", "lockr"):
        for method, path in (("POST", ""), ("GET", ""), ("DELETE", ""), ("POST", "/test")):
            answer = await people.user.request(
                method, f"/api/connections/{service}{path}", json={} if (method, path) == ("POST", "") else None
            )
            assert answer.status == 404, (method, path)
    assert 'did you mean "locker"' in (await people.user.get("/api/connections/lockr")).json()["detail"]


async def test_the_list_shows_the_form_and_how_it_fares(people):
    [connection] = (await people.user.get("/api/connections")).json()["items"]
    assert (connection["service"], connection["connected"], connection["status"]) == ("locker", False, None)
    form = {field["name"]: field for field in connection["fields"]}
    assert form["password"]["secret"] is True
    assert form["password"]["default"] is None
    assert form["port"]["default"] == 4000
    assert form["login"]["required"] is True
    await people.user.post(PATH, DOOR)
    assert (await people.user.get("/api/connections")).json()["items"][0]["connected"] is True
    assert (await people.other.get("/api/connections")).json()["items"][0]["connected"] is False


async def test_testing_again_notes_how_it_fares(people, state):
    assert (await people.user.post(f"{PATH}/test")).status == 404
    await people.user.post(PATH, DOOR)

    async def become(mode: str) -> dict:
        token = state.keyring.encrypt(
            f'{{"host":"h","login":"l","password":"{SECRET}","mode":"{mode}"}}',
            f"{people.ids['user']}|locker|oauth_token",
        )
        async with state.database.transaction() as session:
            await session.execute(text("update user_services set oauth_token = :token"), {"token": token})
        answer = await people.user.post(f"{PATH}/test")
        assert answer.status == 200
        assert SECRET not in answer.body.decode()
        shown = (await people.user.get(PATH)).json()
        return {**answer.json(), "status": shown["status"], "last_error": shown["last_error"]}

    assert (await become("works"))["status"] == "works"
    refused = await become("refused")
    assert (refused["works"], refused["expired"], refused["status"]) == (False, True, "expired")
    assert "refused the login" in refused["last_error"]
    assert (await become("works"))["status"] == "works"
    away = await become("away")
    assert (away["works"], away["expired"], away["status"]) == (False, False, "works")
    assert "can't be reached" in away["last_error"]


async def test_reconnecting_makes_an_expired_connection_work_and_says_so(people, state):
    await people.user.post(PATH, DOOR)
    user_id = people.ids["user"]
    await UserPlatform(state, user_id, 0).connection_expired(Ref(user_id, "locker"), "no longer good", None)
    assert (await people.user.get(PATH)).json()["status"] == "expired"
    heard: list[str] = []
    listening = await asyncpg.connect(state.database.dsn)
    await listening.add_listener("connection_changed", lambda *provided: heard.append(provided[3]))
    await people.user.post(PATH, DOOR)
    await listening.execute("select 1")
    await listening.close()
    assert f"{user_id}:locker" in heard
    shown = (await people.user.get(PATH)).json()
    assert (shown["status"], shown["last_error"]) == ("works", None)


async def test_disconnecting_says_which_areas_wait(people, state):
    await people.user.post(PATH, DOOR)
    area = (await people.user.post("/api/areas", AREA)).json()
    assert (await people.other.delete(PATH)).status == 404
    answer = await people.user.delete(PATH)
    assert answer.json() == {"areas": [{"id": area["id"], "name": "lock", "is_active": True}]}
    assert await rows(state) == []
    assert (await people.user.delete(PATH)).status == 404
    assert (await people.user.get(f"/api/areas/{area['id']}")).json()["state"] == "waiting_for_connection"


async def test_a_service_that_is_switched_off_takes_no_connection(people, state):
    async with state.database.sessions() as session:
        number = await session.scalar(text("select id from services where name = 'Locker Room'"))
    assert (await people.admin.patch(f"/api/admin/services/{number}", {"is_active": False})).status == 200
    assert (await people.user.post(PATH, DOOR)).status == 404
    assert await rows(state) == []


async def test_a_credential_that_can_not_be_read_is_none(people, state):
    await people.user.post(PATH, DOOR)
    lost = Keyring(["another-key-of-more-than-32-characters"])
    async with state.database.sessions() as session:
        assert await connections.credential(session, lost, state.registry, people.ids["user"], "locker") is None
    token = state.keyring.encrypt('{"host": "of an older form"}', f"{people.ids['user']}|locker|oauth_token")
    async with state.database.transaction() as session:
        await session.execute(text("update user_services set oauth_token = :token"), {"token": token})
        assert (
            await connections.credential(session, state.keyring, state.registry, people.ids["user"], "locker") is None
        )
    assert (await people.user.post(f"{PATH}/test")).status == 404


async def test_rotation_encrypts_everything_with_the_first_key(people, state):
    await people.user.post(PATH, DOOR)
    webhook = {
        "name": "bell",
        "action": {"component": "hall.rung", "parameters": {"code": "c0de-of-bell"}},
        "reaction": AREA["reaction"],
    }
    answer = (await people.user.post("/api/areas", webhook)).json()
    assert answer["webhook_url"]
    changed = {"action": {"component": "hall.rung", "parameters": {"code": "c0de-again"}}}
    assert (await people.user.patch(f"/api/areas/{answer['id']}", changed)).status == 200
    text_that_looks_encrypted = {
        "name": "plain",
        "action": AREA["action"],
        "reaction": {"component": "hall.say", "parameters": {"item": "enc:nothing"}},
    }
    await people.user.post("/api/areas", text_that_looks_encrypted)
    old = state.keyring
    new = Keyring(["a-newer-key-of-more-than-32-characters", *state.settings.secret_keys()])
    async with state.database.transaction() as session:
        count = (await rotation.rotate(session, new, state.registry)).count
    # credential; webhook address and secret; a secret parameter and its two versions; what only looks encrypted,
    # likewise
    assert count == 1 + 2 + 3 + 2
    async with state.database.transaction() as session:
        assert (await rotation.rotate(session, new, state.registry)).count == 0
        everything = ""
        for table in ("user_services", "triggers", "area_parameters", "area_versions"):
            everything += str((await session.execute(text(f"select * from {table}"))).all())
    assert f".{old.encrypt('', '')[3:11]}." not in everything
    only_new = Keyring(["a-newer-key-of-more-than-32-characters"])
    state.keyring = only_new
    assert (await people.user.post(f"{PATH}/test")).json()["works"] is True
    shown = (await people.user.get(f"/api/areas/{answer['id']}")).json()
    assert shown["webhook_url"] == answer["webhook_url"]
    assert (await people.user.get("/api/areas")).status == 200


async def test_the_real_mail_service_says_what_is_wrong(people, state):
    mail = pytest.importorskip("area.connectors.email")
    state.registry = Registry()
    state.registry.add(mail.service)
    from area import catalog

    async with state.database.transaction() as session:
        await catalog.sync(session, state.registry)
    provided = {"imap_host": "localhost", "imap_port": 1, "imap_security": "none", "login": "ann", "password": SECRET}
    answer = await people.user.post("/api/connections/email", provided)
    assert answer.status == 422
    assert "localhost" in answer.json()["detail"]
    assert "AREA_ALLOW_PRIVATE_NETWORK" in answer.json()["detail"]
    guard = state.settings.model_copy(update={"allow_private_network": "localhost"}).guard()
    state.guard, state.client = guard, HttpClient(guard)
    answer = await people.user.post("/api/connections/email", provided)
    assert answer.status == 422
    assert SECRET not in answer.body.decode()
    assert "localhost" in answer.json()["detail"]
