"""Expressions and templates that users write, fed with data that makes them work hard or grow."""

import asyncio

from tests.fair.stage import Stage

from . import attack

SECONDS = 20.0  # that the victim is watched for
COMPARISONS = 40
MOST_STORED = 2 * 2**20  # characters of one event as PostgreSQL writes it, with a blank after each comma


@attack()
async def pick_bomb(stage: Stage) -> None:
    """A webhook's pick compares each of 150,000 elements forty times; whoever knows the address fires it."""
    pick = "[?" + "||".join(["@==`9`"] * COMPARISONS) + "]|length(@)"
    hook = await stage.attacker.hook(action={"pick": pick})
    body = b"[" + b"1," * 149_999 + b"1]"
    async with stage.watched(SECONDS, "healthz", "hook", "page"):
        await _send(stage, hook, body)


@attack()
async def value_bomb(stage: Stage) -> None:
    """A poll of a 10 MB list whose path compares each element."""
    path = "length([?" + "||".join(["@>`0`"] * COMPARISONS) + "])"
    async with stage.watched(SECONDS, "hook", "timer"):
        expected = {"url": f"{stage.website}/list/1", "path": path}
        await stage.attacker.area("http.value_changed", expected, "inbox.post", title="{{value}}")


@attack()
async def only_if_bomb(stage: Stage) -> None:
    """A condition that looks for a date among ten thousand, two hundred times, in two AREAs."""
    condition = " or ".join(["body.c in body.a"] * 200)
    hooks = [await stage.attacker.hook(action={"only_if": condition}) for _ in range(2)]
    body = {"c": "2027-01-01T00:00:00+01:00", "a": [f"2026-01-01T00:00:{n % 60:02}+01:00" for n in range(10_000)]}
    async with stage.watched(SECONDS, "hook", "timer"):
        await asyncio.gather(*(stage.attacker.ask("POST", hook, body) for hook in hooks))


@attack()
async def strip_html_bomb(stage: Stage) -> None:
    """A dry run whose document strips 250 KB of brackets in each of twenty strings."""
    reaction = {"url": f"{stage.website}/sink", "body": ["{{body|strip_html}}"] * 20}
    body = {
        "area": {
            "name": "bomb",
            "action": {"component": "webhook.received", "parameters": {}},
            "reaction": {"component": "http.request", "parameters": reaction},
        },
        "data": {"body": "<" * 250_000, "headers": {}, "query": {}, "method": "POST", "picked": None},
    }
    async with stage.watched(SECONDS, "healthz", "hook", "page"):
        await stage.attacker.ask("POST", "/api/areas/test", body)


@attack()
async def filled_growth(stage: Stage) -> None:
    """A document that holds the event 2,500 times."""
    hook = await stage.attacker.hook(url=f"{stage.website}/sink", body=["{{body}}"] * 2500)
    async with stage.watched(SECONDS, "hook", "timer"):
        for _ in range(3):
            await _send(stage, hook, b'"' + b"x" * 250_000 + b'"')


@attack()
async def picked_growth(stage: Stage) -> None:
    """A pick that copies an event of 960 KB a hundred times."""
    hook = await stage.attacker.hook(action={"pick": "[" + ",".join("@" * 100) + "]"})
    async with stage.watched(SECONDS, "healthz", "hook"):
        await asyncio.gather(*(_send(stage, hook, b'"' + b"QUJD" * 240_000 + b'"') for _ in range(2)))
    stored = await stage.database.value("select coalesce(max(length(trigger_data::text)), 0) from area_executions")
    stage.table.at_most(stage.attack, "largest stored event, characters", float(str(stored)), MOST_STORED)


async def _send(stage: Stage, hook: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    try:
        await asyncio.wait_for(stage.request("POST", hook, data=body, headers=headers), 60)
    except TimeoutError:
        return  # the attacker may wait for ever; what counts is what the victim sees
