"""The live database is the one that docs/reference/schema.md describes, column by column."""

import re
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

REFERENCE = Path(__file__).parents[2] / "docs/reference/schema.md"

# Executions outgrow 32 bits within a year on a busy installation; the only difference.
WIDER = {("area_executions", "id"): "bigint"}

CLOCK = {"now()", "timezone('utc'::text, now())"}


@dataclass(frozen=True)
class Column:
    table: str
    name: str
    type: str
    constraints: str

    @property
    def primary(self) -> bool:
        return "PK" in self.constraints

    @property
    def nullable(self) -> bool:
        return "Nullable" in self.constraints

    @property
    def labels(self) -> list[str]:
        match = re.search(r"NOT NULL \((.*)\)", self.constraints)
        return re.findall(r"'(\w+)'", match[1]) if match else []

    @property
    def default(self) -> str | None:
        match = re.search(r"DEFAULT ('\w+'|\w+)", self.constraints)
        return match[1].lower() if match else None

    @property
    def points_to(self) -> str | None:
        match = re.search(r"FK -> `(\w+)\(id\)`", self.constraints)
        return match[1] if match else None


def described() -> list[Column]:
    columns, table = [], None
    for line in REFERENCE.read_text().split("## Table Definitions")[1].replace("\\", "").splitlines():
        if heading := re.fullmatch(r"### `(\w+)`", line):
            table = heading[1]
        elif row := re.fullmatch(r"\| `(\w+)` \| `([^`]+)` \| (.*?) \| .* \|", line):
            assert table
            columns.append(Column(table, *row.groups()))
    return columns


COLUMNS = described()
TABLES = list(dict.fromkeys(column.table for column in COLUMNS))


def test_the_reference_is_understood():
    assert len(TABLES) == 10
    assert len(COLUMNS) == 77
    for column in COLUMNS:
        rest = re.sub(
            r"PK|UK|NOT NULL( \(.*\))?|Nullable|Auto-increment|DEFAULT ('\w+'|\w+)|FK -> `\w+\(id\)`|, ",
            "",
            column.constraints,
        )
        assert rest == "", column


async def attributes(connection: asyncpg.Connection, table: str) -> dict[str, asyncpg.Record]:
    rows = await connection.fetch(
        """
        select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as required,
            pg_get_expr(adbin, adrelid) as default, attidentity <> '' as generated,
            array(select enumlabel::text from pg_enum where enumtypid = atttypid order by enumsortorder) as labels
        from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
        where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum
        """,
        table,
    )
    return {row["name"]: row for row in rows}


async def keys(connection: asyncpg.Connection, table: str) -> list[tuple[str, list[str], str | None, list[str]]]:
    """Each key: its kind, its columns, the table it points to and the columns there."""
    rows = await connection.fetch(
        """
        select contype::text as kind, confrelid::regclass::text as target,
            array(select attname::text from unnest(conkey) with ordinality as k(number, position)
                join pg_attribute on attrelid = conrelid and attnum = number order by position) as columns,
            array(select attname::text from unnest(confkey) with ordinality as k(number, position)
                join pg_attribute on attrelid = confrelid and attnum = number order by position) as targets
        from pg_constraint where conrelid = $1::regclass
        """,
        table,
    )
    return [(row["kind"], row["columns"], row["target"], row["targets"]) for row in rows]


async def hold_against_reference(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for table in TABLES:
            expected = [column for column in COLUMNS if column.table == table]
            actual = await attributes(connection, table)
            assert list(actual) == [column.name for column in expected], table
            for column in expected:
                hold_column(column, actual[column.name])
            hold_keys(expected, await keys(connection, table))
    finally:
        await connection.close()


def hold_column(column: Column, actual: asyncpg.Record) -> None:
    where = f"{column.table}.{column.name}"
    if column.type == "enum":
        assert list(actual["labels"]) == column.labels, where
    else:
        spelled = re.sub("^varchar", "character varying", column.type)
        spelled = {"int": "integer", "timestamp": "timestamp without time zone"}.get(spelled, spelled)
        assert actual["type"] == WIDER.get((column.table, column.name), spelled), where
    assert actual["required"] == (not column.nullable), where
    assert actual["generated"] == ("Auto-increment" in column.constraints), where
    default = re.sub(r"^('\w+')::character varying$", r"\1", actual["default"] or "") or None
    # a clock where the reference asks for an instant and gives no default is ours
    assert default == column.default or (column.type.startswith("timestamp") and default in CLOCK), where


def hold_keys(expected: list[Column], actual: list[tuple[str, list[str], str | None, list[str]]]) -> None:
    primary = [columns for kind, columns, _, _ in actual if kind == "p"]
    assert [sorted(columns) for columns in primary] == [sorted(column.name for column in expected if column.primary)]
    unique = {columns[0] for kind, columns, _, _ in actual if kind == "u" and len(columns) == 1}
    assert unique == {column.name for column in expected if "UK" in column.constraints}
    foreign = {(tuple(columns), target, tuple(targets)) for kind, columns, target, targets in actual if kind == "f"}
    assert foreign == {((column.name,), column.points_to, ("id",)) for column in expected if column.points_to}


async def test_the_database_is_as_described(dsn: str):
    await hold_against_reference(dsn)


@pytest.mark.parametrize(
    "change",
    [
        "alter table users alter email type varchar(254)",
        "alter table users alter password_hash set not null",
        "alter table users drop constraint uq_users_username",
        "alter table areas alter triggered_count drop default",
        "alter table areas alter last_triggered_at type timestamptz",
        "alter table areas drop constraint fk_areas_user_id",
        "alter table variables add extra int",
        "alter table hook_states drop constraint pk_hook_states",
        "alter type component_type add value 'else'",
    ],
)
async def test_a_difference_is_found(dsn: str, change: str):
    connection = await asyncpg.connect(dsn)
    await connection.execute(change)
    await connection.close()
    with pytest.raises(AssertionError):
        await hold_against_reference(dsn)


@pytest.mark.parametrize("status", ["pending", "running", "success", "failed", "cancelled", "skipped"])
def test_the_status_values_are_the_described_ones(status: str):
    assert re.search(rf"`status`.*\(.*\b{status}\b.*\)", REFERENCE.read_text())


async def test_another_status_is_refused(dsn: str):
    connection = await asyncpg.connect(dsn)
    with pytest.raises(asyncpg.CheckViolationError, match="known_status"):
        await connection.execute("insert into area_executions (area_id, status) values (1, 'done')")
    await connection.close()
