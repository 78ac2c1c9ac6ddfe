"""Google Sheets: rows and cells that are added or changed, and rows and cells to write."""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from area.sdk import Context, Event, Option, Permanent, Pick, Service, parse
from area.sdk.google import HOSTS, PAGES, call, google, pages, refusal, scope

SOON = timedelta(
    minutes=1
)  # a user may ask 60 times a minute, https://developers.google.com/workspace/sheets/api/limits
KEYS = 1000  # rows that are told apart by a column
FILES = scope("drive.metadata.readonly")  # to choose a spreadsheet from
READ, WRITE = (scope("spreadsheets.readonly"), FILES), (scope("spreadsheets"), FILES)
SPREADSHEETS = "mimeType = 'application/vnd.google-apps.spreadsheet' and trashed = false"

service = Service(
    "google_sheets",
    "Google Sheets",
    "Spreadsheets of a Google account: rows and cells that are added or changed, and rows and cells to write.",
    docs="https://developers.google.com/workspace/sheets/api",
    base_url="https://sheets.googleapis.com",
    auth=google(),
    hosts=(*HOSTS, "www.googleapis.com"),
    pages=PAGES,
    refusal=refusal,
    quality="verified",
)


def _identity(given: Any) -> Any:
    """The ID, also out of the address that is in the browser."""
    found = re.search(r"/spreadsheets/d/([\w-]+)", given) if isinstance(given, str) else None
    return found[1] if found else given


def _listed(given: Any) -> Any:
    return given if isinstance(given, list | dict) else [given]


Cell = str | int | float | bool | None
Row = list[Cell]
Columns = dict[str, Cell]


class Spreadsheet(BaseModel):
    """Which spreadsheet."""

    spreadsheet: Annotated[str, BeforeValidator(_identity), Pick("spreadsheets")] = Field(
        min_length=1, description="Spreadsheet", examples=["1A2b3C4d5E6f7G8h9I0jKlMnOpQrStUv"]
    )


class Sheet(Spreadsheet):
    """Which sheet of it."""

    sheet: Annotated[str, Pick("sheets")] = Field(min_length=1, description="Sheet, by its name", examples=["Sheet1"])


class Keyed(Sheet):
    """How rows are told apart."""

    key: str = Field(min_length=1, description="Column that names a row, by its name in the first row", examples=["ID"])


class OneCell(Sheet):
    """Which cell."""

    cell: str = Field(pattern=r"^[A-Za-z]{1,3}[0-9]{1,7}$", description="Cell", examples=["B2"])


class Writing(Sheet):
    """How cells are written."""

    as_typed: bool = Field(
        False, description="Whether cells are understood as if typed: dates, and formulas, too", examples=[False]
    )


class NewRow(Writing):
    """A row to add."""

    values: Annotated[Row | Columns, BeforeValidator(_listed)] = Field(
        description="Cells: a JSON list, or an object by the names in the first row", examples=[["{{title}}", "{{url}}"]]
    )  # fmt: skip


class NewCells(Writing):
    """Cells to write."""

    cells: str = Field(
        pattern=r"^[A-Za-z]{1,3}[0-9]{1,7}(:[A-Za-z]{1,3}[0-9]{1,7})?$", description="Cell, or range", examples=["B2", "A2:C3"]
    )  # fmt: skip
    values: Annotated[Row | list[Row], BeforeValidator(_listed)] = Field(
        description="Cells: a JSON list, or a list of rows", examples=[["{{title}}", "{{url}}"]]
    )


class NewValues(Writing, Keyed):
    """A row to change."""

    value: str = Field(min_length=1, description="What the column holds in the row", examples=["{{id}}"])
    values: Columns = Field(
        description="Cells: a JSON object by the names in the first row", examples=[{"Status": "{{state}}"}]
    )
    add: bool = Field(False, description="Whether to add the row when there is none", examples=[True])


class NewSheet(Spreadsheet):
    """A sheet to add."""

    title: str = Field(min_length=1, description="Name of the sheet", examples=["November"])


class Line(BaseModel):
    """A row."""

    row: int = Field(description="Its number", examples=[7])
    values: list[str] = Field(description="Its cells, as they are shown", examples=[["Ann", "ann@example.org"]])
    columns: dict[str, str] = Field(
        description="Its cells by the names in the first row", examples=[{"Name": "Ann", "E-mail": "ann@example.org"}]
    )


class Change(BaseModel):
    """A cell that changed."""

    cell: str = Field(description="The cell", examples=["B2"])
    before: str = Field(description="What it held", examples=["open"])
    after: str = Field(description="What it holds", examples=["done"])


class Tab(BaseModel):
    """A sheet of a spreadsheet."""

    model_config = ConfigDict(populate_by_name=True)

    id: int = Field(validation_alias="sheetId", description="ID of the sheet", examples=[1234567])
    title: str = Field(description="Its name", examples=["November"])


class Written(BaseModel):
    """What was written."""

    model_config = ConfigDict(populate_by_name=True)

    range: str = Field(validation_alias="updatedRange", description="Where", examples=["Sheet1!A7:B7"])
    cells: int = Field(0, validation_alias="updatedCells", description="How many cells", examples=[2])


@service.poll("A row is added", every=SOON, scopes=READ)
async def row_added(ctx: Context, params: Sheet, since: datetime) -> AsyncIterator[Event[Line]]:  # noqa: ARG001
    """A row is added below the others."""
    rows = await _rows(ctx, params)
    known, begun = ctx.state.get("rows", len(rows)), ctx.state.get("begun", 0)
    # when rows are deleted, the next ones get numbers that there were before
    ctx.state.update(rows=len(rows), begun=begun + (len(rows) < known))
    for line in _lines(rows):
        if line.row > known and any(line.values):
            yield Event(f"{begun} {line.row}", line)


@service.poll("A row is changed", every=SOON, scopes=READ)
async def row_changed(ctx: Context, params: Keyed, since: datetime) -> AsyncIterator[Event[Line]]:  # noqa: ARG001
    """A row is changed. A column names each row, so that rows may be sorted, inserted and deleted; new rows do not count."""
    rows = await _rows(ctx, params)
    place = _place(rows, params.key)
    named = {line.values[place]: line for line in reversed(_lines(rows)) if line.values[place:] and line.values[place]}
    if len(named) > KEYS:
        raise Permanent(f"The sheet has more than {KEYS} rows with something in {params.key!r}, too many to compare.")
    marks = {key: hashlib.sha256(orjson.dumps(line.values)).hexdigest()[:12] for key, line in named.items()}
    before, count = ctx.state.get("marks", marks), ctx.state.get("count", 0)
    for key in sorted(key for key, mark in marks.items() if before.get(key, mark) != mark):
        count += 1
        yield Event(str(count), named[key])
    ctx.state.update(marks=marks, count=count)


@service.poll("A cell is changed", every=SOON, scopes=READ)
async def cell_changed(ctx: Context, params: OneCell, since: datetime) -> AsyncIterator[Event[Change]]:  # noqa: ARG001
    """A cell holds something else, also when a formula comes to another result."""
    rows = await _rows(ctx, params, params.cell)
    after = rows[0][0] if rows and rows[0] else ""
    before, count = ctx.state.get("value", after), ctx.state.get("count", 0) + 1
    if before != after:
        yield Event(str(count), Change(cell=params.cell, before=before, after=after))
        ctx.state["count"] = count
    ctx.state["value"] = after


@service.poll("A sheet is added", every=SOON, scopes=READ)
async def sheet_added(ctx: Context, params: Spreadsheet, since: datetime) -> AsyncIterator[Event[Tab]]:  # noqa: ARG001
    """A sheet is added to a spreadsheet."""
    for one in await _tabs(ctx, params):
        yield Event(str(one.id), one)


@service.reaction("Add a row", scopes=WRITE)
async def append_row(ctx: Context, params: NewRow) -> Written:
    """Add a row below the others. Cells are kept as they come, so that nobody can smuggle a formula in."""
    return await _append(ctx, params, params.values)


@service.reaction("Write cells", scopes=WRITE)
async def update_cells(ctx: Context, params: NewCells) -> Written:
    """Write one cell, or a range of them."""
    nested = any(isinstance(one, list) for one in params.values)
    body = {"values": params.values if nested else [params.values]}
    # https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/update
    made = await call(ctx, "PUT", _range(params, params.cells), params=_input(params), json=body)
    return parse(Written, made, "Google Sheets")


@service.reaction("Change a row", scopes=WRITE)
async def update_row(ctx: Context, params: NewValues) -> Written:
    """Change cells of the first row that holds a value in a column, or add a row when there is none."""
    rows = await _rows(ctx, params)
    place = _place(rows, params.key)
    found = next((one for one in _lines(rows) if one.values[place : place + 1] == [params.value]), None)
    if found is None and params.add:
        return await _append(ctx, params, {params.key: params.value, **params.values})
    if found is None:
        raise Permanent(f"No row has {params.value!r} in {params.key!r}.")
    body = {"values": [_arranged(rows, params.values)]}
    made = await call(ctx, "PUT", _range(params, f"A{found.row}"), params=_input(params), json=body)
    return parse(Written, made, "Google Sheets")


@service.reaction("Add a sheet", scopes=WRITE)
async def add_sheet(ctx: Context, params: NewSheet) -> Tab:
    """Add a sheet to a spreadsheet, unless it has one of this name."""
    same = next((one for one in await _tabs(ctx, params) if one.title == params.title), None)
    if same:
        return same
    # https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets/batchUpdate
    body = {"requests": [{"addSheet": {"properties": {"title": params.title}}}]}
    made = await call(ctx, "POST", f"{_address(params)}:batchUpdate", json=body)
    reply: dict[str, Any] = next(iter(made.get("replies") or ()), {})
    return parse(Tab, reply.get("addSheet", {}).get("properties", {}), "Google Sheets")


@service.picker
async def spreadsheets(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The account's spreadsheets, those changed last first."""
    query = {"q": SPREADSHEETS, "orderBy": "modifiedTime desc", "pageSize": "500", "supportsAllDrives": "true"}
    query |= {"includeItemsFromAllDrives": "true", "fields": "nextPageToken,files(id,name)"}
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/list
    found = pages(ctx, "https://www.googleapis.com/drive/v3/files", "files", params=query, most=500)
    return [Option(one["id"], one["name"]) async for one in found]


@service.picker
async def sheets(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The sheets of the spreadsheet that is chosen."""
    if not form.get("spreadsheet"):
        return []
    return [Option(one.title, one.title) for one in await _tabs(ctx, Spreadsheet(spreadsheet=form["spreadsheet"]))]


async def _tabs(ctx: Context, params: Spreadsheet) -> list[Tab]:
    # https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets/get
    answer = await call(ctx, "GET", _address(params), params={"fields": "sheets.properties(sheetId,title)"})
    return parse(list[Tab], [one.get("properties") for one in answer.get("sheets") or ()], "Google Sheets")


async def _rows(ctx: Context, params: Sheet, cells: str = "") -> list[list[str]]:
    """The rows up to the last one that holds something, without the empty cells at their ends."""
    # https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/get
    return parse(list[list[str]], (await call(ctx, "GET", _range(params, cells))).get("values") or [], "Google Sheets")


async def _append(ctx: Context, params: Writing, values: Row | Columns) -> Written:
    row = _arranged(await _rows(ctx, params, "1:1"), values) if isinstance(values, dict) else values
    query = _input(params) | {"insertDataOption": "INSERT_ROWS"}
    # https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/append
    made = await call(ctx, "POST", f"{_range(params)}:append", params=query, json={"values": [row]})
    return parse(Written, made.get("updates") or {}, "Google Sheets")


def _lines(rows: Sequence[list[str]]) -> list[Line]:
    """The rows below the first, which names the columns."""
    names = rows[0] if rows else []
    return [
        Line(
            row=number,
            values=row,
            columns={name: cell for name, cell in zip_longest(names, row[: len(names)], fillvalue="") if name},
        )
        for number, row in enumerate(rows[1:], 2)
    ]


def _place(rows: Sequence[list[str]], name: str) -> int:
    names = rows[0] if rows else []
    if name not in names:
        raise Permanent(f"The first row has no {name!r}; it has {', '.join(filter(None, names)) or 'nothing'}.")
    return names.index(name)


def _arranged(rows: Sequence[list[str]], values: Columns) -> Row:
    """The cells in the order of the first row; null, which leaves a cell as it is, where there is none."""
    places = {_place(rows, name): cell for name, cell in values.items()}
    return [places.get(place) for place in range(max(places, default=-1) + 1)]


def _input(params: Writing) -> dict[str, str]:
    return {"valueInputOption": "USER_ENTERED" if params.as_typed else "RAW"}


def _address(params: Spreadsheet) -> str:
    return f"/v4/spreadsheets/{quote(params.spreadsheet, safe='')}"


def _range(params: Sheet, cells: str = "") -> str:
    # https://developers.google.com/workspace/sheets/api/guides/concepts#cell
    name = "'" + params.sheet.replace("'", "''") + "'"
    return f"{_address(params)}/values/{quote(f'{name}!{cells}' if cells else name, safe='')}"
