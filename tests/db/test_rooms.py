"""What only one room of db knows is written in no other."""

import re
from pathlib import Path

import area
from area.db import contexts

SOURCES = Path(area.__file__).parent


def holders(pattern: str) -> set[str]:
    """The modules whose text has it; migrations, which stay as they were written, left out."""
    results = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if re.search(pattern, path.read_text()) and "migrations" not in path.parts
    }
    return {name for name in results if not re.search(r"/test_[^/]*$", name)}


def test_notify_and_listen():
    assert holders(r"pg_notify|(?i:\blisten )\"") == {"db/notify.py", "db/session.py"}
    assert holders(r"add_listener\(") <= {"db/notify.py", "db/queue.py", "cli/log.py"}


def test_advisory_locks():
    assert holders(r"412_?70\d\d|4_127_\d\d\d") == {"db/locks.py"}


def test_the_two_forms_of_an_address():
    assert holders(r"\+asyncpg") == {"db/dsn.py"}


def test_pgqueuer():
    assert holders(r"(?i)\b(from|update|into|join|import) pgqueuer|ch_pgqueuer") == {"db/queue.py"}


def test_contexts_of_encryption():
    assert holders(r'f"(area|source|draft|execution|user):\{[^"]*\}\||\|(token|secret|oauth_token|refresh_token)"') == {
        "db/contexts.py"
    }


def test_contexts_are_those_of_every_version():
    """A letter changed here would make what installations hold unreadable."""
    assert [
        contexts.hook(7, "token"),
        contexts.hook(7, "secret"),
        contexts.parameter(7, 8),
        contexts.hint(7, "token"),
        contexts.source("k", "url"),
        contexts.draft(7, "new"),
        contexts.connection(7, "slack", 0, "oauth_token"),
        contexts.connection(7, "slack", 3, "oauth_token"),
        contexts.execution(7),
        contexts.second_factor(7),
        contexts.second_factor_setup(7),
        contexts.consent("n"),
        contexts.meta("k"),
    ] == [
        "area:7|token",
        "area:7|secret",
        "area:7|8",
        "source:7|token",
        "source:k|url",
        "draft:7|new",
        "7|slack|oauth_token",
        "7|slack#3|oauth_token",
        "execution:7|parameters",
        "user:7|totp",
        "user:7|totp-setup",
        "consent|n",
        "meta|k",
    ]
