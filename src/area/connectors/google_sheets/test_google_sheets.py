"""Google Sheets, against a double that enforces its discovery document."""

import pytest
from pydantic import ValidationError

from area.connectors.google_sheets import service
from area.sdk import Permanent
from area.sdk.testing import Answer, Double, Watch, act, connector, discovered, finds_nothing, outcomes

ONE = "/v4/spreadsheets/{spreadsheetId}"
VALUES = f"{ONE}/values/{{range}}"
BOOK = {"spreadsheet": "s1", "sheet": "It's"}


@pytest.fixture
async def vendor():
    async with Double(discovered("sheets.v4")) as double:
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as ctx:
        yield ctx


@pytest.fixture
def rows(vendor):
    shown = [["ID", "Name", "", "State"], ["1", "Ann"], ["2", "Bob", "x", "open"]]
    vendor.on("GET", VALUES, lambda request: {"values": shown} if shown else {"range": "A1"})
    return shown


async def test_a_row_is_added(ctx, vendor, rows):
    watch = Watch(ctx, service.actions["row_added"], **BOOK)
    assert await watch.ids() == []
    rows += [["3", "Eve"], [], ["4", "", "", "done"]]
    events = await watch.look()
    assert [event.id for event in events] == ["0 4", "0 6"]
    assert events[0].data.columns == {"ID": "3", "Name": "Eve", "State": ""}
    assert events[1].data.values == ["4", "", "", "done"]
    assert await watch.ids() == []
    assert vendor.asked[-1].params == {"spreadsheetId": "s1", "range": "'It''s'"}
    del rows[3:]
    assert await watch.ids() == []
    rows.append(["5"])
    assert await watch.ids() == ["1 4"], "its number was there before"
    rows.clear()
    assert await watch.ids() == []


async def test_a_row_is_changed(ctx, vendor, rows):
    watch = Watch(ctx, service.actions["row_changed"], key="ID", **BOOK)
    assert await watch.ids() == []
    rows[1:] = [["2", "Bob", "x", "done"], ["9", "New"], ["1", "Ann"], ["", "?"], ["1", "other"]]  # sorted, inserted
    (event,) = await watch.look()
    assert (event.data.row, event.data.columns["State"]) == (2, "done")
    assert await watch.ids() == []
    rows[1] = ["2", "Bob", "x", "open"]
    assert await watch.ids() == ["2"], "as it was before is a change, too"
    del rows[2:]
    assert await watch.ids() == []
    with pytest.raises(Permanent, match=r'no column "Nr"\. It has: ID, Name, State'):
        await Watch(ctx, service.actions["row_changed"], key="Nr", **BOOK).look()
    rows[1:] = [[str(number)] for number in range(1001)]
    with pytest.raises(Permanent, match="more than 1,000 rows"):
        await watch.look()


async def test_a_cell_is_changed(ctx, vendor):
    shown = {"values": [["1"]]}
    vendor.on("GET", VALUES, lambda request: shown)
    watch = Watch(ctx, service.actions["cell_changed"], cell="B2", **BOOK)
    seen = []
    for value in ("1", "1", "2", "2", "1", None, "1"):
        shown = {"values": [[value]]} if value else {}
        seen.append([(item.data.before, item.data.after) for item in await watch.look()])
    assert seen == [[], [], [("1", "2")], [], [("2", "1")], [("1", "")], [("", "1")]]
    assert vendor.asked[-1].params["range"] == "'It''s'!B2"


async def test_a_sheet_is_added(ctx, vendor):
    result = {"sheets": [{"properties": {"sheetId": 0, "title": "A"}}]}
    vendor.on("GET", ONE, result)
    watch = Watch(
        ctx, service.actions["sheet_added"], spreadsheet="https://docs.google.com/spreadsheets/d/s-1_/edit#gid=0"
    )
    assert await watch.ids() == []
    assert vendor.asked[-1].params["spreadsheetId"] == "s-1_"
    result["sheets"].append({"properties": {"sheetId": 7, "title": "B"}})
    assert await watch.ids() == ["7"]
    assert await watch.ids() == []
    vendor.on("POST", f"{ONE}:batchUpdate", {"replies": [{"addSheet": {"properties": {"sheetId": 8, "title": "C"}}}]})
    vendor.again("GET", ONE, Answer(json={"sheets": [*result["sheets"], {"properties": {"sheetId": 8, "title": "C"}}]}))
    add = service.reactions["add_sheet"]
    assert (await act(ctx, add, spreadsheet="s1", title="C")).id == 8
    assert vendor.asked[-1].json == {"requests": [{"addSheet": {"properties": {"title": "C"}}}]}
    assert (await act(ctx, add, spreadsheet="s1", title="B")).id == 7
    assert vendor.asked[-1].method == "GET", "it is there already"


async def test_rows_and_cells_are_written(ctx, vendor, rows):
    written = {"updatedRange": "'It''s'!A4:B4", "updatedCells": 2}
    vendor.on("POST", f"{VALUES}:append", {"updates": written})
    vendor.on("PUT", VALUES, written)
    append, write, change = (service.reactions[name] for name in ("append_row", "update_cells", "update_row"))
    done = await act(ctx, append, **BOOK, values=["=1+1", 3, True, None])
    assert done.model_dump() == {"range": "'It''s'!A4:B4", "cells": 2}
    assert vendor.asked[-1].json == {"values": [["=1+1", 3, True, None]]}
    assert dict(vendor.asked[-1].query) == {"valueInputOption": "RAW", "insertDataOption": "INSERT_ROWS"}
    await act(ctx, append, **BOOK, values="alone", as_typed=True)
    assert vendor.asked[-1].json == {"values": [["alone"]]}
    assert vendor.asked[-1].query["valueInputOption"] == "USER_ENTERED"
    await act(ctx, append, **BOOK, values={"State": "new", "ID": "9"})
    assert vendor.asked[-1].json == {"values": [["9", None, None, "new"]]}
    with pytest.raises(Permanent, match='no column "Status"'):
        await act(ctx, append, **BOOK, values={"Status": "new"})
    await act(ctx, write, **BOOK, cells="B2", values=["x", 1])
    assert (vendor.asked[-1].params["range"], vendor.asked[-1].json) == ("'It''s'!B2", {"values": [["x", 1]]})
    await act(ctx, write, **BOOK, cells="A1:B2", values=[["a", "b"], ["c", "d"]])
    assert vendor.asked[-1].json == {"values": [["a", "b"], ["c", "d"]]}
    await act(ctx, change, **BOOK, key="ID", value="2", values={"State": "done"})
    assert vendor.asked[-1].params["range"] == "'It''s'!A3"
    assert vendor.asked[-1].json == {"values": [[None, None, None, "done"]]}
    with pytest.raises(Permanent, match='No row has "8" in "ID"'):
        await act(ctx, change, **BOOK, key="ID", value="8", values={"State": "done"})
    vendor.again("GET", VALUES, Answer(json={"values": [["ID", "State"], ["8", "done"]]}))
    await act(ctx, change, **BOOK, key="ID", value="8", values={"State": "done"}, add=True)
    assert vendor.asked[-1].json == {"values": [["8", None, None, "done"]]}
    with pytest.raises(ValidationError):
        await act(ctx, write, **BOOK, cells="B", values=["x"])


async def test_pickers(vendor):
    async with Double(discovered("drive.v3")) as drive, connector(service, vendor, drive) as ctx:
        first = {"files": [{"id": "a", "name": "A"}], "nextPageToken": "2"}
        rest = {"files": [{"id": "b", "name": "B"}]}
        drive.on("GET", "/drive/v3/files", lambda request: rest if "pageToken" in request.query else first)
        assert [item.value for item in await service.pickers["spreadsheets"](ctx, {})] == ["a", "b"]
        vendor.on("GET", ONE, {"sheets": [{"properties": {"sheetId": 0, "title": "Sheet1"}}]})
        assert [item.value for item in await service.pickers["sheets"](ctx, {"spreadsheet": "a"})] == ["Sheet1"]
        assert await service.pickers["sheets"](ctx, {}) == []


@pytest.mark.parametrize(
    ("name", "more"), [("row_added", {}), ("row_changed", {"key": "ID"}), ("cell_changed", {"cell": "A1"})]
)
async def test_refusals_of_a_look(ctx, vendor, name, more):
    await outcomes(ctx, vendor, Watch(ctx, service.actions[name], **BOOK, **more).look)


async def test_refusals(ctx, vendor):
    await outcomes(ctx, vendor, lambda: act(ctx, service.reactions["append_row"], **BOOK, values=["x"]))
    await outcomes(ctx, vendor, lambda: service.pickers["sheets"](ctx, {"spreadsheet": "a"}))


async def test_a_row_is_looked_up(ctx, rows):
    find = service.reactions["find_row"]
    line = await act(ctx, find, spreadsheet="s", sheet="Sheet1", key="Name", value="Bob")
    assert (line.found, line.row, line.columns["State"]) == (True, 3, "open")
    await finds_nothing(ctx, find, spreadsheet="s", sheet="Sheet1", key="Name", value="Eve")
    with pytest.raises(Permanent, match="no column"):
        await act(ctx, find, spreadsheet="s", sheet="Sheet1", key="Nom", value="Bob")
