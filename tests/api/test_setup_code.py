"""The first account of an installation that other machines can reach needs the code that its terminal shows."""

import pytest
from structlog.testing import capture_logs

from area.accounts import setup
from area.app import tell_setup_code
from area.cli import supervise
from area.settings import Settings

REGISTER = "/api/auth/register"
KEY = "a secret key of more than thirty-two letters"


def form(name="ann", **more):
    return {"email": f"{name}@example.org", "username": name, "password": "correct horse battery", **more}


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"host": "192.168.1.5"},
        {"host": "nas.local"},
        {"public_url": "https://area.example.org"},
        {"allowed_hosts": "nas.local"},
        {"trusted_proxies": "127.0.0.1"},
    ],
)
def test_who_needs_it(settings):
    code = setup.code(Settings(_env_file=None, secret_key=KEY, **settings))
    assert code is not None
    assert len(code) == 19


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"host": "localhost"},
        {"host": "::1"},
        {"public_url": "http://localhost:8080"},
        {"public_url": "http://127.0.0.1"},
    ],
)
def test_who_does_not(settings):
    assert setup.code(Settings(_env_file=None, secret_key=KEY, **settings)) is None


def test_every_process_knows_the_same_and_another_installation_another():
    first, same = (setup.code(Settings(_env_file=None, secret_key=KEY, host="::")) for _ in range(2))
    assert first == same
    rotated = Settings(_env_file=None, secret_key=f"another {KEY},{KEY}", host="::")
    assert setup.code(rotated) != first


@pytest.fixture
def reachable(state):
    state.settings = state.settings.model_copy(update={"host": "0.0.0.0"})
    return state


async def test_the_first_account_needs_it_and_no_other(reachable, nobody):
    code = setup.code(reachable.settings)
    with capture_logs() as logs:
        await tell_setup_code(reachable)
    assert [(log["event"], log["setup_code"]) for log in logs] == [("web.setup_code", code)]
    for provided in (None, "", " ", "ABCD-EFGH-IJKL-MNOP", "é" * 19, code[:-1]):
        answer = await nobody.post(REGISTER, form(setup_code=provided))
        assert answer.status == 422
        (error,) = answer.json()["errors"]
        assert error["field"] == "setup_code"
        assert "area user setup-code" in error["message"]
    assert (await nobody.post(REGISTER, form())).status == 422
    answer = await nobody.post(REGISTER, form(setup_code=f" {code.lower().replace('-', ' ')} "))
    assert answer.status == 201
    assert answer.json()["user"]["is_admin"]
    assert (await nobody.post(REGISTER, form("bob"))).status == 201
    with capture_logs() as logs:
        await tell_setup_code(reachable)
    assert logs == []


async def test_on_this_machine_only_nobody_is_asked(nobody):
    assert (await nobody.post(REGISTER, form())).status == 201


def test_the_terminal_says_it(monkeypatch):
    settings = Settings(_env_file=None, secret_key=KEY, host="0.0.0.0")
    text = supervise.first_steps(settings)
    assert text.count(setup.code(settings)) == 2
    assert "code" not in supervise.first_steps(Settings(_env_file=None, secret_key=KEY))
