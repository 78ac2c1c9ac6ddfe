"""Polls, look-ups, readers, passwords and bodies: one user takes the places that all share."""

import asyncio
import time
from contextlib import suppress
from io import BytesIO

import aiohttp

from tests.fair.stage import Person, Stage

from . import attack

SECONDS = 20.0  # that the victim is watched for
SLOW_POLLS = 300
SLOW_POLLS_SECONDS = 75.0
POLL_GAP = 80.0  # seconds between two looks of the victim's poll of one minute
SLOW_NAMES = 100


@attack()
async def slow_polls(stage: Stage) -> None:
    """Three hundred polls of an address that answers after 28 seconds."""
    async with stage.watched(SLOW_POLLS_SECONDS, "hook", "timer") as watch:
        for number in range(SLOW_POLLS):
            expected = {"url": f"{stage.website}/slow/{number}", "path": "value"}
            await stage.attacker.area("http.value_changed", expected, "inbox.post", title="{{value}}")
    looks = watch.during.polled
    stage.table.is_so(stage.attack, "the victim's poll of a minute is looked at", f"{len(looks)} looks", bool(looks))


@attack(own_names=True)
async def slow_names(stage: Stage) -> None:
    """A hundred requests to names whose server takes ten seconds to answer."""
    hooks = [await stage.attacker.hook(url=f"http://n{number}.slow.test/") for number in range(SLOW_NAMES)]
    async with stage.watched(30.0, "hook", "look-up"):
        await asyncio.gather(*(stage.attacker.ask("POST", hook, {}) for hook in hooks))


SCANS = 1000
SIDE = 6300  # pixels: just below forty million
SMALL_PICTURE = 10.0  # seconds that the victim's own picture may take meanwhile


@attack()
async def picture_scans(stage: Stage) -> None:
    """A progressive JPEG of 200 KB with a thousand scans, and the victim's small picture after it."""
    hostile, small = _progressive(SIDE, SCANS), _picture(64, "PNG")
    async with stage.watched(SECONDS, "healthz", "page"):
        upload = asyncio.create_task(_upload(stage, stage.attacker, hostile))
        await asyncio.sleep(2)
        begun = time.monotonic()
        status = await _upload(stage, stage.victim, small)
        took = time.monotonic() - begun
        stage.table.at_most(stage.attack, "the victim's picture, s", round(took, 1), SMALL_PICTURE)
        stage.table.is_so(stage.attack, "the victim's picture is taken", status, status in (200, 303))
        await upload


def _picture(side: int, kind: str, **options: bool) -> bytes:
    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (side, side), "orange").save(file, kind, **options)
    return file.getvalue()


def _progressive(side: int, scans: int) -> bytes:
    """A JPEG whose last scan is there again and again (ITU T.81, B.2.3: a scan begins with FF DA)."""
    picture = _picture(side, "JPEG", progressive=True)
    start, end = picture.rindex(b"\xff\xda"), picture.rindex(b"\xff\xd9")
    return picture[:end] + picture[start:end] * scans + picture[end:]


async def _upload(stage: Stage, person: Person, picture: bytes) -> int:
    form = aiohttp.FormData()
    form.add_field("picture", picture, filename="me.jpg", content_type="image/jpeg")
    try:
        return (await stage.request("POST", "/profile/picture", data=form, headers=person.cookie)).status
    except TimeoutError:
        return 0


CALENDARS = 12
FEEDS = 4
FIRST_LOOK = 45.0  # seconds until a first look at the victim's own; 60 is where a poll gives up
LOOKED = "select not bool_or(t.baseline) from triggers t join areas a on a.id = t.area_id where a.name = 'own'"


@attack()
async def calendar_bombs(stage: Stage) -> None:
    """Calendars with an event of every day since year one, which take nine seconds each to unfold."""
    await _readers(stage, "calendar.event_starts", "calendar", CALENDARS)


@attack()
async def feed_bombs(stage: Stage) -> None:
    """Feeds of sixty thousand items."""
    await _readers(stage, "rss.new_item", "feed", FEEDS)


async def _readers(stage: Stage, component: str, kind: str, count: int) -> None:
    async with stage.watched(SECONDS, "hook", "timer"):
        for number in range(count):
            await stage.attacker.area(component, {"url": f"{stage.website}/{kind}/{number}"}, "inbox.post", title="x")
        await asyncio.sleep(3)
        expected = {"url": f"{stage.website}/small-{kind}"}
        await stage.victim.area(component, expected, "inbox.post", "own", title="x")
        took = await stage.until(LOOKED, seconds=75)
    stage.table.at_most(stage.attack, f"first look at the victim's {kind}, s", round(took, 1), FIRST_LOOK)


LOG_INS = 80


@attack()
async def parallel_log_ins(stage: Stage) -> None:
    """Eighty log-ins at once, again and again, each from another address."""
    async with stage.watched(SECONDS, "healthz", "hook", "page", "log-in"):
        end = time.monotonic() + SECONDS - 5

        async def again(number: int) -> None:
            while time.monotonic() < end:
                answer = await stage.log_in(f"nobody-{number}", "wrong", source=f"127.0.1.{number + 1}")
                await asyncio.sleep(float(answer.headers.get("retry-after", 0)) and 1)

        await asyncio.gather(*(again(number) for number in range(LOG_INS)), return_exceptions=True)


BODIES = 200
BODY = 1_900_000
BODY_DEADLINE = 60.0  # seconds in which an unfinished body must have been given up
GROWN = 100.0  # MB that the web process may grow by meanwhile


@attack()
async def unfinished_bodies(stage: Stage) -> None:
    """Two hundred log-ins of 1.9 MB that never end."""
    await _unfinished(stage, "/api/auth/login")


@attack()
async def unfinished_hooks(stage: Stage) -> None:
    """The same to one webhook address."""
    await _unfinished(stage, (await stage.attacker.hook()).removeprefix(stage.area.url), size=950_000)


async def _unfinished(stage: Stage, path: str, size: int = BODY) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {size + 1}\r\n\r\n"

    async def once() -> float:
        begun = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.area.port)
        try:
            writer.write(head.encode() + b'"' + b"x" * (size - 1))
            with suppress(ConnectionError):
                await asyncio.wait_for(writer.drain(), 10)
            await asyncio.wait_for(reader.read(), BODY_DEADLINE + 15)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
        return time.monotonic() - begun

    held = stage.area.web.memory_info().rss / 1e6
    async with stage.watched(SECONDS, "healthz", "hook", "page"):
        opened = [asyncio.create_task(once()) for _ in range(BODIES)]
        await asyncio.sleep(SECONDS - 5)
        grown = stage.area.web.memory_info().rss / 1e6 - held
    stage.table.at_most(stage.attack, "web grew by, MB", round(grown), GROWN)
    took = await asyncio.gather(*opened)
    stage.table.at_most(stage.attack, "longest unfinished body, s", round(max(took)), BODY_DEADLINE)
