"""W2: 10,000 AREAs on 100 feeds: requests per interval, CPU per minute, start-up, memory. W3: one item for 10,000
AREAs.
"""

import http.server
import json
import threading
import time
from collections import Counter
from contextlib import contextmanager

from bench.stack import Area
from bench.w1 import SINK, sink

FEEDS, AREAS = 100, 10_000

COPY = """
with copies as (
    select a.id as original, row_number() over () as n from areas a, generate_series(1, $1::int)
), ids as (
    select original, n, nextval(pg_get_serial_sequence('areas', 'id'))::int as id from copies
), made as (
    insert into areas (id, user_id, component_action_id, component_reaction_id, name)
    select i.id, a.user_id, a.component_action_id, a.component_reaction_id, a.name
    from ids i join areas a on a.id = i.original
    returning id
), parameters as (
    insert into area_parameters (area_id, variable_id, value)
    select i.id, p.variable_id, p.value from ids i join area_parameters p on p.area_id = i.original
), versions as (
    insert into area_versions (area_id, version, config)
    select i.id, v.version, v.config from ids i join area_versions v on v.area_id = i.original
)
insert into triggers (area_id, source_id, baseline)
select i.id, t.source_id, t.baseline from ids i join triggers t on t.area_id = i.original
"""


class Feeds:
    """A server of feeds that counts requests."""

    def __init__(self) -> None:
        self.requests: Counter = Counter()
        self.items: Counter = Counter()
        feeds = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                feeds.requests[self.path] += 1
                body = feeds.document(self.path).encode()
                tag = f'"{feeds.items[self.path]}"'
                if self.headers.get("if-none-match") == tag:
                    self.send_response(304)
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("etag", tag)
                self.send_header("content-type", "application/rss+xml")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def document(self, path: str) -> str:
        items = "".join(
            f"<item><guid>{path}-{n}</guid><title>Item {n}</title><link>http://x.example/{n}</link></item>"
            for n in range(20 + self.items[path])
        )
        return f'<rss version="2.0"><channel><title>{path}</title>{items}</channel></rss>'


@contextmanager
def feeds():
    feeds = Feeds()
    try:
        yield feeds
    finally:
        feeds.server.shutdown()


def fill(area: Area, server: Feeds, number: int) -> None:
    """Create `number` feeds with one AREA each through the API, then copies up to `AREAS`."""
    area.register()
    for n in range(number):
        area.create(
            "rss.new_item",
            "http.request",
            {"url": f"http://127.0.0.1:{server.port}/{n}"},
            url=f"{SINK}/sink",
            body={"id": "{{id}}", "title": "{{title}}"},
        )
    area.query(COPY, AREAS // number - 1)
    area.query("analyze")


def look(area: Area) -> None:
    """Make every source due now."""
    area.query("update sources set due_at = now() where lease_owner is null")


def baselined(area: Area) -> None:
    end = time.time() + 180
    while time.time() < end:
        if area.query("select count(*) as n from triggers where baseline")[0]["n"] == 0:
            return
        time.sleep(0.5)
    raise RuntimeError("not every AREA had its first look")


def w2(minutes: float = 1.0) -> dict:
    with sink(), feeds() as server, Area() as area:
        fill(area, server, FEEDS)
        look(area)
        baselined(area)
        server.requests.clear()
        look(area)
        time.sleep(20)
        requests = sum(server.requests.values())
        before = area.cost()
        time.sleep(60 * minutes)
        after = area.cost()
        memory, memory_db = after.memory, after.memory_database
        area.process.terminate()
        area.process.wait(40)
        area.start()
        line = {
            "bench": "w2",
            "areas": AREAS,
            "feeds": FEEDS,
            "requests_per_interval": requests,
            "cpu_s_per_minute": round((after.cpu - before.cpu) / minutes, 2),
            "cpu_db_s_per_minute": round((after.cpu_database - before.cpu_database) / minutes, 2),
            "start_s": round(area.started_in, 1),
            "memory_mb": round(memory),
            "memory_db_mb": round(memory_db),
        }
        print(json.dumps(line), flush=True)
        return line


def w3() -> dict:
    with sink(), feeds() as server, Area() as area:
        fill(area, server, 1)
        look(area)
        baselined(area)
        server.items["/0"] += 1
        begun = time.time()
        look(area)
        committed = None
        while True:
            done = area.query(
                "select count(*) filter (where status = 'success') as success, count(*) as n from area_executions"
            )[0]
            committed = committed or (time.time() - begun if done["n"] >= AREAS else None)
            if done["success"] >= AREAS or time.time() - begun > 180:
                break
            time.sleep(0.2)
        line = {
            "bench": "w3",
            "areas": AREAS,
            "success": done["success"],
            "executions": done["n"],
            "committed_s": round(committed or -1, 1),
            "last_success_s": round(time.time() - begun, 1),
        }
        print(json.dumps(line), flush=True)
        return line
