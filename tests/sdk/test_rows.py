"""Lists of vendors, page after page, and what their answers mean beside what their status says."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import pytest

from area.sdk import (
    Access,
    AuthExpired,
    Gone,
    Option,
    Output,
    Pages,
    Permanent,
    Response,
    Retry,
    Service,
    composed,
    lookup,
    output,
    profile,
    quoted,
    without_blanks,
)
from area.sdk.oauth2 import OAuth2
from area.sdk.testing import Answer, Double, connector

AT = "https://api.notes.example"


class Files(Output):
    names: list[str] = output("files.*.name", "Names of its files", ["a.txt"], [])
    last: str = output("files.-1.name", "Name of the last one", "a.txt", "")


class Note(Output):
    id: int = output("id", "Its id", 1)
    writer: str = output("by.name", "Who wrote it", "Ada", "")
    link: str = composed("https://notes.example/{by.name}/{id}", "Its address", "https://notes.example/Ada/1", "")


def service(**more: Any) -> Service:
    return Service("notes", "Notes", "Notes.", base_url=AT, **more)


@pytest.fixture
async def vendor():
    async with Double(None, at=AT) as double:
        yield double


async def rows(vendor: Double, pages: Pages, *more: Any, **options: Any) -> list[Any]:
    async with connector(service(pages=pages), vendor) as ctx:
        return [row async for row in ctx.http.rows("/notes", *more, **options)]


async def test_a_cursor_is_sent_in_the_query_until_there_is_none(vendor):
    answers = {"": ([1, 2], "x"), "x": ([3], "")}
    vendor.on(
        "GET",
        "/notes",
        lambda request: {
            "data": {"all": [{"id": number} for number in answers[request.query.get("after", "")][0]]},
            "page": {"end": answers[request.query.get("after", "")][1]},
        },
    )
    pages = Pages("data.all", next="page.end", cursor="after", query={"limit": "2"})
    assert [row.id for row in await rows(vendor, pages, Note, params={"q": "a"})] == [1, 2, 3]
    assert [request.query for request in vendor.asked] == [
        {"limit": "2", "q": "a"},
        {"limit": "2", "q": "a", "after": "x"},
    ]


async def test_a_cursor_is_sent_in_the_body_of_a_request_that_has_one(vendor):
    vendor.on("POST", "/notes", lambda request: {"found": [{"id": 1}], "next": None if "start" in request.json else 7})
    pages = Pages("found", next="next", cursor="start")
    assert await rows(vendor, pages, method="POST", json={"q": "a"}) == [{"id": 1}, {"id": 1}]
    assert [request.json for request in vendor.asked] == [{"q": "a"}, {"q": "a", "start": 7}]


async def test_what_leads_on_may_be_found_by_a_function(vendor):
    vendor.on("GET", "/notes", lambda request: {"all": [{"id": 1}] * 2, "start": int(request.query.get("start", 0))})
    pages = Pages("all", next=lambda page: page["start"] + 2 if page["start"] < 4 else None, cursor="start")
    assert len(await rows(vendor, pages)) == 6
    assert [request.query for request in vendor.asked] == [{}, {"start": "2"}, {"start": "4"}]


async def test_the_last_row_may_be_the_cursor_of_a_vendor_that_says_whether_there_is_more(vendor):
    vendor.on(
        "GET", "/notes", lambda request: {"all": [{"id": 1}, {"id": 2}], "has_more": "after" not in request.query}
    )
    pages = Pages("all", next="all.-1.id", cursor="after", more="has_more")
    assert [row["id"] for row in await rows(vendor, pages)] == [1, 2, 1, 2]
    assert [request.query for request in vendor.asked] == [{}, {"after": "2"}]
    vendor.on("GET", "/notes", {"all": [], "has_more": True})
    assert await rows(vendor, pages) == []


def test_places_in_a_list_are_counted_from_both_ends():
    values = {"all": ["a", "b"], "name": "text"}
    assert [lookup(f"all.{place}", values) for place in (0, 1, 2, -1, -2, -3)] == ["a", "b", None, "b", "a", None]
    assert lookup("name.-1", values) is None


def test_what_an_address_is_filled_in_with_is_quoted():
    assert quoted("/teams/{}/channels/{}", "a/b?c", "19:é d") == "/teams/a%2Fb%3Fc/channels/19%3A%C3%A9%20d"
    assert quoted("/teams") == "/teams"


def test_what_was_left_empty_is_left_out():
    left_out = {"title": "", "due": None, "tags": [], "more": {}}
    assert without_blanks(text="Hello", loud=False, priority=0, **left_out) == {
        "text": "Hello",
        "loud": False,
        "priority": 0,
    }


async def test_an_address_in_the_answer_leads_on(vendor):
    more = f"{AT}/notes?page=2"
    vendor.on(
        "GET", "/notes", lambda request: {"value": [{"id": 1}]} | ({} if request.query else {"@odata.nextLink": more})
    )
    assert await rows(vendor, Pages("value", next="@odata.nextLink"), dict[str, Any]) == [{"id": 1}, {"id": 1}]
    assert [request.query for request in vendor.asked] == [{}, {"page": "2"}]


async def test_an_address_in_the_header_leads_on_to_as_many_pages_as_are_wanted(vendor):
    link = f'<{AT}/notes?page=0>; rel="prev", <{AT}/notes?page=9>; rel="next"'
    vendor.on("GET", "/notes", Answer(200, [{"id": 1}], headers={"Link": link}))
    assert len(await rows(vendor, Pages(most=3))) == 3
    assert [request.query for request in vendor.asked] == [{}, {"page": "9"}, {"page": "9"}]


async def test_of_a_list_as_many_rows_are_read_as_are_wanted(vendor):
    vendor.on("GET", "/notes", {"all": [{"id": 1}, {"id": 2}], "next": 7})
    pages = Pages("all", next="next", cursor="after")
    for most, requests in ((1, 1), (2, 1), (3, 2)):
        before = len(vendor.asked)
        assert len(await rows(vendor, pages, most=most)) == most
        assert len(vendor.asked) - before == requests


async def test_of_a_list_those_rows_are_read_that_are_wanted(vendor):
    vendor.on("GET", "/notes", {"all": [{"id": 1}, {"id": 2, "gone": True}, {"id": 3}, {"id": 4}]})
    pages = Pages("all")
    assert [record["id"] for record in await rows(vendor, pages, where=lambda row: "gone" not in row)] == [1, 3, 4]
    output = await rows(vendor, pages, Note, where=lambda row: "gone" not in row, most=2)
    assert [row.id for row in output] == [1, 3]


async def test_what_passes_is_known_of_the_service_or_of_a_request(vendor):
    async with Double(None, at="https://other.example") as other:
        for status, body, retry, passes in (
            (409, {}, (409,), True),
            (409, {"error": "busy/x"}, ('"busy',), True),
            (409, {"error": "busy"}, ("idle", 404), False),
            (409, {"error": "busy"}, (), False),
        ):
            for by_request in (True, False):
                declared = service(retry=() if by_request else retry)
                vendor.on("GET", "/notes", Answer(status, body))
                other.on("GET", "/notes", Answer(status, body))
                more = {"retry": retry} if by_request else {}
                async with connector(declared, vendor, other) as ctx:
                    with pytest.raises(Retry if passes else Permanent):
                        await ctx.http.get("/notes", **more)
                    with pytest.raises(Retry if passes and by_request else Permanent):
                        await ctx.http.get("https://other.example/notes", **more)


async def test_pages_that_say_more_than_their_rows_are_yielded_whole(vendor):
    vendor.on("GET", "/notes", lambda request: {"zone": "UTC"} if request.query else {"all": [{"id": 1}], "next": 7})
    async with connector(service(pages=Pages("all", next="next", cursor="after")), vendor) as ctx:
        assert [answer async for answer in ctx.http.answers("/notes")] == [
            {"all": [{"id": 1}], "next": 7},
            {"zone": "UTC"},
        ]
        vendor.on("GET", "/notes", [])
        with pytest.raises(Permanent, match="Unexpected response from Notes"):
            assert [answer async for answer in ctx.http.answers("/notes")]


async def test_what_is_gone_may_be_no_surprise(vendor):
    vendor.on("GET", "/notes", Answer(404, {"message": "No t0ken."}))
    async with connector(service(), vendor, access=Access(headers={"X-Key": "t0ken"})) as ctx:
        with pytest.raises(Gone, match=r"returned 404: .*No •••"):
            await ctx.http.get("/notes", gone=(404, 410))
        with pytest.raises(Permanent) as raised:
            await ctx.http.get("/notes", gone=(410,))
        assert type(raised.value) is Permanent
        with pytest.raises(Gone):
            assert [row async for row in ctx.http.rows("/notes", gone=(404,))]


async def test_what_is_gone_may_be_told_by_a_word(vendor):
    async with connector(service(), vendor, access=Access(headers={"X-Key": "t0ken"})) as ctx:
        vendor.on("GET", "/notes", Answer(409, {"error": "conflict/folder"}))
        with pytest.raises(Gone, match="conflict/folder"):
            await ctx.http.get("/notes", gone=('"conflict', 404))
        with pytest.raises(Permanent) as raised:
            await ctx.http.get("/notes", gone=('"folder', 404))
        assert type(raised.value) is Permanent
        for status, error in ((200, None), (503, Retry)):
            vendor.on("GET", "/notes", Answer(status, {"error": "conflict"}))
            with pytest.raises(error) if error else nullcontext():
                await ctx.http.get("/notes", gone=('"conflict',))


async def test_a_cursor_may_be_in_a_header(vendor):
    after = {"1": "2", "2": ""}
    vendor.on(
        "GET", "/notes", lambda request: Answer(200, [{"id": 1}], headers={"X-Next-Page": after[request.query["page"]]})
    )
    pages = Pages(header="X-Next-Page", cursor="page", query={"page": "1"})
    assert len(await rows(vendor, pages)) == 2
    assert [request.query["page"] for request in vendor.asked] == ["1", "2"]


async def test_a_list_may_be_elsewhere_and_may_be_missing(vendor):
    vendor.on("GET", "/notes", {"items": [{"id": 1}]})
    assert await rows(vendor, Pages("results"), at="items") == [{"id": 1}]
    assert await rows(vendor, Pages("results")) == []


@pytest.mark.parametrize("answer", [{"results": {"id": 1}}, {"results": ["a"]}, {"results": [{"id": "a"}]}])
async def test_what_is_no_such_list_is_told(vendor, answer):
    vendor.on("GET", "/notes", answer)
    with pytest.raises(Permanent, match="Unexpected response from Notes"):
        await rows(vendor, Pages("results"), Note)


async def test_the_last_row_leads_on(vendor):
    vendor.on(
        "GET", "/notes", lambda request: [{"id": n} for n in range(int(request.query.get("after", 0)) + 1, 4)][:2]
    )
    assert [row["id"] for row in await rows(vendor, Pages(next="-1.id", cursor="after"))] == [1, 2, 3]


@pytest.mark.parametrize(
    ("params", "names", "last"),
    [
        ({"files": [{"name": "a"}, {"name": None}, {}, {"name": "b"}]}, ["a", "b"], "b"),
        ({"files": []}, [], ""),
        ({"files": "ab"}, [], ""),
        ({}, [], ""),
        ({"names": ["c"]}, ["c"], ""),
    ],
)
def test_lists_are_found_in_lists(params, names, last):
    files = Files.model_validate(params)
    assert (files.names, files.last) == (names, last)


async def test_what_the_vendor_wants_to_be_told_is_told_to_nobody_else(vendor):
    vendor.on("GET", "/notes", [])
    async with (
        Double(None, at="https://other.example") as other,
        connector(service(headers={"X-Version": "7", "X-By": "us"}), vendor, other) as ctx,
    ):
        other.on("GET", "/", {})
        await ctx.http.get("/notes", headers={"X-By": "me"})
        await ctx.http.get("https://other.example/")
    assert [vendor.asked[-1].headers.get(name) for name in ("X-Version", "X-By")] == ["7", "me"]
    assert "X-Version" not in other.asked[-1].headers


async def test_a_cursor_may_be_several_parameters(vendor):
    vendor.on(
        "GET",
        "/notes",
        lambda request: {"all": [1], "continue": {} if "from" in request.query else {"from": 7, "in": "a"}},
    )
    assert len(await rows(vendor, Pages("all", next="continue"), int, params={"q": "a"})) == 2
    assert [request.query for request in vendor.asked] == [{"q": "a"}, {"q": "a", "from": "7", "in": "a"}]


async def test_an_answer_is_read_where_it_is(vendor):
    vendor.on("GET", "/notes", {"data": [{"id": 1, "by": {"name": "Ada"}}]})
    vendor.on("POST", "/notes", {"note": {"id": 2}})
    vendor.on("PATCH", "/notes", {"id": 3})
    vendor.on("DELETE", "/notes", Answer(status=204))
    async with connector(service(), vendor) as ctx:
        first = await ctx.http.get("/notes", Note, at="data.0")
        assert (first.id, first.writer, first.link) == (1, "Ada", "https://notes.example/Ada/1")
        assert (await ctx.http.post("/notes", Note, at="note", json={})).link == ""
        assert (await ctx.http.ask("PATCH", "/notes", Note)).id == 3
        with pytest.raises(Permanent):
            await ctx.http.ask("DELETE", "/notes", Note)
        with pytest.raises(Permanent, match="Unexpected response from Notes"):
            await ctx.http.get("/notes", Note, at="data.1")


async def test_a_refusal_counts_before_the_status(vendor):
    def refusal(response: Response, body: Mapping[str, Any]) -> Retry | Permanent | None:
        errors = {"slow": Retry("Notes is slow."), "no": Permanent("Notes says no to t0ken.")}
        return errors.get(body.get("error", "") if response.status == 200 else "")

    answer = service(refusal=refusal, auth=OAuth2(f"{AT}/authorize", f"{AT}/token", profile("/me", id="id", name="id")))
    async with connector(answer, vendor) as ctx:
        for text, error, message in (("slow", Retry, "Notes is slow."), ("no", Permanent, "Notes says no to •••.")):
            vendor.on("GET", "/notes", {"error": text})
            with pytest.raises(error) as raised:
                await ctx.http.get("/notes")
            assert str(raised.value) == message
        vendor.on("GET", "/notes", Answer(401, {"error": "no"}))
        with pytest.raises(AuthExpired):
            await ctx.http.get("/notes")


async def test_options_are_the_rows_of_a_list(vendor):
    notes = service(pages=Pages("all"))
    notes.options(
        "notes",
        "/shelves/{shelf}/notes",
        label="#{name}",
        hint="by.name",
        where=lambda row: row["id"] != 2,
        params={"deep": "{deep}"},
    )
    vendor.on(
        "GET",
        "/shelves/{shelf}/notes",
        {"all": [{"id": 1, "name": "a", "by": {"name": "Ada"}}, {"id": 2, "name": "b"}, {"id": 3}]},
    )
    async with connector(notes, vendor) as ctx:
        assert await notes.pickers["notes"](ctx, {"shelf": "a/b"}) == []
        output = await notes.pickers["notes"](ctx, {"shelf": "a/b", "deep": "1"})
    assert [(choice.value, choice.label, choice.hint) for choice in output] == [("1", "#a", "Ada"), ("3", "3", "")]
    assert (vendor.asked[-1].path, vendor.asked[-1].query) == ("/shelves/a%2Fb/notes", {"deep": "1"})


async def test_options_may_be_asked_for_otherwise_than_the_services_lists_with_some_before_them(vendor):
    notes = service(pages=Pages("all"))
    notes.options(
        "notes", "/search", method="POST", json={"kind": "note"}, at="found", most=1, first=[Option("root", "All")]
    )
    vendor.on("POST", "/search", lambda request: {"found": [{"id": "1", "name": request.json["kind"]}, {"id": "2"}]})
    async with connector(notes, vendor) as ctx:
        assert await notes.pickers["notes"](ctx, {}) == [Option("root", "All"), Option("1", "note")]


async def test_options_may_be_shown_by_functions_of_their_rows(vendor):
    notes = service(pages=Pages("all"))
    notes.options(
        "notes", "/notes", label=lambda row: row["id"].upper(), hint=lambda row: "mine" if "me" in row else ""
    )
    vendor.on("GET", "/notes", {"all": [{"id": "a", "me": 1}, {"id": "b"}]})
    async with connector(notes, vendor) as ctx:
        assert await notes.pickers["notes"](ctx, {}) == [Option("a", "A", "mine"), Option("b", "B")]


@pytest.mark.parametrize(
    ("verified", "answer", "expected"),
    [
        ("email.checked", {"id": 7, "nick": "Ada", "email": {"at": "a@example.com", "checked": True}}, ("7", "Ada", "a@example.com", True)),
        ("email.checked", {"id": 7, "nick": None, "email": {"at": "a@example.com", "checked": "yes"}}, ("7", "7", "a@example.com", False)),
        (True, {"id": "7", "nick": "Ada"}, ("7", "Ada", None, False)),
        (True, {"id": "7", "nick": "Ada", "email": {"at": "a@example.com"}}, ("7", "Ada", "a@example.com", True)),
    ],
)  # fmt: skip
async def test_who_agreed(vendor, verified, answer, expected):
    vendor.on("GET", "/me", answer)
    account = profile("/me", id="id", name="nick", email="email.at", verified=verified)
    async with connector(service(), vendor) as ctx:
        body = await account(ctx)
        assert (body.id, body.name, body.email, body.email_verified) == expected
        vendor.on("GET", "/me", {})
        with pytest.raises(Permanent, match="didn't identify your account"):
            await account(ctx)


async def test_who_agreed_may_be_somebody_of_some_place(vendor):
    account = profile("/me", id="{team.id}:{id}", name="{nick} in {team.name}")
    async with connector(service(), vendor) as ctx:
        vendor.on("GET", "/me", {"id": 7, "nick": "Ada", "team": {"id": "T1", "name": "Home"}})
        answer = await account(ctx)
        assert (answer.id, answer.name) == ("T1:7", "Ada in Home")
        vendor.on("GET", "/me", {"id": 7, "nick": "Ada"})
        with pytest.raises(Permanent, match="didn't identify your account"):
            await account(ctx)


async def test_who_agreed_may_have_to_be_asked_otherwise(vendor):
    vendor.on("POST", "/me", lambda request: {"viewer": {"id": request.json["who"], "name": request.query["as"]}})
    account = profile(
        "/me", id="viewer.id", name="viewer.name", method="POST", json={"who": "me"}, params={"as": "Ada"}
    )
    async with connector(service(), vendor) as ctx:
        answer = await account(ctx)
        assert (answer.id, answer.name) == ("me", "Ada")
        vendor.on("POST", "/me", [])
        with pytest.raises(Permanent, match="Unexpected response from Notes"):
            await account(ctx)


async def test_a_uuid_is_the_same_for_each_attempt_of_one_execution(vendor):
    async with connector(service(), vendor) as ctx:
        assert ctx.uuid() == ""
        ctx.idempotency_key = "execution-7"
        assert ctx.uuid() == ctx.uuid() != ctx.uuid("comment")
        first, ctx.idempotency_key = ctx.uuid(), "execution-8"
        assert ctx.uuid() != first
        assert len(first) == 36
