"""What only one room of db knows is written in no other."""

import re
from pathlib import Path

import area

SOURCES = Path(area.__file__).parent


def holders(pattern: str) -> set[str]:
    """The modules whose text has it; migrations, which stay as they were written, left out."""
    found = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if re.search(pattern, path.read_text()) and "migrations" not in path.parts
    }
    return {name for name in found if not re.search(r"/test_[^/]*$", name)}


def test_notify_and_listen():
    assert holders(r"pg_notify|(?i:\blisten )\"") == {"db/notify.py", "db/session.py"}
    assert holders(r"add_listener\(") <= {"db/notify.py", "db/queue.py", "cli/log.py"}


def test_advisory_locks():
    assert holders(r"412_?70\d\d|4_127_\d\d\d") == {"db/locks.py"}


def test_the_two_forms_of_an_address():
    assert holders(r"\+asyncpg") == {"db/dsn.py"}


def test_pgqueuer():
    assert holders(r"(?i)\b(from|update|into|join|import) pgqueuer|pgqueuer_|ch_pgqueuer") == {"db/queue.py"}
