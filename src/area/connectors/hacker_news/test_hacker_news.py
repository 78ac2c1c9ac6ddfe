"""Against a double made from the documentation of both APIs; never run against Hacker News itself."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from area.connectors.hacker_news import Comment, Story, posted, service
from area.sdk import Context, Permanent, Retry
from area.sdk.testing import Answer, Asked, Double, Watch, act, connector, finds_nothing

NOW = int(datetime.now(UTC).timestamp())


class Vendors(Double):
    """HN Search and the official API: answers as documented, and refuses what is not."""

    def __init__(self) -> None:
        super().__init__(None, ("https://hn.algolia.com/api/v1", "https://hacker-news.firebaseio.com/v0"))
        self.on("GET", "/search_by_date", self.search)
        self.on("GET", "/jobstories.json", lambda _asked: self.jobs)
        self.on("GET", "/item/{number}.json", self.item)
        self.posts: list[dict[str, Any]] = []
        self.jobs: list[int] = []
        self.items: dict[int, Any] = {}

    def post(self, number: int, *tags: str, ago: int = 0, **more: Any) -> None:
        values = {"author": "pg", "points": 1, "num_comments": 0, "story_text": None, "comment_text": None}
        created = {"created_at_i": NOW - ago, "created_at": "2026-11-23T09:00:00Z"}
        post = {"objectID": str(number), "_tags": list(tags), "_highlightResult": {}, **values, **created, **more}
        self.posts.append(post | {"_tags": [*tags, f"author_{post['author']}"]})

    def search(self, request: Asked) -> Any:
        query = request.query
        known = {"query", "tags", "numericFilters", "page", "hitsPerPage", "advancedSyntax", "typoTolerance"}
        assert set(query) <= known
        results = [post for post in self.posts if self.fits(post, query)]
        results.sort(key=lambda item: -item["created_at_i"])
        size, page = int(query.get("hitsPerPage", 20)), int(query.get("page", 0))
        shown = results[page * size : (page + 1) * size]
        pages = -(-len(results) // size)
        return {"hits": shown, "nbHits": len(results), "page": page, "nbPages": pages, "hitsPerPage": size}

    def fits(self, item: dict[str, Any], query: Mapping[str, str]) -> bool:
        for condition in query["numericFilters"].split(","):
            match = re.fullmatch(r"(created_at_i|points|num_comments)(<=|>=|<|>|=)([0-9]+)", condition)
            assert match, condition
            assert match[2] == ">="
            if (item[match[1]] or 0) < int(match[3]):
                return False
        text = " ".join(str(item.get(name) or "") for name in ("title", "story_text", "comment_text", "author")).lower()
        words = query.get("query", "").lower().split()
        return set(query["tags"].split(",")) <= set(item["_tags"]) and all(word in text for word in words)

    def item(self, request: Asked) -> Any:
        return Answer(body=orjson.dumps(self.items.get(int(request.params["number"]))))


@pytest.fixture
async def double() -> AsyncIterator[Vendors]:
    async with Vendors() as double:
        yield double


@pytest.fixture
async def ctx(double) -> AsyncIterator[Context]:
    async with connector(service, double) as ctx:
        yield ctx


POLLS = [
    ("new_story_matching", {"words": "Postgres fast"}, ("story",), {"title": "Fast Postgres"}),
    ("new_story_by_user", {"user": "whoishiring"}, ("story",), {"author": "whoishiring", "title": "Who is hiring?"}),
    ("new_ask_hn", {}, ("story", "ask_hn"), {"title": "Ask HN: why?"}),
    ("new_ask_hn", {"words": "why"}, ("story", "ask_hn"), {"title": "Ask HN: why?"}),
    ("new_show_hn", {}, ("story", "show_hn"), {"title": "Show HN: it"}),
    ("new_comment_matching", {"words": "area"}, ("comment",), {"comment_text": "I use AREA."}),
    ("new_comment_by_user", {"user": "norvig"}, ("comment",), {"author": "norvig", "comment_text": "ok"}),
    ("new_comment_on_story", {"story": 8863}, ("comment", "story_8863"), {"comment_text": "ok"}),
]


@pytest.mark.parametrize(("action", "params", "tags", "more"), POLLS)
async def test_what_is_new_fires_once(ctx, double, action, params, tags, more):
    watch = Watch(ctx, service.actions[action], **params)
    double.post(1, *tags, ago=600, **more)
    double.post(2, "poll", title="something else")
    assert not await watch.look()
    double.post(3, *tags, ago=-1, **more)
    double.post(4, *tags, ago=120, **more)  # found later than it was posted
    double.post(5, "story", title="something else", author="nobody")
    assert sorted(await watch.ids()) == ["3", "4"]
    assert not await watch.look()


async def test_a_story_and_a_comment_are_told_whole(ctx, double):
    double.post(8863, "story", title="Dropbox", url="https://d.example", author="dhouston", points=111, num_comments=71)
    double.post(
        9, "comment", comment_text="<i>hi</i>", author="a", story_title="T", story_url="https://t.example", points=None
    )
    double.post(10, "story", "ask_hn", title="Ask HN", url="", story_text="why?")
    since = datetime.fromtimestamp(NOW - 60, UTC)
    kinds = {"story": Story, "comment": Comment}
    item = {event.id: event.data for tags, kind in kinds.items() async for event in posted(ctx, kind, tags, since)}
    dropbox = item["8863"]
    assert (dropbox.title, dropbox.url, dropbox.author) == ("Dropbox", "https://d.example", "dhouston")
    assert (dropbox.points, dropbox.comments, dropbox.text) == (111, 71, "")
    assert dropbox.link == "https://news.ycombinator.com/item?id=8863"
    assert dropbox.created_at == datetime.fromtimestamp(NOW, UTC)
    assert (item["10"].url, item["10"].text) == (None, "why?")
    comment = item["9"]
    assert (comment.text, comment.story_title, comment.story_url) == ("<i>hi</i>", "T", "https://t.example")


async def test_a_story_fires_when_it_reaches_the_points(ctx, double):
    watch = Watch(ctx, service.actions["story_reaches_points"], points=100)
    double.post(1, "story", title="already there", points=150, ago=3600)
    double.post(2, "story", title="on its way", points=99, ago=7200)
    double.post(3, "story", title="too old", points=500, ago=4 * 86400)
    assert not await watch.look()
    double.posts[1]["points"] = 100
    (event,) = await watch.look()
    assert (event.id, event.data.points) == ("2", 100)
    double.posts[1]["points"] = 99
    assert not await watch.look()
    double.posts[1]["points"] = 300
    assert not await watch.look(), "once for each story"


async def test_all_pages_are_read(ctx, double):
    watch = Watch(ctx, service.actions["new_ask_hn"])
    await watch.look()
    for number in range(250):
        double.post(number, "ask_hn", title="Ask HN")
    assert len(await watch.look()) == 250
    assert [item.query["page"] for item in double.asked[-3:]] == ["0", "1", "2"]
    assert not await watch.look()


async def test_jobs(ctx, double):
    watch = Watch(ctx, service.actions["new_job"])
    job = {"by": "justin", "id": 5, "score": 6, "text": "x", "time": NOW, "title": "Engineer", "type": "job", "url": ""}
    double.jobs = [4, 3]
    assert not await watch.look()
    double.jobs = [7, 6, 5, 4]
    double.items = {5: job, 6: job | {"id": 6, "deleted": True}}  # 7 is not there yet: null
    (event,) = await watch.look()
    assert (event.id, event.data.title, event.data.url) == ("5", "Engineer", None)
    assert event.data.created_at == datetime.fromtimestamp(NOW, UTC)
    assert not await watch.look()
    double.jobs = [8, *double.jobs]
    double.fails(503)
    with pytest.raises(Retry):
        await watch.look()
    double.works()
    double.items[8] = job | {"id": 8, "url": "https://j.example"}
    assert [item.data.url for item in await watch.look()] == ["https://j.example"]


async def test_many_jobs_are_read_in_turns(ctx, double):
    watch = Watch(ctx, service.actions["new_job"])
    await watch.look()
    double.jobs = list(range(100, 0, -1))
    double.items = {number: {"id": number, "time": NOW, "title": "t"} for number in double.jobs}
    assert [len(await watch.look()) for _ in range(5)] == [30, 30, 30, 10, 0]


@pytest.mark.parametrize(("action", "params"), [("new_story_matching", {"words": "x"}), ("new_job", {})])
async def test_errors(ctx, double, action, params):
    watch = Watch(ctx, service.actions[action], **params)
    for status in (400, 401, 403, 404, 422):
        double.fails(status, b'{"message": "Bad filter"}')
        with pytest.raises(Permanent, match="Bad filter"):
            await watch.look()
    double.fails(429, b"slow down", Retry_After="90")
    with pytest.raises(Retry, match="slow down") as error:
        await watch.look()
    assert error.value.after == timedelta(seconds=90)
    for status in (500, 503):
        double.fails(status)
        with pytest.raises(Retry):
            await watch.look()
    for body in (b"{", b"<html>", b"null", b'{"hits": [{}], "nbPages": 1}', b'["a"]'):
        double.fails(200, body)
        with pytest.raises(Permanent):
            await watch.look()


def test_parameters():
    for name in ("pg,story", "a b", "", "(x"):
        with pytest.raises(ValidationError):
            service.actions["new_story_by_user"].params(user=name)
    with pytest.raises(ValidationError):
        service.actions["story_reaches_points"].params(points=1)
    assert service.quality == "generated"


async def test_a_story_is_looked_up(ctx, double):
    def best(asked: Asked) -> Any:
        assert set(asked.query) <= {"query", "tags", "hitsPerPage"}
        rows = [post for post in double.posts if asked.query["query"] in post["title"].lower()]
        return {"hits": rows[: int(asked.query["hitsPerPage"])], "nbPages": len(rows)}

    double.on("GET", "/search", best)
    double.post(1, "story", title="Postgres 19", points=300)
    story = await act(ctx, service.reactions["find_story"], words="postgres")
    assert (story.found, story.id, story.points) == (True, "1", 300)
    await finds_nothing(ctx, service.reactions["find_story"], words="mysql")
