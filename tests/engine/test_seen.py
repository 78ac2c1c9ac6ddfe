"""What a source remembers between looks, in the database: ids, and what else tells items apart."""

from datetime import UTC, datetime

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from area.areas import views
from area.engine import control
from area.engine.sources.leases import _seen, _seen_json
from area.sdk.dedupe import Seen

from .conftest import make_area, rows, until, worker

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_what_is_seen_is_kept_as_it_is():
    for seen in (Seen(NOON), Seen(NOON, {"a": NOON}), Seen(NOON, {"a": NOON}, {"0ab": 2, "1cd": 3}, 3)):
        assert _seen(orjson.loads(_seen_json(seen))) == seen


def test_what_an_older_version_kept_is_read():
    older = {"since": NOON.isoformat(), "ids": {"a": NOON.isoformat()}}
    assert _seen(older) == Seen(NOON, {"a": NOON})
    assert orjson.loads(_seen_json(Seen(NOON, {"a": NOON}))) == older  # and it reads what this one keeps


class Feed:
    """A feed that gives its items another ID at each look."""

    def __init__(self):
        self.titles = ["a", "b"]
        self.looks = 0

    async def answer(self, _):
        self.looks += 1
        items = [f"<item><guid>{self.looks}-{title}</guid><title>{title}</title></item>" for title in self.titles]
        return web.Response(text=f'<rss version="2.0"><channel>{"".join(items)}</channel></rss>')


async def test_items_with_ids_that_change_run_once_each(state, user, world):
    feed = Feed()
    app = web.Application()
    app.router.add_get("/feed", feed.answer)
    pool = await state.database.pool()

    async def look():
        before = feed.looks
        await pool.execute("update sources set due_at = now()")
        await until(lambda: feed.looks > before)
        await until(lambda: rows(state, "select from sources where checked_at is not null and lease_owner is null"))

    async with TestServer(app, host="127.0.0.1") as server, worker(state):
        address = str(server.make_url("/feed"))
        area = await make_area(state, user, "rss.new_item", action_parameters={"url": address}, text="{{title}}")
        await until(lambda: rows(state, "select from sources where seen is not null"))
        await look()
        feed.titles.insert(0, "c")
        await look()
        await until(lambda: world.sent)
        await look()
        await look()
    assert [text for _, text in world.sent] == ["c"]
    (source,) = await rows(state, "select note from sources")
    assert "item IDs change each time" in source["note"]
    async with state.database.transaction() as session:
        (view,) = await views.load(session, control.scope(state), [area.id])
    assert view.note is not None
    assert view.note.translated("fr").startswith("Les identifiants des articles du flux changent à chaque fois.")
