"""Pictures of every page, wide and narrow, light and dark: `make screenshots`, into screenshots/."""

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

from tests.web.conftest import CHROMIUM, FLAGS, NARROW, WIDE, Person, arrive, installation
from tests.web.world import ADMIN, FRONT, furnish


async def shoot(person: Person, pages: dict[str, str], folder: Path) -> None:
    """Take four of each."""
    page = person.page
    for size in (WIDE, NARROW):
        await page.set_viewport_size(size)
        for name, address in pages.items():
            await person.go(address)
            await page.wait_for_timeout(250)
            for theme in ("light", "dark"):
                await page.evaluate("name => setTheme(name)", theme)
                await page.wait_for_timeout(200)
                await page.screenshot(
                    path=folder / f"{name}-{size['width']}-{theme}.png", full_page=True, timeout=60_000
                )


async def main(folder: Path) -> None:
    """All of them."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, installation(Path(place)) as server:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            context = await browser.new_context(locale="en-GB", viewport=WIDE)
            nobody = Person(server, context, await context.new_page(), "nobody")
            await shoot(nobody, {"first-run": "/"}, folder)
            person = await arrive(server, browser, "ann")
            await shoot(person, {"home-empty": "/"}, folder)
            world = await furnish(person)
            await shoot(person, {**world.pages(), **ADMIN}, folder)
            await shoot(nobody, {**FRONT, "not-found": "/nothing/here"}, folder)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")))
