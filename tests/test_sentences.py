"""What people read is written so that it can be translated: as a literal, with `%(name)s` for what is filled in."""

import ast
from collections.abc import Iterator
from pathlib import Path

from area.kit.problems import Problem
from area.sdk import ConnectorError

SOURCE = Path(__file__).parents[1] / "src" / "area"
UNSPOKEN = {"cli", "connectors", "testing", "migrations"}


def descendants(kind: type) -> Iterator[str]:
    yield kind.__name__
    for subclass in kind.__subclasses__():
        yield from descendants(subclass)


PROBLEMS = {name for name in descendants(Problem) if name != "SecondFactorRequired"}
ERRORS = {*descendants(ConnectorError), "Sentence", "RequestFailed", "GrantFailed", "LookupFailed"}


def made_up(node: ast.expr) -> bool:
    """Whether a text is put together on the spot, so that its key would be another each time, or could not be
    collected.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in ("format", "join")
    if isinstance(node, ast.BoolOp):
        return any(made_up(value) or (isinstance(value, ast.Constant) and value.value) for value in node.values)
    return isinstance(node, ast.JoinedStr | ast.BinOp | ast.IfExp | ast.Dict)


def told(call: ast.Call) -> list[ast.expr]:
    """What a call says to people."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name == "field" and ast.unparse(call.func) == "Invalid.field":
        return call.args[1:2]
    if name == "counted":
        return call.args[:2]
    return call.args[:1] if name in PROBLEMS | ERRORS else []


def offenders(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield from (
                f"{path.relative_to(SOURCE)}:{row.lineno}: {ast.unparse(row)}" for row in told(node) if made_up(row)
            )


def spoken() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if not UNSPOKEN & set(path.relative_to(SOURCE).parts)]


def test_no_sentence_for_people_is_put_together_on_the_spot():
    assert len(spoken()) > 200
    assert [offender for path in spoken() for offender in offenders(path)] == []


def test_the_rule_sees_what_it_forbids(tmp_path):
    bad = (
        'NotFound(f"There is no {x}.")', 'Invalid.field("a", f"{x} is wrong.")', 'Conflict("a" + x)', 'Sentence("a %s" % x)',
        'Retry("{} is away.".format(x))', 'TooMany("a" if x else "b")', 'counted(f"{x}", "b", 1)',
    )  # fmt: skip
    for code in bad:
        (call,) = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call) and told(node))
        assert any(map(made_up, told(call))), code
