"""What people read is written so that it can be translated: as a literal, with `%(name)s` for what is filled in."""

import ast
from collections.abc import Iterator
from pathlib import Path

from area.kit.problems import Problem
from area.registry import registry
from area.sdk import ConnectorError

SOURCE = Path(__file__).parents[1] / "src" / "area"
UNSPOKEN = {"cli", "testing", "migrations"}
OTHER_ERRORS = {"GrantFailed", "LookupFailed", "Refused", "RequestFailed", "Sentence", "Unreadable"}

registry()  # imports all connectors, whose errors count, too


def descendants(kind: type) -> Iterator[str]:
    yield kind.__name__
    for subclass in kind.__subclasses__():
        yield from descendants(subclass)


PROBLEMS = {name for name in descendants(Problem) if name != "SecondFactorRequired"}
ERRORS = {*descendants(ConnectorError), *OTHER_ERRORS}


def assembled(node: ast.expr, names: set[str]) -> bool:
    """Whether a text is put together on the spot, so that its key would be another each time, or could not be
    collected. `names` are variables that hold such texts.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in ("format", "join")
    if isinstance(node, ast.BoolOp):
        return any(
            assembled(value, names) or (isinstance(value, ast.Constant) and value.value) for value in node.values
        )
    if isinstance(node, ast.IfExp):
        return any(assembled(branch, names) or isinstance(branch, ast.Constant) for branch in (node.body, node.orelse))
    if isinstance(node, ast.Name):
        return node.id in names
    return isinstance(node, ast.JoinedStr | ast.BinOp | ast.Dict)


def messages(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call that people read."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name == "field" and ast.unparse(call.func) == "Invalid.field":
        return call.args[1:2]
    if name == "counted":
        return call.args[:2]
    if ast.unparse(call.func) == "ctx.note":
        return call.args
    return call.args[:1] if name in PROBLEMS | ERRORS else []


def offenders(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    names = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.JoinedStr)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (f"{text.lineno}: {ast.unparse(text)}" for text in messages(node) if assembled(text, names))


def spoken() -> list[Path]:
    return [
        path
        for path in sorted(SOURCE.rglob("*.py"))
        if not UNSPOKEN & set(path.relative_to(SOURCE).parts) and not path.name.startswith("test_")
    ]


def test_no_sentence_for_people_is_assembled_on_the_spot():
    assert len(spoken()) > 200
    found = [f"{path.relative_to(SOURCE)}:{where}" for path in spoken() for where in offenders(path.read_text("utf-8"))]
    assert found == []


def test_the_rule_sees_what_it_forbids():
    bad = (
        'NotFound(f"There is no {x}.")', 'Invalid.field("a", f"{x} is wrong.")', 'Conflict("a" + x)', 'Sentence("a %s" % x)',
        'Retry("{} is away.".format(x))', 'TooMany("a" if x else "b")', 'counted(f"{x}", "b", 1)', 'ctx.note(f"{x} left out.")',
        'text = f"{x}"; Permanent(text)', 'CutOff(f"{x}")', 'Unreadable(f"{x}")', 'Permanent(Sentence("a") if x else f"{x}")',
    )  # fmt: skip
    for source in bad:
        assert list(offenders(source)), source
    assert not list(offenders('Permanent(Sentence("a") if x else Sentence("%(b)s c", b=f"{d}:{e}"))'))
