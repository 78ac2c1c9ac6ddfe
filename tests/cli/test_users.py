import asyncio
import os
import pty
import re
import select
import sys
import termios
import time

import pytest
from tests.cli.conftest import PASSWORD

from area.accounts import attempts
from area.kit.problems import Unauthenticated
from area.settings import Settings


def test_the_first_account_is_the_administrators_and_later_ones_are_not(area):
    area.user("ann")
    area.user("bob")
    area.user("eve", "--admin")
    users = area.json("user", "list")
    assert [(user["username"], user["is_admin"]) for user in users] == [("eve", True), ("bob", False), ("ann", True)]
    assert "ann@example.org" in area.ok("user", "list", "--search", "ANN")
    assert "No such account" in area("user", "list", "--search", "nobody").stderr


@pytest.mark.parametrize(
    ("email", "name", "password", "sentence"),
    [
        ("ann", "ann", PASSWORD, "email: Enter a valid e-mail address"),
        ("ann@example.org", "a", PASSWORD, "username: "),
        ("ann@example.org", "ann", "short", "password: Use at least 8"),
        ("ann@example.org", "ann", "", "password: "),
        ("bob@example.org", "ann", PASSWORD, "already has an account"),
        ("ann@example.org", "bob", PASSWORD, "username is taken"),
    ],
)
def test_what_can_not_be_an_account_is_told_in_a_sentence(area, email, name, password, sentence):
    area.user("bob")
    assert sentence in area.refuses("user", "create", email, name, "--password-stdin", typed=f"{password}\n")


def test_administrators_are_made_and_unmade_but_for_the_last(area):
    area.user("ann")
    area.user("bob")
    assert "bob is now an administrator" in area.ok("user", "set-admin", "bob@example.org")
    assert "ann is no longer an administrator" in area.ok("user", "set-admin", "ann", "--remove")
    assert "one active administrator must remain" in area.refuses("user", "set-admin", "bob", "--remove")


def test_accounts_are_locked_out_and_let_in_again(area):
    area.user("ann")
    area.user("bob")
    area.ok("user", "disable", "bob")
    assert [account["username"] for account in area.json("user", "list") if not account["is_active"]] == ["bob"]
    area.ok("user", "enable", "2")
    assert all(account["is_active"] for account in area.json("user", "list"))
    assert "No account named 'zoe'" in area.refuses("user", "disable", "zoe")
    assert "No such account" in area.refuses("user", "disable", "99")


async def test_a_new_password_is_good_and_the_old_one_is_not(area, database):
    await asyncio.to_thread(area.user, "ann")
    await asyncio.to_thread(area.ok, "user", "reset-password", "ann", "--password-stdin", typed="another one\n")
    async with database.sessions() as session:
        attempt = await attempts.attempt(session, Settings(_env_file=None), "ann", "127.0.0.1")
        with pytest.raises(Unauthenticated):
            await attempts.check(attempt, PASSWORD)
        await attempts.check(attempt, "another one")
        assert (await attempts.log_in(session, attempt)).username == "ann"


def test_an_invitation_is_printed_once_and_lets_register(area):
    area.user("ann")
    token = area.ok("user", "invite", "--days", "2").strip()
    assert token.startswith("area_i_")
    assert area.json("user", "invite")["invitation"].startswith("area_i_")


def test_without_a_terminal_the_password_is_not_asked_for(area):
    assert "--password-stdin" in area.refuses("user", "create", "ann@example.org", "ann")


def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(area):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "area.cli", "user", "create", "ann@example.org", "ann"])
    output = b""

    def hear() -> bool:
        nonlocal output
        readable, _, _ = select.select([terminal], [], [], 30)
        assert readable, f"it says nothing more after {output!r}"
        try:
            part = os.read(terminal, 1000)
        except OSError:  # the other end is closed
            part = b""
        output += part
        return bool(part)

    for prompt in (b"Password:", b"confirmation:"):
        # the prompt is shown before the echo is switched off, and what was typed until then is thrown away
        while prompt not in output or termios.tcgetattr(terminal)[3] & termios.ECHO:
            if prompt not in output:
                assert hear(), output
            else:
                time.sleep(0.01)
        os.write(terminal, PASSWORD.encode() + b"\n")
    while hear():
        pass
    assert os.waitpid(pid, 0)[1] == 0, output
    assert b"Created account ann" in output
    assert PASSWORD.encode() not in output


def test_the_set_up_code(area, monkeypatch):
    assert "only this machine" in area.refuses("user", "setup-code")
    monkeypatch.setenv("AREA_HOST", "0.0.0.0")
    code = area.ok("user", "setup-code")
    assert code == area.ok("user", "setup-code")
    assert re.fullmatch(r"([A-Z2-7]{4}-){3}[A-Z2-7]{4}\n", code)
    area.user("ann")
    assert "there is already an account" in area.refuses("user", "setup-code")


def test_an_account_is_deleted(area):
    area.user("ann")
    area.user("bob")
    area.refuses("user", "delete", "bob", typed="n\n")
    assert "Deleted account bob." in area.ok("user", "delete", "bob@example.org", typed="y\n")
    assert [user["username"] for user in area.json("user", "list")] == ["ann"]
    assert "only account" in area.refuses("user", "delete", "ann", "--yes")
