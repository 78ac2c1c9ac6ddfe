"""Commands start fast: each imports only what it needs."""

import os
import subprocess
import sys

import pytest

HEAVY = ("fastapi", "area.registry", "area.sdk", "area.connectors", "area.areas", "area.web", "area.api", "pgqueuer")
PROGRAM = "import sys; from area.cli import main\ntry: main()\nfinally: print(*sys.modules, sep='\\n', file=sys.stderr)"


def modules(*arguments: str) -> set[str]:
    """What a command has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "command",
    [("user", "list"), ("user", "disable", "bob"), ("token", "list", "--user", "ann"), ("db", "url")],
    ids=" ".join,
)
async def test_what_needs_no_connector_imports_none(area, command):
    import asyncio

    await asyncio.to_thread(area.user, "ann")
    await asyncio.to_thread(area.user, "bob")
    loaded = await asyncio.to_thread(modules, *command)
    assert not [name for name in loaded if name in HEAVY or name.startswith("area.connectors.")]


@pytest.mark.parametrize(
    "command", [("--help",), ("--version",), ("user", "--help"), ("areas", "--help")], ids=" ".join
)
def test_help_imports_next_to_nothing(no_database, command):
    loaded = modules(*command)
    assert not loaded & {*HEAVY, "sqlalchemy", "asyncpg", "aiohttp"}
    assert len([name for name in loaded if name.startswith("area.")]) < 30


def test_roles_share_no_command_with_the_launcher():
    program = "import sys; from area.cli import launch, roles; launch._load(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "area.connectors.github" in loaded
    assert not {"area.cli.commands", "area.cli.areas", "area.cli.doctor"} & {*loaded}


def test_a_shell_can_complete(no_database):
    shown = no_database("--show-completion", "bash")
    assert shown.exit_code in (0, 2), "typer asks the shell that runs it"
