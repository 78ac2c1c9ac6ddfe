"""Against a double made from the documentation of MediaWiki and Wikifeeds' spec.yaml; never run against Wikipedia
itself.
"""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from pydantic import ValidationError

from area.connectors.wikipedia import Article, _address, service
from area.sdk import Context, Permanent, Retry, now
from area.sdk.testing import Answer, Asked, Double, Watch, act, connector, finds_nothing

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
COMMON = {"action", "format", "formatversion", "maxlag", "continue"}
# the parameters that the help pages of the four modules list
KNOWN = {
    "revisions": {"prop", "titles", "redirects", "rvprop", "rvdir", "rvstart", "rvlimit", "rvcontinue"},
    "usercontribs": {"list", "ucuser", "ucprop", "ucdir", "ucstart", "uclimit", "uccontinue"},
    "recentchanges": {
        "list", "rcdir", "rcstart", "rcnamespace", "rcshow", "rctype", "rcprop", "rclimit", "rccontinue",
    },
    "categorymembers": {"list", "cmtitle", "cmsort", "cmdir", "cmstart", "cmprop", "cmlimit", "cmcontinue"},
}  # fmt: skip
PROPS = {
    "rvprop": {"ids", "flags", "timestamp", "user", "userid", "size", "comment", "parsedcomment", "tags", "sha1"},
    "ucprop": {
        "ids",
        "title",
        "timestamp",
        "comment",
        "parsedcomment",
        "size",
        "sizediff",
        "flags",
        "patrolled",
        "tags",
    },
    "rcprop": {
        "comment",
        "flags",
        "ids",
        "loginfo",
        "redirect",
        "sizes",
        "tags",
        "timestamp",
        "title",
        "user",
        "userid",
    },
    "cmprop": {"ids", "sortkey", "sortkeyprefix", "timestamp", "title", "type"},
}


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Wikipedia(Double):
    """The Wikipedias: rows of the four modules with continuation, and the feed of a day."""

    def __init__(self) -> None:
        super().__init__(None, "https://*.wikipedia.org")
        self.on("GET", "/w/api.php", self.query)
        self.on("GET", "/api/rest_v1/feed/featured/{year}/{month}/{day}", self.featured)
        self.rows: list[dict[str, Any]] = []
        self.size = 2  # rows of one answer
        self.feeds: dict[str, Any] = {}

    def row(self, revid: int, at: datetime, **more: Any) -> None:
        row = {"revid": revid, "parentid": revid - 1, "pageid": 7, "ns": 0, "title": "Ada Lovelace", "user": "Jimbo"}
        self.rows.append({**row, "timestamp": stamp(at), "comment": "a source", "minor": False, **more})

    def featured(self, request: Asked) -> Any:
        feed = self.feeds.get("/".join(request.params.values()))
        return feed or Answer(404, {"type": "Internal error", "title": "Not found"})

    def query(self, request: Asked) -> Any:
        query = request.query
        module = query.get("list") or query["prop"]
        prefix = {"revisions": "rv", "usercontribs": "uc", "recentchanges": "rc", "categorymembers": "cm"}[module]
        assert set(query) <= COMMON | KNOWN[module]
        assert set(query[f"{prefix}prop"].split("|")) <= PROPS[f"{prefix}prop"]
        assert (query["action"], query["format"], query["formatversion"], query["maxlag"]) == (
            "query",
            "json",
            "2",
            "5",
        )
        assert query[f"{prefix}dir"] == ("asc" if prefix == "cm" else "newer")
        rows = sorted(self.rows, key=lambda row: row["timestamp"])
        rows = [row for row in rows if row["timestamp"] >= query[f"{prefix}start"]]
        if module == "recentchanges":
            rows = [row for row in rows if row["type"] in query["rctype"].split("|") and "bot" not in row]
        begin = int(query.get(f"{prefix}continue", 0))
        shown: Any = rows[begin : begin + self.size]
        if module == "revisions":
            page = {"pageid": 7, "ns": 0, "title": "Ada Lovelace", "revisions": shown}
            shown = [page if query["titles"] != "Nowhere" else {"ns": 0, "title": "Nowhere", "missing": True}]
        answer = {"batchcomplete": True, "query": {"pages" if module == "revisions" else module: shown}}
        if begin + self.size < len(rows):
            answer["continue"] = {f"{prefix}continue": str(begin + self.size), "continue": "-||"}
        return answer


@pytest.fixture
async def double() -> AsyncIterator[Wikipedia]:
    async with Wikipedia() as double:
        yield double


@pytest.fixture
async def ctx(double) -> AsyncIterator[Context]:
    async with connector(service, double) as ctx:
        yield ctx


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as clock:
        yield clock


@pytest.mark.parametrize(
    ("action", "params", "more"),
    [
        ("page_edited", {"title": "Ada Lovelace"}, {"size": 5}),
        ("edit_by_user", {"user": "Jimbo Wales"}, {"sizediff": 5, "new": False}),
        ("change_matching", {"words": "ADA source"}, {"type": "edit", "oldlen": 5, "newlen": 10}),
    ],
)
async def test_edits_fire_once(ctx, double, clock, action, params, more):
    watch = Watch(ctx, service.actions[action], **params)
    double.row(1, START - timedelta(minutes=5), **more)
    assert not await watch.look()
    for revid in range(2, 9):  # four answers
        double.row(revid, START + timedelta(minutes=revid), **more)
    clock.move_to(START + timedelta(minutes=20))
    assert await watch.ids() == [str(revid) for revid in range(2, 9)]
    assert not await watch.look()
    clock.shift(timedelta(minutes=5))
    double.row(9, now(), **more)
    assert await watch.ids() == ["9"]


async def test_an_edit_is_told_whole(ctx, double):
    since = START - timedelta(minutes=1)
    double.row(10, START, size=120, minor=True)
    double.row(9, START - timedelta(seconds=30), size=100, parentid=0, userhidden=True)
    double.rows[1].pop("user")
    double.size = 1
    action = service.actions["page_edited"]
    result = action.function(ctx, action.params(language="fr", title="Ada Lovelace"), since)
    oldest, newest = [event.data async for event in result]
    assert (newest.id, newest.size_change, newest.minor, newest.new) == ("10", 20, True, False)
    assert newest.url == "https://fr.wikipedia.org/wiki/Ada_Lovelace"
    assert newest.diff_url == "https://fr.wikipedia.org/wiki/Special:Diff/10"
    assert newest.edited_at == START
    assert (oldest.user, oldest.size_change, oldest.new) == ("", 100, True)
    host, query, agent = double.asked[0].host, double.asked[0].query, double.asked[0].headers["User-Agent"]
    assert host == "fr.wikipedia.org"
    assert (query["titles"], query["rvstart"]) == ("Ada Lovelace", "2026-11-23T08:59:00Z")
    assert agent.startswith("AREA/")
    assert "bot" in agent


async def test_addresses():
    assert _address("de", "C# / Größe?") == "https://de.wikipedia.org/wiki/C%23_/_Gr%C3%B6%C3%9Fe%3F"


async def test_a_page_that_does_not_exist(ctx, double):
    with pytest.raises(Permanent, match='has no page "Nowhere"'):
        await Watch(ctx, service.actions["page_edited"], title="Nowhere").look()


async def test_which_changes_match(ctx, double, clock):
    every = Watch(ctx, service.actions["change_matching"], words="#women physics")
    created = Watch(ctx, service.actions["change_matching"], words="physics", kind="new")
    for watch in (every, created):
        await watch.look()
    clock.move_to(START + timedelta(minutes=3))
    for revid, (title, comment, kind, bot) in enumerate(
        [
            ("Physics", "more #Women", "edit", False),
            ("Physics", "a source", "edit", False),
            ("Physics of cats", "created", "new", False),
            ("Physics", "#women", "edit", True),
        ]
    ):
        more = {"bot": True} if bot else {}
        sizes = {"oldlen": 10, "newlen": 4}
        double.row(revid, now(), title=title, comment=comment, type=kind, new=kind == "new", **sizes, **more)
    (event,) = await every.look()
    assert (event.id, event.data.size_change, event.data.new) == ("0", -6, False)
    assert [(item.data.title, item.data.new) for item in await created.look()] == [("Physics of cats", True)]
    assert double.asked[-1].query["rctype"] == "new"


async def test_no_change_is_left_out_when_there_are_too_many(ctx, double, clock):
    watch = Watch(ctx, service.actions["change_matching"], words="ada")
    await watch.look()
    for revid in range(30):  # ten answers of two are read at one look
        double.row(revid, START + timedelta(minutes=2 * revid + 1), type="edit")
    clock.move_to(START + timedelta(minutes=70))
    result = await watch.ids() + await watch.ids() + await watch.ids()
    assert result == [str(revid) for revid in range(30)]


async def test_a_look_that_is_cut_off_is_continued(ctx, double):
    double.size = 500
    for revid in range(300):
        double.row(revid, START + timedelta(minutes=revid), type="edit")
    read: list[str] = []
    action = service.actions["change_matching"]
    for _ in range(4):
        changes = action.function(ctx, action.params(words="ada"), START)
        for _ in range(100):
            edit = await anext(changes, None)
            read += [edit.id] if edit else []
        await changes.aclose()
    assert set(read) == {str(revid) for revid in range(300)}


async def test_categories(ctx, double, clock):
    watch = Watch(ctx, service.actions["page_added_to_category"], category="category:Physics", language="es")
    double.row(0, START - timedelta(days=1), title="Old", type="page")
    assert not await watch.look()
    clock.move_to(START + timedelta(minutes=5))
    double.row(1, now(), title="New", type="subcat", pageid=8)
    (event,) = await watch.look()
    assert (event.data.id, event.data.title, event.data.kind) == ("8", "New", "subcat")
    assert event.at == now()
    assert double.asked[-1].host == "es.wikipedia.org"
    assert double.asked[-1].query["cmtitle"] == "Category:Physics"
    assert not await watch.look()
    clock.shift(timedelta(minutes=5))
    double.row(2, now(), title="New", type="subcat", pageid=8)
    assert len(await watch.look()) == 1, "put in again"


TFA = {
    "type": "standard", "title": "Ada", "titles": {"canonical": "Ada_L", "normalized": "Ada L", "display": "<b>Ada</b>"},
    "content_urls": {"desktop": {"page": "https://en.wikipedia.org/wiki/Ada_L"}, "mobile": {}}, "extract": "Ada was.",
    "description": "mathematician", "thumbnail": {"source": "https://u.example/a.jpg", "width": 1, "height": 1},
}  # fmt: skip
IMAGE = {
    "title": "File:Moon.jpg", "image": {"source": "https://u.example/m.jpg"}, "thumbnail": {"source": "x"},
    "file_page": "https://commons.example/Moon", "description": {"html": "<i>m</i>", "text": "moon"},
    "artist": {"html": "<b>A</b>", "text": "A"}, "license": {"type": "CC0"}, "structured": {},
}  # fmt: skip


async def test_the_article_and_picture_of_the_day(ctx, double, clock):
    article, picture = (
        Watch(ctx, service.actions["article_of_the_day"]),
        Watch(ctx, service.actions["picture_of_the_day"]),
    )
    double.feeds = {"2026/11/23": {"tfa": TFA, "image": IMAGE}, "2026/11/24": {"tfa": TFA, "image": IMAGE}}
    for watch in (article, picture):
        assert not await watch.look()
        count = len(double.asked)
        assert not await watch.look()
        assert len(double.asked) == count, "asked once a day"
    clock.shift(timedelta(days=1))
    (event,) = await article.look()
    assert event.data == Article(
        date="2026-11-24", title="Ada L", description="mathematician", extract="Ada was.",
        url="https://en.wikipedia.org/wiki/Ada_L", image="https://u.example/a.jpg",
    )  # fmt: skip
    (event,) = await picture.look()
    assert (event.data.title, event.data.description, event.data.image) == (
        "File:Moon.jpg",
        "moon",
        "https://u.example/m.jpg",
    )
    assert (event.data.artist, event.data.license, event.data.url) == ("A", "CC0", "https://commons.example/Moon")
    assert not await article.look()


async def test_a_day_without_an_article(ctx, double):
    double.feeds = {"2026/11/23": {"image": IMAGE}}
    with pytest.raises(Permanent, match='Wikipedia "is" has no article of the day for 2026-11-23'):
        await Watch(ctx, service.actions["article_of_the_day"], language="is").look()
    double.feeds = {}
    with pytest.raises(Permanent, match="404"):
        await Watch(ctx, service.actions["article_of_the_day"]).look()


@pytest.mark.parametrize(
    ("action", "params"),
    [("page_edited", {"title": "Ada"}), ("edit_by_user", {"user": "A"}), ("article_of_the_day", {})],
)
async def test_errors(ctx, double, action, params):
    watch = Watch(ctx, service.actions[action], **params)
    for status in (400, 401, 403, 404, 422):
        double.fails(status, b"Please set a user-agent")
        with pytest.raises(Permanent, match="Please set a user-agent"):
            await watch.look()
    double.fails(429, b"too many", Retry_After="7")
    with pytest.raises(Retry, match="too many") as error:
        await watch.look()
    assert error.value.after == timedelta(seconds=7)
    double.fails(503)
    with pytest.raises(Retry):
        await watch.look()
    for body in (b"{", b"<html>", b"[]", b'{"query": [], "tfa": []}', b"{}"):
        double.fails(200, body)
        with pytest.raises(Permanent):
            await watch.look()


async def test_errors_that_come_with_status_200(ctx, double):
    watch = Watch(ctx, service.actions["edit_by_user"], user="A")
    lag = {"code": "maxlag", "info": "Waiting for db1: 6 seconds lagged", "host": "db1", "lag": 6}
    double.fails(200, json.dumps({"error": lag}).encode(), Retry_After="5")
    with pytest.raises(Retry, match="6 seconds lagged") as error:
        await watch.look()
    assert error.value.after == timedelta(seconds=5)
    double.fails(200, b'{"error": {"code": "internal_api_error_DBQueryError", "info": "Caught"}}')
    with pytest.raises(Retry):
        await watch.look()
    double.fails(200, b'{"error": {"code": "baduser", "info": "Invalid value for user parameter"}}')
    with pytest.raises(Permanent, match="Invalid value for user"):
        await watch.look()


def test_parameters():
    for language in ("EN", "en.evil.example/", "e", "en-", "../x", ""):
        with pytest.raises(ValidationError):
            service.actions["article_of_the_day"].params(language=language)
    for language in ("en", "simple", "zh-min-nan", "be-tarask"):
        assert service.actions["article_of_the_day"].params(language=language)
    for title in ("A|B", "", "[[A]]"):
        with pytest.raises(ValidationError):
            service.actions["page_edited"].params(title=title)
    assert service.quality == "generated"


async def test_a_summary_is_looked_up(ctx, double):
    def summary(asked: Asked) -> Any:
        if asked.params["title"] != "Ada_Lovelace":
            return Answer(404, {"type": "Internal error", "status": 404})
        page = {"desktop": {"page": "https://fr.wikipedia.org/wiki/Ada_Lovelace"}}
        names = {"canonical": "Ada_Lovelace", "normalized": "Ada Lovelace", "display": "<i>Ada</i>"}
        return {
            "type": "standard",
            "title": "Ada Lovelace",
            "titles": names,
            "extract": "Ada was.",
            "content_urls": page,
        }

    double.on("GET", "/api/rest_v1/page/summary/{title}", summary)
    page = await act(ctx, service.reactions["get_summary"], language="fr", title="Ada Lovelace")
    assert (page.found, page.title, page.extract, page.image) == (True, "Ada Lovelace", "Ada was.", None)
    assert page.url == "https://fr.wikipedia.org/wiki/Ada_Lovelace"
    await finds_nothing(ctx, service.reactions["get_summary"], title="Nobody/Nothing")
