"""`only_if` as rows that a person can build: a value, an operator and what to compare with; and back, where that is simple."""

import re

from pydantic import BaseModel

from area.kit.template import TemplateError, condition
from area.kit.template.condition import ConditionError
from area.kit.template.reading import read_literal, read_path, read_string, skip_space

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
_OPERATOR = re.compile(r"(not\s+)?(contains|starts_with|ends_with|matches|empty)\b|(==|!=|<=|>=|<|>)(?!=)")
_JOINT = re.compile(r"(and|or)\b")
_BARE = re.compile(r"-?\d{1,15}(?:\.\d{1,6})?|true|false")


class Row(BaseModel):
    """One comparison."""

    name: str
    field: str = ""
    operator: str = "contains"
    value: str = ""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return bool(self.field and (self.operator in ALONE or self.value))


class Rows(BaseModel):
    """Comparisons of which all (`and`) or one (`or`) must hold."""

    joint: str = "and"
    rows: list[Row] = []


def write(rows: Rows) -> str:
    """The condition as text; of rows without a value to look at nothing is said."""
    return f" {rows.joint} ".join(_comparison(row) for row in rows.rows if row.field)


def _comparison(row: Row) -> str:
    if row.operator in ALONE:
        return f"{row.field} {row.operator}"
    if row.operator in ("<", "<=", ">", ">=", "==", "!=") and _BARE.fullmatch(row.value):
        return f"{row.field} {row.operator} {row.value}"
    if row.operator == "matches":  # a pattern is taken as it is
        quote = "'" if '"' in row.value else '"'
        return f"{row.field} {row.operator} {quote}{row.value}{quote}"
    escaped = row.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{row.field} {row.operator} "{escaped}"'


def read(text: str) -> Rows | None:
    """The rows that say the same as the text; None when rows can't."""
    found = Rows()
    if not text.strip():
        return found
    joints = set()
    position = skip_space(text, 0)
    try:
        condition.parse(text)
        while position < len(text):
            row, position = _read_row(text, position, len(found.rows))
            if row is None:
                return None
            found.rows.append(row)
            if joint := _JOINT.match(text, position):
                joints.add(joint[1])
                position = skip_space(text, joint.end())
            elif position < len(text):
                return None
    except (ConditionError, TemplateError):
        return None
    if len(joints) > 1:
        return None
    found.joint = joints.pop() if joints else "and"
    return found


def _read_row(text: str, position: int, number: int) -> tuple[Row | None, int]:
    path, position = read_path(text, position, ConditionError)
    operator = _OPERATOR.match(text, skip_space(text, position))
    if operator is None:
        return None, position
    word = operator[3] or ("not " if operator[1] else "") + operator[2]
    position = skip_space(text, operator.end())
    if word not in OPERATORS:
        return None, position
    row = Row(name=str(number), field=path.source, operator=word)
    if word in ALONE:
        return row, position
    if word == "matches":
        row.value, end = read_string(text, position, ConditionError, raw=True)
        return row, skip_space(text, end)
    literal = read_literal(text, position, ConditionError)
    if literal is None or literal[0] is None:
        return None, position
    row.value = literal[0] if isinstance(literal[0], str) else text[position : literal[1]]
    return row, skip_space(text, literal[1])
