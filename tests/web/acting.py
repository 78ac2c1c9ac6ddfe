"""What several tests of the pages do and look for."""

import asyncio
import json
import re

import pytest

from tests.npm import MODULES

AXE = MODULES / "axe-core" / "axe.min.js"


def forgiven(person, status):
    """The browser tells of a form that was refused, as it was to be."""
    person.complaints[:] = [complaint for complaint in person.complaints if f"status of {status}" not in complaint]


async def hook(person, name="Orders", **parts):
    """An AREA that is fired by a request."""
    form = {"reaction_parameters": {"title": "Order {{body.id}}"}, **parts}
    return await person.make("webhook.received", "inbox.post", name, **form)


async def fire(person, area, body):
    answer = await person.context.request.post(area["webhook_url"], data=body)
    assert answer.ok, await answer.text()


async def over(person, area, number=1):
    """Its runs, once there are so many and all of them are over."""
    for _ in range(80):
        items = (await person.api("GET", f"/api/executions?area_id={area['id']}"))["items"]
        if len(items) >= number and all(run["status"] not in ("pending", "running") for run in items):
            return items
        await asyncio.sleep(0.1)
    raise AssertionError(items)


SAVED = re.compile(r"/areas/\d+$")


async def settled(page):
    """Wait until nothing is on its way to the server."""
    await page.wait_for_timeout(550)
    await page.wait_for_load_state("networkidle")


def box(page, name):
    return page.get_by_role("textbox", name=name, exact=True)


async def only_area(person):
    (area,) = (await person.api("GET", "/api/areas"))["items"]
    return area


async def axe(person, where: str, rules: tuple[str, ...] = ()) -> None:
    """All rules, or some: https://github.com/dequelabs/axe-core/blob/develop/doc/API.md."""
    if not AXE.is_file():
        pytest.skip("not run: axe-core is not there; npm could not fetch it")
    if await person.page.evaluate("typeof axe") == "undefined":
        await person.page.evaluate(AXE.read_text())
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    violations = await person.page.evaluate("options => axe.run(document, options).then(r => r.violations)", options)
    lines = [
        {
            "rule": violation["id"],
            "why": violation["help"],
            "where": [node["html"][:200] for node in violation["nodes"][:4]],
        }
        for violation in violations
    ]
    assert not lines, f"{where}: {json.dumps(lines, indent=1)}"
