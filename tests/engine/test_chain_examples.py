"""The examples of docs/howto/chains: each is applied, and run against a local server in place of the services it names."""

from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import orjson
import yaml
from aiohttp import web

from area.areas import AreaIn, bundles
from area.areas.samples import sample_of
from area.engine import control
from area.registry import registry

from .conftest import offer, rows, settled, until, worker

FILES = Path(__file__).parents[2] / "docs/howto/chains"
ANSWERS = {
    "/pages": {"url": "https://pages.example.com/7"},
    "/orders/7": {"tags": ["gift", "express"]},
    "/people": {"name": "Ann", "orders": 0},
    "/tasks": {"id": 9},
    "/tasks/9": {"state": "open"},
    "/about": {"keywords": ["python", "release"]},
    "/projects": {"projects": [{"name": "Roof", "late": True}, {"name": "Door", "late": False}]},
}
# file: the head's event (None for its sample), the service that refuses, requests, and notices
EXAMPLES = {
    "issue-to-page": (
        {"body": {"issue": {"title": "Leak", "url": "https://example.org/1"}}},
        "",
        [("/pages", {"title": "Leak", "link": "https://example.org/1"})],
        [("Leak has a page", "https://pages.example.com/7")],
    ),
    "for-each-tag": (
        {"body": {"id": 7}},
        "",
        [
            ("/orders/7", None),
            ("/rows", {"order": 7, "tag": "gift", "number": 0}),
            ("/rows", {"order": 7, "tag": "express", "number": 1}),
        ],
        [],
    ),
    "if-it-fails": (
        {"body": {"id": 7}},
        "/orders",
        [("/orders", {"id": 7})],
        [("Order 7 wasn't sent", None)],
    ),
    "otherwise": (
        {"body": {"subject": " Broken ", "priority": "Low"}},
        "",
        [("/tickets", {"title": "Broken"})],
        [],
    ),
    "several-actions": (
        {"body": {"customer": {"name": "Ann"}, "total": 12}},
        "",
        [("/messages", {"text": "Ann paid 12"})],
        [],
    ),
    "look-up": (
        {"body": {"from": "ann@example.org"}},
        "",
        [("/people", None), ("/send", {"to": "ann@example.org", "text": "Welcome, Ann!"})],
        [],
    ),
    "answer-a-request": (
        {"query": {"id": "7"}},
        "",
        [("/orders/7", None)],
        [],
    ),
    "remind-later": (
        {"body": {"title": "Paint"}},
        "",
        [("/tasks", {"title": "Paint"}), ("/tasks/9", None)],
        [("Still open: Paint", "9")],
    ),
    "escalate": (
        {"body": {"alert": "Fire"}},
        "/alerts",
        [("/alerts", {"alert": "Fire"}), ("/alerts", {"alert": "Fire"})],
        [("Nobody took Fire", None)],
    ),
    "feed-to-rows": (
        None,
        "/rows",
        [
            ("/about", None),
            ("/rows", {"title": "Python 3.14.2 is out", "keyword": "python"}),
            ("/rows", {"title": "Python 3.14.2 is out", "keyword": "release"}),
        ],
        [("No row for python", None), ("No row for release", None)],
    ),
    "daily-report": (
        None,
        "",
        [
            ("/projects", None),
            ("/messages", {"text": "2 projects on 2026-11-23"}),
            ("/messages", {"text": "Roof is late"}),
        ],
        [],
    ),
}


@asynccontextmanager
async def services(refuses):
    """A server in place of all services."""
    requests = []

    async def answer(request):
        body = await request.read()
        requests.append((request.path, orjson.loads(body) if body else None))
        if request.path == refuses:
            return web.json_response({}, status=422)
        return web.json_response(ANSWERS.get(request.path, {}))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", requests
    await runner.cleanup()


def test_each_example_is_run():
    assert {path.stem for path in FILES.glob("*.yaml")} == set(EXAMPLES)


async def test_an_example_does_what_it_says(state, user):
    """All of them in one installation, one after the other."""
    async with worker(state):
        for name in EXAMPLES:
            await _run(state, user, name)


async def _run(state, user, name):
    event, refuses, requests, notices = EXAMPLES[name]
    text = (FILES / f"{name}.yaml").read_text()
    hosts = {word.partition("//")[2].partition("/")[0] for word in text.split("'") + text.split() if "https://" in word}
    async with services(refuses) as (url, received):
        for host in sorted(hosts, key=len, reverse=True):
            if "feed" not in host:  # its event is given
                text = text.replace(f"https://{host}", url)
        bundle = [AreaIn.model_validate(item) for item in yaml.safe_load(text)["areas"]]
        async with state.database.transaction() as session:
            await bundles.apply(session, control.scope(state), user, bundle)
        (head,) = await rows(state, "select id from areas where name = $1", bundle[0].name)
        action = registry().action(bundle[0].action.component)
        pool = await state.database.pool()
        (before,) = await rows(state, "select coalesce(max(id), 0) as id from notices")
        await offer(state, SimpleNamespace(id=head["id"]), event or sample_of(state.registry, action))

        async def over():
            await pool.execute("update pgqueuer set execute_after = now() where status = 'queued'")
            return await settled(state)

        await until(over)
        async with state.database.transaction() as session:
            await bundles.prune(session, user, [])
    assert sorted(received, key=repr) == sorted(requests, key=repr), name
    posted = await rows(state, "select title, body from notices where id > $1 order by title", before["id"])
    assert [row["title"] for row in posted] == sorted(title for title, _ in notices), name
    assert all(body in (None, row["body"]) for row, (_, body) in zip(posted, notices, strict=True)), name
