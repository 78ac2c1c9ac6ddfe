"""Convert between `only_if` and the rows of the condition form, each a comparison."""

import re

from pydantic import BaseModel

from area.kit.regex import Regex
from area.kit.template import condition
from area.kit.template.comparison import Constant
from area.kit.template.condition import AllOf, AnyOf, Compare, ConditionError, Not, Tree
from area.kit.template.reading import Path

ALONE = ("empty", "not empty")  # operators that take nothing to compare with
OPERATORS = (
    "contains",
    "not contains",
    "==",
    "!=",
    "starts_with",
    "ends_with",
    "matches",
    "<",
    "<=",
    ">",
    ">=",
    *ALONE,
)
_BARE = re.compile(r"-?\d{1,15}(?:\.\d{1,6})?|true|false", re.ASCII)
_ESCAPED_OR_QUOTE = re.compile(r'\\.|"', re.DOTALL)


class Row(BaseModel):
    """One comparison."""

    name: str
    field: str = ""
    operator: str = "contains"
    value: str = ""

    @property
    def complete(self) -> bool:
        """Whether the row is complete."""
        return bool(self.field and (self.operator in ALONE or self.value))

    @property
    def readable(self) -> bool:
        """Whether `field` is the path of a value, such as `body.name`."""
        try:
            tree = condition.parse(f"{self.field} empty").tree
        except ConditionError:
            return False
        return isinstance(tree, Compare) and isinstance(tree.left, Path)


class Rows(BaseModel):
    """Comparisons joined by `and` or `or`."""

    joint: str = "and"
    rows: list[Row] = []


def write(rows: Rows) -> str:
    """The condition as text; rows without a field are left out."""
    return f" {rows.joint} ".join(_comparison(row) for row in rows.rows if row.field)


def _comparison(row: Row) -> str:
    if row.operator in ALONE:
        return f"{row.field} {row.operator}"
    if row.operator in ("<", "<=", ">", ">=", "==", "!=") and _BARE.fullmatch(row.value):
        return f"{row.field} {row.operator} {row.value}"
    if row.operator == "matches":
        return f"{row.field} {row.operator} {_pattern(row.value)}"
    escaped = row.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{row.field} {row.operator} "{escaped}"'


def _pattern(value: str) -> str:
    """A quoted pattern with its backslashes kept."""
    if '"' in value and "'" in value:
        value = _ESCAPED_OR_QUOTE.sub(lambda match: '\\"' if match[0] == '"' else match[0], value)
    elif '"' in value:
        return f"'{value}'"
    return f'"{value}"'


def read(text: str) -> Rows | None:
    """The rows equivalent to the text; None if there are none or the text is invalid."""
    if not text.strip():
        return Rows()
    try:
        tree = condition.parse(text).tree
        rows = _rows(tree)
        same = rows is not None and condition.parse(write(rows)).tree == tree
    except ConditionError:
        return None
    return rows if same else None


def _rows(tree: Tree) -> Rows | None:
    parts = tree.parts if isinstance(tree, AllOf | AnyOf) else (tree,)
    rows = [row for number, part in enumerate(parts) if (row := _row(part, str(number)))]
    if len(rows) < len(parts):
        return None
    return Rows(joint="or" if isinstance(tree, AnyOf) else "and", rows=rows)


def _row(tree: Tree, name: str) -> Row | None:
    negated = isinstance(tree, Not)
    compared = tree.part if isinstance(tree, Not) else tree
    if not isinstance(compared, Compare) or not isinstance(compared.left, Path):
        return None
    operator = f"not {compared.operator}" if negated else compared.operator
    if operator not in OPERATORS:
        return None
    match compared.right:
        case None:
            value = ""
        case Regex(pattern):
            value = pattern
        case Constant(str() as text):
            value = text
        case Constant(bool(), source):
            value = source.lower()
        case Constant(int() | float(), source):
            value = source
        case _:
            return None
    return Row(name=name, field=compared.left.source, operator=operator, value=value)
