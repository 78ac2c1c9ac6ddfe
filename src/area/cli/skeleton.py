"""Templates for a new connector: one piece per kind of component. The generated tests pass as they are.

One module of text: the pieces are combined, so they have to fit each other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Piece:
    """What one component adds: code, names to import, sample, doc page and test."""

    name: str
    code: str
    doc: str
    test: str
    imports: dict[str, set[str]] = field(default_factory=dict)
    test_imports: dict[str, set[str]] = field(default_factory=dict)
    uses: set[str] = field(default_factory=set)  # names that the test imports from the connector
    fixture: dict[str, Any] | None = None


ITEM = """
class Item(Output):
    id: str = output("id", "Item ID", "42")
    title: str = output("title", "Title", "Hello")
    created_at: datetime = output("created_at", "Date created", "2026-11-23T09:00:00Z")
"""

PIECES = {
    "poll": Piece(
        name="new_item",
        code='''
@service.poll("New item", every=timedelta(minutes=5))
async def new_item(
    ctx: Context, since: datetime, topic: Annotated[str, param("Topic of the items", "python", min_length=1)]
) -> Events[Item]:
    """Triggers for each new item in a topic. Items already there when the AREA is switched on don't count."""
    query = {"topic": topic, "since": since.isoformat()}
    async for item in ctx.http.rows("/items", Item, params=query):
        yield Event(item.id, item, item.created_at)
''',
        doc="""
## Action `new_item`: new item

Checks every five minutes and triggers for each new item, oldest first.

| parameter | | |
|---|---|---|
| `topic` | required | Topic of the items, such as `python` |

| return value | type | |
|---|---|---|
| `id` | string | Item ID |
| `title` | string | Title |
| `created_at` | date | Date created |
""",
        test="""
async def test_items_of_the_topic_are_seen(ctx, vendor):
    vendor.items = [{"id": "1", "title": "Hello", "created_at": "2026-11-23T09:00:00Z"}]
    seen = [event async for event in new_item.function(ctx, new_item.params(topic="python"), SINCE)]
    assert [(event.id, event.data.title, event.at) for event in seen] == [("1", "Hello", SINCE)]
    assert vendor.asked == [("GET", "/items", {"topic": "python", "since": SINCE.isoformat()})]


async def test_a_vendor_that_is_away_is_asked_again(ctx, vendor):
    vendor.status = 503
    with pytest.raises(Retry, match="503"):
        await anext(new_item.function(ctx, new_item.params(topic="python"), SINCE))
""",
        imports={
            "datetime": {"datetime", "timedelta"},
            "typing": {"Annotated"},
            "area.sdk": {"Context", "Event", "Events", "Output", "output", "param"},
        },
        test_imports={"datetime": {"UTC", "datetime"}, "area.sdk": {"Retry"}},
        uses={"new_item"},
        fixture={
            "id": "42",
            "at": "2026-11-23T09:00:00Z",
            "data": {"id": "42", "title": "Hello", "created_at": "2026-11-23T09:00:00Z"},
        },
    ),
    "webhook": Piece(
        name="item_changed",
        code='''
class Change(Output):
    id: str = output("id", "Item ID", "42")
    title: str = output("title", "New title", "Hello")


@service.webhook("Item changed", verify=hmac_sha256("X-Signature-256", prefix="sha256="))
async def item_changed(request: Request) -> Events[Change]:
    """Triggers when an item changes. Enter the AREA's webhook URL and secret in the service's settings."""
    delivery = request.headers.get("x-delivery-id")
    if not delivery:
        raise Permanent("The X-Delivery-Id header is missing, so repeated deliveries can't be recognized.")
    yield Event(delivery, parse(Change, request.body, service.name), request.received_at)
''',
        doc="""
## Action `item_changed`: item changed

Enter the AREA's webhook URL and secret in the service's settings. Deliveries are signed with the secret (HMAC-SHA256,
in `X-Signature-256`); unsigned and wrongly signed ones are rejected. A repeated `X-Delivery-Id` triggers once.

| return value | type | |
|---|---|---|
| `id` | string | Item ID |
| `title` | string | New title |
""",
        test="""
def delivery(body: bytes, **headers: str) -> Request:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request("POST", "/hooks/x", Headers(pairs), {}, body, datetime.now(UTC))


async def test_a_delivery_is_an_event(ctx):
    request = delivery(b'{"id": "42", "title": "Hello"}', x_delivery_id="d-1")
    (event,) = [event async for event in item_changed.function(ctx, Nothing(), request)]
    assert (event.id, event.data.title) == ("d-1", "Hello")


@pytest.mark.parametrize(
    ("body", "headers", "sentence"),
    [(b'{"id": "42", "title": "Hello"}', {}, "X-Delivery-Id"), (b"[]", {"x_delivery_id": "d-1"}, "Unexpected")],
)
async def test_what_is_no_delivery_is_refused_with_a_sentence(ctx, body, headers, sentence):
    with pytest.raises(Permanent, match=sentence):
        await anext(item_changed.function(ctx, Nothing(), delivery(body, **headers)))


def test_what_is_not_signed_is_refused():
    with pytest.raises(Refused):
        item_changed.verify.check(delivery(b"{}", x_signature_256="sha256=00"), "secret", Nothing())
""",
        imports={
            "area.sdk": {"Event", "Events", "Permanent", "Request", "Output", "hmac_sha256", "output", "parse"},
        },
        test_imports={
            "datetime": {"UTC", "datetime"},
            "area.sdk": {"Headers", "Nothing", "Permanent", "Refused", "Request"},
        },
        uses={"item_changed"},
        fixture={
            "id": "d-1",
            "at": "2026-11-23T09:00:00Z",
            "data": {"id": "42", "title": "Hello"},
            "request": {
                "headers": {
                    "X-Delivery-Id": "d-1",
                    "X-Signature-256": "sha256=66b59f324dede426810269074bcd955e3278079e1216e4e8aea82a143156eaeb",
                },
                "body": '{"id":"42","title":"Hello"}',
                "secret": "a secret for this sample only",
            },
        },
    ),
    "timer": Piece(
        name="every_hour",
        code='''
class Minute(Timer):
    """The minute of the hour."""

    minute: int = Field(0, ge=0, le=59, description="Minute of the hour", examples=[30])


@service.timer("Every hour")
def every_hour(params: Minute, after: datetime) -> datetime:
    """Runs every hour, at the minute you choose."""
    planned = after.replace(minute=params.minute, second=0, microsecond=0)
    return planned if planned > after else planned + timedelta(hours=1)
''',
        doc="""
## Action `every_hour`: every hour

| parameter | | |
|---|---|---|
| `minute` | optional | Minute of the hour; `0` by default |
| `timezone` | optional | Time zone of the return values; `UTC` by default |
| `missed` | optional | If the server was down: `late` (the default) runs once when it is back, `skip` does not |

Returns the planned time as `time`, `date`, `hour` and `weekday`, and the delay as `late_seconds`.
""",
        test="""
@pytest.mark.parametrize(
    ("after", "planned"), [("09:00", "09:30"), ("09:30", "10:30"), ("09:31", "10:30")]
)  # fmt: skip
def test_the_next_instant_is_strictly_later(after, planned):
    def at(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-11-23T{text}:00+00:00")

    assert every_hour.function(Minute(minute=30), at(after)) == at(planned)
""",
        imports={"datetime": {"datetime", "timedelta"}, "pydantic": {"Field"}, "area.sdk": {"Timer"}},
        test_imports={"datetime": {"datetime"}},
        uses={"Minute", "every_hour"},
        fixture={
            "id": "2026-11-23T09:30:00+00:00",
            "data": {
                "time": "2026-11-23T09:30:00Z",
                "date": "2026-11-23",
                "hour": "09:30",
                "weekday": "Monday",
                "late_seconds": 0,
            },
        },
    ),
    "listen": Piece(
        name="message_arrives",
        code='''
class Message(Output):
    id: str = output("id", "Message ID", "7")
    text: str = output("text", "Text", "Hello")


@service.listen("New message")
async def message_arrives(ctx: Context) -> Events[Message]:
    """Triggers immediately for each new message: the service answers a request when it has one (long polling)."""
    while True:
        answer = await ctx.http.get("/messages", params={"after": ctx.state.get("last", "")}, timeout=90)
        messages = parse(list[Message], answer, service.name)
        for message in messages:
            ctx.state["last"] = message.id  # saved together with the yielded event
            yield Event(message.id, message)
        if not messages:
            await asyncio.sleep(1)
''',
        doc="""
## Action `message_arrives`: new message

Triggers immediately: a request to the service stays open until it has a message (long polling).

| return value | type | |
|---|---|---|
| `id` | string | Message ID |
| `text` | string | Text |
""",
        test="""
async def test_messages_are_heard_and_remembered(ctx, vendor):
    vendor.messages = [{"id": "7", "text": "Hello"}, {"id": "8", "text": "There"}]
    async with aclosing(message_arrives.function(ctx, Nothing())) as heard:
        assert [(await anext(heard)).data.text, (await anext(heard)).data.text] == ["Hello", "There"]
    assert ctx.state == {"last": "8"}
""",
        imports={
            "": {"asyncio"},
            "area.sdk": {"Context", "Event", "Events", "Output", "output", "parse"},
        },
        test_imports={"contextlib": {"aclosing"}, "area.sdk": {"Nothing"}},
        uses={"message_arrives"},
        fixture={"id": "7", "data": {"id": "7", "text": "Hello"}},
    ),
    "reaction": Piece(
        name="create_item",
        code='''
@service.reaction("Create an item", idempotent="key")
async def create_item(
    ctx: Context, title: Annotated[str, param("Title of the item", "{{title}}", min_length=1, max_length=200)]
) -> Made:
    """Create an item. Retries send the same `Idempotency-Key`, so they never create it twice."""
    headers = {"Idempotency-Key": ctx.idempotency_key}
    return await ctx.http.post("/items", Made, json={"title": title}, headers=headers)
''',
        doc="""
## Reaction `create_item`: create an item

| parameter | | |
|---|---|---|
| `title` | required | Title of the item; at most 200 characters |

Returns `id`. Retries send the same `Idempotency-Key`, so they never create the item twice.
""",
        test="""
async def test_an_item_is_made_once_however_often_it_is_tried(ctx, vendor):
    assert await act(ctx, create_item, title="Hello") == Made(id="42")
    assert vendor.asked[0] == ("POST", "/items", {})
    (body, key), (_, once), (_, again), (_, other) = vendor.got
    assert (body, key) == (b'{"title":"Hello"}', "execution-7")
    assert once == again != other, "a second attempt sends the same key, another execution another one"
""",
        imports={"typing": {"Annotated"}, "area.sdk": {"Context", "Made", "param"}},
        test_imports={"area.sdk": {"Made"}, "area.sdk.testing": {"act"}},
        uses={"create_item"},
    ),
}

VENDOR = '''

class Vendor:
    """A double of the service's API, on loopback."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.got: list[tuple[bytes, str | None]] = []
        self.items: list[dict[str, str]] = []
        self.messages: list[dict[str, str]] = []
        self.status = 200

    async def answer(self, incoming: web.Request) -> web.Response:
        self.asked.append((incoming.method, incoming.path, dict(incoming.query)))
        if incoming.method == "POST":
            self.got.append((await incoming.read(), incoming.headers.get("Idempotency-Key")))
            return web.json_response({"id": "42"}, status=self.status)
        rows = self.items if incoming.path == "/items" else self.messages
        return web.json_response(rows, status=self.status)


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    it = Vendor()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", it.answer)
    it.server = TestServer(application)
    await it.server.start_server()
    yield it
    await it.server.close()


@pytest.fixture
async def ctx(vendor: Vendor) -> AsyncIterator[Context]:
    guard = Guard(allow=["127.0.0.1"])
    client = Client(guard)
    http = Http(client, str(vendor.server.make_url("")))
    yield Context(http=http, guard=guard, platform=cast(Any, None), idempotency_key="execution-7")
    await client.close()
'''

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "area-SLUG"
version = "0.1.0"
description = "TITLE for AREA"
requires-python = ">=3.11"
dependencies = ["area-server"]

[project.optional-dependencies]
testing = ["area-server[testing]"]

[project.entry-points."area.connectors"]
SLUG = "area_SLUG"

[tool.hatch.build.targets.wheel]
packages = ["src/area_SLUG"]

[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""


def files(slug: str, title: str, kinds: Sequence[str], *, package: str) -> dict[str, str]:
    """The connector's files by path inside its folder. `package` is the name the test imports."""
    pieces = [PIECES[kind] for kind in kinds]
    contents = {
        "__init__.py": _code(slug, title, pieces),
        "doc.md": f"# {title}\n\nDescribe here what {title} is for and what users need to connect it.\n"
        + "".join(piece.doc for piece in pieces),
        "logo.svg": LOGO.format(title=_xml(title), letter=_xml(title[0].upper())),
        f"test_{slug}.py": _test(pieces, package, kinds),
    }
    for piece in pieces:
        if piece.fixture is not None:
            contents[f"fixtures/{piece.name}.json"] = json.dumps(piece.fixture, indent=2) + "\n"
    return contents


LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="24" height="24"><title>{title}</title>'
    '<rect x="2" y="2" width="20" height="20" rx="5" fill="#0284c7"/>'
    '<text x="12" y="16.5" font-family="sans-serif" font-size="13" font-weight="700" text-anchor="middle" fill="#fff">'
    "{letter}</text></svg>\n"
)


def _code(slug: str, title: str, pieces: Sequence[Piece]) -> str:
    needs_item = any("Events[Item]" in piece.code for piece in pieces)
    imports: dict[str, set[str]] = {"area.sdk": {"Service"}}
    for piece in pieces:
        _merge(imports, piece.imports)
    service = (
        f"service = Service(\n    {_quoted(slug)},\n    {_quoted(title)},\n    {_quoted(f'Items of {title}.')},\n"
        f'    docs="https://api.example.com/docs",\n    base_url="https://api.example.com",\n)\n'
    )
    bodies = [*([ITEM] if needs_item else []), *(piece.code for piece in pieces)]
    return (
        f'"""{title}: describe here what it triggers on and what it does."""\n\n{_imports(imports)}\n{service}\n'
        + "\n".join(bodies)
    )


def _test(pieces: Sequence[Piece], package: str, kinds: Sequence[str]) -> str:
    imports: dict[str, set[str]] = {"": {"pytest"}, package: set()}
    http = set(kinds) - {"timer"}
    if http:
        imports |= {
            "collections.abc": {"AsyncIterator"},
            "typing": {"Any", "cast"},
            "aiohttp": {"web"},
            "aiohttp.test_utils": {"TestServer"},
            "area.kit.http": {"Client"},
            "area.kit.net": {"Guard"},
            "area.sdk": {"Context", "Http"},
        }
    for piece in pieces:
        _merge(imports, piece.test_imports)
        imports[package] |= piece.uses
    since = "\nSINCE = datetime(2026, 11, 23, 9, tzinfo=UTC)\n" if "poll" in kinds else ""
    return (
        _imports(imports, package) + since + (VENDOR if http else "") + "".join(f"\n{piece.test}" for piece in pieces)
    )


def _merge(into: dict[str, set[str]], more: dict[str, set[str]]) -> None:
    for module, names in more.items():
        into[module] = into.get(module, set()) | names


def _imports(names: dict[str, set[str]], package: str = "") -> str:
    """Import lines in isort's order: standard library, third parties, AREA."""
    third = {"pydantic", "aiohttp", "aiohttp.test_utils", "pytest"}
    own = {"area.sdk", "area.sdk.testing", "area.kit.http", "area.kit.net"}
    if package.startswith("area."):
        own.add(package)
    elif package:
        third |= {package, *own}
        own = set()
    plain = names.get("", set())
    blocks = []
    for place in (0, 1, 2):

        def here(module: str, place: int = place) -> bool:
            return place == (1 if module in third else 2 if module in own else 0)

        lines = [f"import {name}" for name in sorted(plain) if here(name)]
        modules = sorted(source for source in names if source and names[source] and here(source))
        lines += [_from(module, sorted(names[module], key=_isort)) for module in modules]
        if lines:
            blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _from(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    return line if len(line) <= 120 else f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def _isort(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
