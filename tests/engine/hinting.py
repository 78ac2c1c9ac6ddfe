"""A vendor that announces changes, and how its announcements arrive."""

import contextlib
import hashlib
import hmac
from datetime import datetime, timedelta

from aiohttp import web
from aiohttp.test_utils import RawTestServer

from area import areas
from area.areas import AreaPatch
from area.engine import control
from area.kit.clock import now
from area.sdk import (
    Context,
    Hook,
    Subscription,
)
from tests.engine.conftest import Topic, rows

HOUR = timedelta(hours=1)
HINTS = "select * from source_hints order by source_id"
QUIET = "select count(*) from sources where lease_owner is null and due_at > now() + interval '5 s'"


class Vendor:
    """A server that shows notes, and calls whoever subscribed to them. It tries an address before it takes a
    subscription.
    """

    def __init__(self):
        self.notes = []
        self.looks = 0
        self.calls = []  # what was asked about subscriptions
        self.hooks = {}  # id: {"url", "secret", "topic"}
        self.refuses = 0
        self.lasts = 3 * HOUR
        self.knocks = True
        self.signs = False  # its challenges, too
        self.heard = []  # the statuses that its deliveries were answered with
        self.dies = False  # after it made a subscription, before it says so
        self.url = ""
        self.client = None

    async def __call__(self, request):
        if request.path == "/notes":
            self.looks += 1
            return web.json_response(self.notes)
        self.calls.append(request.method)
        if self.refuses:
            return web.Response(status=self.refuses)
        number = request.path.rpartition("/")[2]
        if request.method == "GET":
            return web.json_response([{"id": number, **hook} for number, hook in self.hooks.items()])
        if request.method == "DELETE":
            known = self.hooks.get(number, {}).get("url") == request.query["of"]
            return web.Response(status=204 if known and self.hooks.pop(number) else 404)
        if request.method == "POST":
            expected = await request.json()
            if self.knocks:
                signed = {"X-Signature": signature(expected["secret"])} if self.signs else {}
                async with self.client.post(expected["url"], params={"challenge": "<b>"}, headers=signed) as answer:
                    if (answer.status, await answer.text()) != (200, "<b>"):
                        return web.Response(status=400)
            number = f"n{len(self.calls)}"
            self.hooks[number] = expected
        elif number not in self.hooks:
            return web.Response(status=404)
        if self.dies:
            self.dies = False
            request.transport.close()
        return web.json_response({"id": number, "expires_at": (now() + self.lasts).isoformat()})

    async def tells(self, signed=True, body=b"{}"):
        """Something changed; returns what it was answered."""
        hooks = list(self.hooks.values())
        return [await self.tell(hook["url"], hook["secret"] if signed is True else signed, body) for hook in hooks]

    async def tell(self, url, secret, body=b"{}"):
        async with self.client.post(url, data=body, headers={"X-Signature": signature(secret, body)}) as answer:
            return answer.status


def signature(secret, body=b""):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() if secret else ""


@contextlib.asynccontextmanager
async def serving(app):
    """An ASGI application at a port of loopback."""

    async def handle(request):
        body, sent = await request.read(), []
        scope = {
            "type": "http", "method": request.method, "path": request.path,
            "query_string": request.query_string.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in request.headers.items()],
        }  # fmt: skip

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"] if name != b"content-length"}
        return web.Response(status=sent[0]["status"], body=sent[1]["body"], headers=headers)

    async with RawTestServer(handle) as server:
        yield str(server.make_url("")).rstrip("/")


async def renew(ctx: Context, params: Topic, hook: Hook, subscription: str) -> Subscription:
    return read_subscription((await ctx.http.call("PATCH", f"/hooks/{subscription}")).json())


async def unsubscribe(ctx: Context, params: Topic, hook: Hook, subscription: str) -> None:
    await ctx.http.call("DELETE", f"/hooks/{subscription}", params={"of": hook.url})


async def soon(state, running):
    """Have the source looked at now."""
    pool = await state.database.pool()
    await pool.execute("update sources set due_at = now()")
    running.sources.wake()


async def change(state, user, area_id, **patch):
    async with state.database.transaction() as session:
        return await areas.change(session, control.scope(state), user, area_id, AreaPatch(**patch))


async def quiet(state, number):
    (row,) = await rows(state, QUIET)
    return row["count"] == number


async def waits(state):
    """How long each source waits, in minutes."""
    records = await rows(state, "select due_at - checked_at as pause from sources order by id")
    return [round(row["pause"].total_seconds() / 60) for row in records]


def read_subscription(answer):
    return Subscription(answer["id"], datetime.fromisoformat(answer["expires_at"]))
