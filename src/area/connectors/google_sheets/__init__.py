"""Google Sheets: triggers on added and changed rows and cells; writes rows and cells."""

import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import zip_longest
from typing import Annotated, Any

import orjson
from pydantic import BeforeValidator

from area.sdk import Context, Event, Events, Number, Option, Output, Permanent, Sentence, output, param, quoted
from area.sdk.selection import Budget
from area.sdk.shapes import JSON, Place, Shape
from area.vendors import google
from area.vendors.google import scope

# a user may ask 60 times a minute, https://developers.google.com/workspace/sheets/api/limits
SOON = timedelta(minutes=1)
KEYS = 1000  # rows that are told apart by a column
FILES = scope("drive.metadata.readonly")  # to choose a spreadsheet from
READ, WRITE = (scope("spreadsheets.readonly"), FILES), (scope("spreadsheets"), FILES)
BOOK, TABS = "/v4/spreadsheets/{}", {"fields": "sheets.properties(sheetId,title)"}
INPUT = {True: {"valueInputOption": "USER_ENTERED"}, False: {"valueInputOption": "RAW"}}
CELL = "[A-Za-z]{1,3}[0-9]{1,7}"
BEGIN = ("=", "+", "-", "@")  # what a formula begins with
NUMBER = re.compile(r"[+-]?[0-9]{1,40}([.,][0-9]{1,40})?%?")

service = google.service(
    "google_sheets",
    "Google Sheets",
    "React to new and changed rows and cells; write rows and cells.",
    docs="https://developers.google.com/workspace/sheets/api",
    base_url="https://sheets.googleapis.com",
    hosts=("www.googleapis.com",),
    pages=replace(google.PAGES, rows="files", most=2),
    synonyms={
        "": "spreadsheet, Excel, table, CSV",
        "row_added": "new line, new record, form response, Google Forms, google form",
        "row_changed": "updated row, record edited",
        "cell_changed": "value changes",
        "sheet_added": "tab, worksheet",
        "append_row": (
            "log to spreadsheet, add a line, save in sheet, record, table, track, count, expense, CRM, timesheet"
        ),
        "update_cells": "set a value",
        "update_row": "change a record",
        "add_sheet": "tab, worksheet",
    },
)
WORDS = "mimeType = 'application/vnd.google-apps.spreadsheet' and trashed = false"
LISTED = {"q": WORDS, "orderBy": "modifiedTime desc", "pageSize": "250", "supportsAllDrives": "true"}
LISTED |= {"includeItemsFromAllDrives": "true", "fields": "nextPageToken,files(id,name)"}
# https://developers.google.com/workspace/drive/api/reference/rest/v3/files/list
service.options("spreadsheets", "https://www.googleapis.com/drive/v3/files", params=LISTED)


def _identity(given: Any) -> Any:
    """The spreadsheet's ID, also from its URL."""
    output = re.search(r"/spreadsheets/d/([\w-]+)", given) if isinstance(given, str) else None
    return output[1] if output else given


def _in_cell(before: str, first: bool) -> Callable[[str, Budget], str] | None:  # noqa: FBT001 -- `Place.encode`
    """A value for a cell parsed as typed; it can't start a formula or become part of one."""
    if not before.strip():
        return lambda text, _: f"'{text}" if text.lstrip()[:1] in BEGIN and not NUMBER.fullmatch(text) else text
    if before.lstrip()[0] not in BEGIN:
        return None
    if before.count('"') % 2:
        return lambda text, _: text.replace('"', '""')
    return lambda text, _: text if NUMBER.fullmatch(text) else '"' + text.replace('"', '""') + '"'


def _cells(texts: Mapping[str, str], shape: Shape = JSON) -> Shape:
    typed = texts.get("as_typed", "").strip().lower() not in ("", "false", "f", "no", "n", "off", "0")
    return replace(shape, place=Place(_in_cell, alone=True, deep=True)) if typed else shape


def _cell(texts: Mapping[str, str]) -> Shape:
    return _cells(texts, Shape())


def _listed(given: Any) -> Any:
    return given if isinstance(given, list | dict) else [given]


Cell = str | int | float | bool | None
Cells = list[Cell]
Columns = dict[str, Cell]
Spreadsheet = Annotated[
    str,
    BeforeValidator(_identity),
    param("Spreadsheet", "1A2b3C4d5E6f7G8h9I0jKlMnOpQrStUv", pick="spreadsheets", min_length=1),
]
Sheet = Annotated[str, param("Sheet name", "Sheet1", pick="sheets", min_length=1)]
Key = Annotated[str, param("Column that identifies a row, by its name in the first row", "ID", min_length=1)]
BY_NAME = "Cells, as a JSON object of column names and values"
AsTyped = Annotated[bool, param("Interpret values as if typed, including dates and formulas", False)]


class Line(Output):
    row: int = output("row", "Number", 7)
    values: list[str] = output("values", "Cells, as displayed", ["Ann", "ann@example.org"])
    columns: dict[str, str] = output("columns", "Cells by column name", {"Name": "Ann", "E-mail": "ann@example.org"})


class Change(Output):
    cell: str = output("cell", "The cell", "B2")
    before: str = output("before", "Previous value", "open")
    after: str = output("after", "Current value", "done")


class Tab(Output):
    id: int = output("properties.sheetId", "Sheet ID", 1234567)
    title: str = output("properties.title", "Name", "November")


class Written(Output):
    range: str = output("updatedRange", "Where", "Sheet1!A7:B7")
    cells: int = output("updatedCells", "Number of cells", 2, 0)


@service.poll("New row", every=SOON, scopes=READ)
async def row_added(ctx: Context, spreadsheet: Spreadsheet, sheet: Sheet) -> Events[Line]:
    """Triggers when a row is added below the others."""
    rows = await _rows(ctx, spreadsheet, sheet)
    known, begun = ctx.state.get("rows", len(rows)), ctx.state.get("begun", 0)
    # when rows are deleted, the next ones get numbers that there were before
    ctx.state.update(rows=len(rows), begun=begun + (len(rows) < known))
    for line in _lines(rows):
        if line.row > known and any(line.values):
            yield Event(f"{begun} {line.row}", line)


@service.poll("Row changed", every=SOON, scopes=READ)
async def row_changed(ctx: Context, spreadsheet: Spreadsheet, sheet: Sheet, key: Key) -> Events[Line]:
    """Triggers when a row changes. A key column identifies each row, so rows can be sorted, inserted and deleted.
    New rows don't count.
    """
    rows = await _rows(ctx, spreadsheet, sheet)
    place = _place(rows, key)
    named = {line.values[place]: line for line in reversed(_lines(rows)) if line.values[place:] and line.values[place]}
    if len(named) > KEYS:
        raise Permanent(
            Sentence(
                'The sheet has more than %(number)s rows with a value in "%(column)s": too many to compare.',
                number=Number(KEYS),
                column=key,
            )
        )
    marks = {name: hashlib.sha256(orjson.dumps(line.values)).hexdigest()[:12] for name, line in named.items()}
    before, count = ctx.state.get("marks", marks), ctx.state.get("count", 0)
    for name in sorted(name for name, mark in marks.items() if before.get(name, mark) != mark):
        count += 1
        yield Event(str(count), named[name])
    ctx.state.update(marks=marks, count=count)


@service.poll("Cell changed", every=SOON, scopes=READ)
async def cell_changed(
    ctx: Context,
    spreadsheet: Spreadsheet,
    sheet: Sheet,
    cell: Annotated[str, param("Cell", "B2", pattern=f"^{CELL}$")],
) -> Events[Change]:
    """Triggers when the value of a cell changes, including the result of a formula."""
    rows = await _rows(ctx, spreadsheet, sheet, cell)
    after = rows[0][0] if rows and rows[0] else ""
    before, count = ctx.state.get("value", after), ctx.state.get("count", 0) + 1
    if before != after:
        yield Event(str(count), Change(cell=cell, before=before, after=after))
        ctx.state["count"] = count
    ctx.state["value"] = after


@service.poll("New sheet", every=SOON, scopes=READ)
async def sheet_added(ctx: Context, spreadsheet: Spreadsheet) -> Events[Tab]:
    """Triggers when a sheet is added to a spreadsheet."""
    async for tab in _tabs(ctx, spreadsheet):
        yield Event(str(tab.id), tab)


@service.reaction("Add a row", on_crash="fail", scopes=WRITE)
async def append_row(
    ctx: Context,
    *,
    spreadsheet: Spreadsheet,
    sheet: Sheet,
    as_typed: AsTyped = False,
    values: Annotated[
        Cells | Columns,
        BeforeValidator(_listed),
        param(
            "Cells, as a JSON list or as an object of column names and values", ["{{title}}", "{{url}}"], shape=_cells
        ),
    ],
) -> Written:
    """Add a row below the others. Values are written as plain text, so they can't inject formulas."""
    row = _arranged(await _rows(ctx, spreadsheet, sheet, "1:1"), values) if isinstance(values, dict) else values
    return await _append(ctx, spreadsheet, sheet, row, INPUT[as_typed])


@service.reaction("Write cells", scopes=WRITE, idempotent="same")
async def update_cells(
    ctx: Context,
    *,
    spreadsheet: Spreadsheet,
    sheet: Sheet,
    as_typed: AsTyped = False,
    cells: Annotated[str, param("Cell, or range", examples=["B2", "A2:C3"], pattern=f"^{CELL}(:{CELL})?$")],
    values: Annotated[
        Cells | list[Cells],
        BeforeValidator(_listed),
        param("Cells, as a JSON list or a list of rows", ["{{title}}", "{{url}}"], shape=_cells),
    ],
) -> Written:
    """Write a cell or a range of cells."""
    body = {"values": values if any(isinstance(value, list) for value in values) else [values]}
    # https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/update
    return await ctx.http.ask("PUT", _range(spreadsheet, sheet, cells), Written, params=INPUT[as_typed], json=body)


@service.reaction("Update a row", scopes=WRITE, idempotent="same")
async def update_row(
    ctx: Context,
    *,
    spreadsheet: Spreadsheet,
    sheet: Sheet,
    key: Key,
    as_typed: AsTyped = False,
    value: Annotated[str, param("Value to find in the column", "{{id}}", min_length=1, shape=_cell)],
    values: Annotated[Columns, param(BY_NAME, {"Status": "{{state}}"}, shape=_cells)],
    add: Annotated[bool, param("Add the row if none matches", True)] = False,
) -> Written:
    """Update the first row that has a value in a column, or add a row if there is none."""
    rows = await _rows(ctx, spreadsheet, sheet)
    place = _place(rows, key)
    shown = value.removeprefix("'") if as_typed else value
    line = next((line for line in _lines(rows) if line.values[place : place + 1] == [shown]), None)
    if line:
        body = {"values": [_arranged(rows, values)]}
        address = _range(spreadsheet, sheet, f"A{line.row}")
        return await ctx.http.ask("PUT", address, Written, params=INPUT[as_typed], json=body)
    if not add:
        raise Permanent(Sentence('No row has "%(value)s" in "%(column)s".', value=value, column=key))
    return await _append(ctx, spreadsheet, sheet, _arranged(rows, {key: value, **values}), INPUT[as_typed])


@service.lookup("Find a row", scopes=READ)
async def find_row(
    ctx: Context,
    *,
    spreadsheet: Spreadsheet,
    sheet: Sheet,
    key: Key,
    value: Annotated[str, param("Value to find in the column", "{{id}}", min_length=1)],
) -> Line | None:
    """Find the first row that has a value in a column."""
    rows = await _rows(ctx, spreadsheet, sheet)
    place = _place(rows, key)
    return next((line for line in _lines(rows) if line.values[place : place + 1] == [value]), None)


@service.reaction("Add a sheet", scopes=WRITE, idempotent="same")
async def add_sheet(
    ctx: Context,
    spreadsheet: Spreadsheet,
    title: Annotated[str, param("Sheet name", "November", min_length=1)],
) -> Tab:
    """Add a sheet to a spreadsheet. Succeeds if one with this name exists."""
    async for tab in _tabs(ctx, spreadsheet):
        if tab.title == title:
            return tab
    body = {"requests": [{"addSheet": {"properties": {"title": title}}}]}
    # https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets/batchUpdate
    return await ctx.http.post(f"{quoted(BOOK, spreadsheet)}:batchUpdate", Tab, at="replies.0.addSheet", json=body)


@service.picker
async def sheets(ctx: Context, spreadsheet: str) -> list[Option]:
    """The sheets of the spreadsheet that is chosen."""
    return [Option(tab.title, tab.title) async for tab in _tabs(ctx, _identity(spreadsheet))]


def _tabs(ctx: Context, spreadsheet: str) -> AsyncIterator[Tab]:
    # https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets/get
    return ctx.http.rows(quoted(BOOK, spreadsheet), Tab, at="sheets", params=TABS)


async def _rows(ctx: Context, spreadsheet: str, sheet: str, cells: str = "") -> list[list[str]]:
    """The rows up to the last non-empty one, without trailing empty cells."""
    # https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/get
    return [row async for row in ctx.http.rows(_range(spreadsheet, sheet, cells), list[str], at="values")]


async def _append(ctx: Context, spreadsheet: str, sheet: str, row: Cells, query: dict[str, str]) -> Written:
    address, query = f"{_range(spreadsheet, sheet)}:append", query | {"insertDataOption": "INSERT_ROWS"}
    # https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/append
    return await ctx.http.post(address, Written, at="updates", params=query, json={"values": [row]})


def _lines(rows: Sequence[list[str]]) -> list[Line]:
    """The rows below the header row."""
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
        there = ", ".join(filter(None, names))
        raise Permanent(
            Sentence('The first row has no column "%(name)s". It has: %(columns)s.', name=name, columns=there)
            if there
            else Sentence("The first row of the sheet is empty.")
        )
    return names.index(name)


def _arranged(rows: Sequence[list[str]], values: Columns) -> Cells:
    """The cells in the header's order; null, which leaves a cell unchanged, for missing columns."""
    places = {_place(rows, name): cell for name, cell in values.items()}
    return [places.get(place) for place in range(max(places, default=-1) + 1)]


def _range(spreadsheet: str, sheet: str, cells: str = "") -> str:
    # https://developers.google.com/workspace/sheets/api/guides/concepts#cell
    name = "'" + sheet.replace("'", "''") + "'"
    return quoted(f"{BOOK}/values/{{}}", spreadsheet, f"{name}!{cells}" if cells else name)
