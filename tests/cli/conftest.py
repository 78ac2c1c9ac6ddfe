"""The `area` command in this process, against a fresh database and an empty data dir."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import ports
from typer.testing import CliRunner, Result

from area.cli.commands import app
from area.kit import logs
from area.settings import settings

PASSWORD = "correct horse battery"


class Area:
    """Runs commands."""

    def __init__(self) -> None:
        self.runner = CliRunner()

    def __call__(self, *arguments: str, typed: str | None = None) -> Result:
        settings.cache_clear()
        return self.runner.invoke(app, [str(argument) for argument in arguments], input=typed)

    def ok(self, *arguments: str, typed: str | None = None) -> str:
        """What a command printed that must succeed."""
        result = self(*arguments, typed=typed)
        assert result.exit_code == 0, f"{arguments}: {result.output}{result.stderr}{result.exception!r}"
        return result.stdout

    def json(self, *arguments: str, typed: str | None = None) -> Any:
        return json.loads(self.ok(*arguments, "--json", typed=typed))

    def refuses(self, *arguments: str, code: int = 1, typed: str | None = None) -> str:
        """The sentence of a command that must fail with one."""
        result = self(*arguments, typed=typed)
        assert result.exit_code == code, f"{arguments}: {result.output}{result.stderr}"
        assert isinstance(result.exception, SystemExit), "a traceback"
        assert result.stderr.strip()
        return result.stderr

    def user(self, name: str = "ann", *more: str) -> None:
        self.ok("user", "create", f"{name}@example.org", name, "--password-stdin", *more, typed=f"{PASSWORD}\n")


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings but the data dir, and this process's logs left alone."""
    for name in [name for name in os.environ if name.startswith("AREA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AREA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    yield
    settings.cache_clear()


@pytest.fixture
def dsn(catalog_dsn: str) -> str:
    """A fresh database with the catalog in it."""
    return catalog_dsn


@pytest.fixture
def area(clean: None, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Area:
    monkeypatch.setenv("AREA_DATABASE_URL", dsn)
    settings().secret_keys()  # made by the first command that wants one
    return Area()


@pytest.fixture
def no_database(clean: None) -> Area:
    """Commands that need none."""
    return Area()


@pytest.fixture
def free_port() -> int:
    return ports.free_port()


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `area …` as a process of its own, ended at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            # a test run in the background ignores Ctrl-C, and what it starts would, too
            [sys.executable, "-c", PROGRAM, *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


PROGRAM = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from area.cli import main; main()"


DOORBELL = {
    "name": "Doorbell",
    "action": {"component": "webhook.received"},
    "reaction": {"component": "inbox.post", "parameters": {"title": "{{body.who}} is there"}},
}
