"""Every page, in both themes, wide, narrow and between: no error in the console, nothing from elsewhere, nothing cut off, and nothing
that axe-core finds.
"""

import json

import pytest
import pytest_asyncio

from tests.npm import MODULES
from tests.web.conftest import NARROW, WIDE, Person, arrive, listen
from tests.web.world import ADMIN, FRONT, World, furnish

AXE = MODULES / "axe-core" / "axe.min.js"
MIDDLE = {"width": 768, "height": 1024}
COLOURS = ("color-contrast", "link-in-text-block")  # what a theme changes
SETTLED = """async () => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  await Promise.all(document.getAnimations().map((one) => one.finished.catch(() => null)));
}"""
NAMES = [*World({"id": 0}, {"id": 0}, {"id": 0}, 0, 0).pages(), *ADMIN]


@pytest_asyncio.fixture(scope="session")
async def lived_in(server, browser):
    """The administrator, in an installation that has been lived in; with the addresses of all pages."""
    person = await arrive(server, browser, "root")
    world = await furnish(person)
    yield person, {**world.pages(), **ADMIN}
    await person.context.close()


async def look(person: Person, address: str) -> None:
    """Open it in both themes and sizes. axe-core looks at it whole wide and light, narrow and dark; at its colours wide and dark."""
    page = person.page
    for size in (WIDE, NARROW):
        await page.set_viewport_size(size)
        await person.go(address)
        await fits(person, address)
        assert await page.locator("h1").count() == 1, f"{address} has no heading, or several"
        assert (await page.title()).endswith("· AREA")
        for theme in ("light", "dark") if size is WIDE else ("dark",):
            await page.evaluate("name => setTheme(name)", theme)
            await page.evaluate(SETTLED)  # colours on their way from one theme to the other are neither's
            await axe(
                person, f"{address} at {size['width']} px, {theme}", COLOURS if theme == "dark" and size is WIDE else ()
            )
        if size is WIDE:
            await page.set_viewport_size(MIDDLE)
            await fits(person, address)


async def fits(person: Person, address: str) -> None:
    """Nothing is wider than the window."""
    wide = await person.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], f"{address} is {wide[0]} px wide in a window of {wide[1]}"


async def axe(person: Person, where: str, rules: tuple[str, ...] = ()) -> None:
    """All rules, or some: https://github.com/dequelabs/axe-core/blob/develop/doc/API.md."""
    if not AXE.is_file():
        pytest.skip("not run: axe-core is not there; npm could not fetch it")
    if await person.page.evaluate("typeof axe") == "undefined":
        await person.page.evaluate(AXE.read_text())
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = await person.page.evaluate("options => axe.run(document, options).then(r => r.violations)", options)
    said = [
        {"rule": one["id"], "why": one["help"], "where": [node["html"][:200] for node in one["nodes"][:4]]}
        for one in found
    ]
    assert not said, f"{where}: {json.dumps(said, indent=1)}"


@pytest.mark.parametrize("name", NAMES)
async def test_page(lived_in, name):
    person, addresses = lived_in
    person.complaints.clear()
    await look(person, addresses[name])
    assert not person.complaints


@pytest.mark.parametrize("name", FRONT)
async def test_front_page(server, browser, lived_in, name):
    context = await browser.new_context(locale="en-GB", viewport=WIDE, reduced_motion="reduce")
    person = Person(server, context, await context.new_page(), "nobody")
    listen(person, person.page)
    await look(person, FRONT[name])
    await context.close()
    assert not person.complaints


async def test_what_is_not_there(server, browser, lived_in):
    context = await browser.new_context(locale="en-GB", viewport=WIDE, reduced_motion="reduce")
    person = Person(server, context, await context.new_page(), "nobody")
    listen(person, person.page, answers=(404,))
    await look(person, "/nothing/here")
    await context.close()
    assert not person.complaints
