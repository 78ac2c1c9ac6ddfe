"""Only edges commit, sessions begin in one place, and pools are opened in one (docs/adr/0002 and 0005)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "area"
SESSION = SOURCE / "db" / "session.py"


def calls(path: Path, *names: str) -> Iterator[ast.Call]:
    """Calls of methods of these names."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
            yield node


def places(names: tuple[str, ...], *, beside: Path) -> list[str]:
    """Where they are called, `beside` (a file or folder) left out."""
    return [
        f"{path.relative_to(SOURCE)}:{call.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path != beside and beside not in path.parents and not path.name.startswith("test_")
        for call in calls(path, *names)
    ]


@pytest.mark.parametrize(
    ("names", "beside"),
    [
        (("commit",), SOURCE / "db"),
        (("begin",), SESSION),
        (("create_pool",), SESSION),
    ],
    ids=["commit", "begin", "create_pool"],
)
def test_it_is_called_in_its_place_only(names, beside):
    assert not places(names, beside=beside)


def test_the_looks_find_what_they_look_for():
    assert list(calls(SESSION, "begin"))
    assert list(calls(SESSION, "create_pool"))


def test_pools_have_a_reset_of_their_own():
    for call in calls(SESSION, "create_pool"):
        assert "reset" in {keyword.arg for keyword in call.keywords}
