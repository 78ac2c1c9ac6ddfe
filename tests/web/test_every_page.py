"""Every page, in both themes, wide, narrow and between: no error in the console, nothing from elsewhere, nothing cut
off, and nothing that axe-core finds.
"""

import io
import re

import asyncpg
import pyotp
import pytest
import pytest_asyncio
from babel.messages.pofile import read_po
from playwright.async_api import expect

from area.kit import crypto, language
from area.registry import registry
from tests.ports import free_port
from tests.web.acting import axe
from tests.web.conftest import NARROW, PASSWORD, WIDE, Person, arrive, at_localhost, visitor
from tests.web.world import ADMIN, FRONT, World, furnish

MIDDLE = {"width": 768, "height": 1024}
COLOURS = ("color-contrast", "link-in-text-block")  # what a theme changes
LONG = 4  # words; fewer may be French, too
# what is read or read out, without what is marked as English
TEXTS = """() => {
  const texts = new Set(), add = (text) => text && texts.add(text.replace(/\\s+/g, " ").trim());
  const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  const skipped = "script, style, noscript, [lang=en], pre, code, textarea";
  while (walker.nextNode()) if (!walker.currentNode.parentElement.closest(skipped)) add(walker.currentNode.data);
  for (const one of document.querySelectorAll("[title], [aria-label], [placeholder], [alt]"))
    if (!one.closest("[lang=en]"))
      for (const name of ["title", "aria-label", "placeholder", "alt"]) add(one.getAttribute(name));
  return [...texts];
}"""
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


async def look(person: Person, address: str, *, shown: bool = False) -> None:
    """Open it in both themes and sizes. axe-core looks at it whole wide and light, narrow and dark; at its colours wide
    and dark.

    What is `shown` is the answer to a form and not opened again.
    """
    page = person.page
    for size in (WIDE, NARROW):
        await page.set_viewport_size(size)
        if not shown:
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


@pytest.mark.parametrize("name", NAMES)
async def test_page(lived_in, name):
    person, addresses = lived_in
    person.complaints.clear()
    await look(person, addresses[name])
    assert not person.complaints


@pytest.mark.parametrize("name", FRONT)
async def test_front_page(server, browser, lived_in, name):
    async with visitor(server, browser) as nobody:
        await look(nobody, FRONT[name])


async def test_what_is_not_there(server, browser, lived_in):
    async with visitor(server, browser, answers=(404,)) as nobody:
        await look(nobody, "/nothing/here")


def english() -> tuple[set[str], set[str]]:
    """The texts that French readers see in French: whole ones, and the long parts of those with values."""
    files = [(language.LOCALES / "fr.po"), *(folder / "fr.po" for folder in registry().folders.values())]
    catalogs = [read_po(io.BytesIO(path.read_bytes()), locale="fr") for path in files if path.is_file()]
    pairs = [
        (" ".join(text.split()), " ".join(said.split()))
        for catalog in catalogs
        for message in catalog
        if message.id
        for text, said in zip(
            message.id if isinstance(message.id, tuple) else (message.id,),
            message.string if isinstance(message.string, tuple) else (message.string,),
            strict=True,
        )
    ]
    french = {said for _, said in pairs}
    wholes = {text for text, said in pairs if said and said != text and text not in french and text[:1].isupper()}
    parts = {part.strip() for text in wholes for part in re.split(r"%\(\w+\)s", text)}
    return wholes, {part for part in parts if len(part.split()) >= LONG and not any(part in said for said in french)}


async def test_french_pages_have_no_english(server, browser, lived_in):
    """In Chromium, because scripts write texts, too. What users wrote, and help in English that is marked so, is left
    out.
    """
    person, addresses = lived_in
    wholes, parts = english()
    names = {area["name"] for area in (await person.api("GET", "/api/areas?limit=100"))["items"]}
    found = set()
    for state, pages in ((await person.context.storage_state(), addresses), (None, FRONT)):
        context = await browser.new_context(locale="fr-FR", viewport=WIDE, storage_state=state)
        page = await context.new_page()
        for name, address in {**pages, "missing": "/nothing/here"}.items():
            await page.goto(server.url + address)
            texts = set(await page.evaluate(TEXTS)) - names
            together = "\n".join(texts)
            for written in names:
                together = together.replace(written, "")
            found |= {f"{name}: {text}" for text in texts & wholes}
            found |= {f"{name}: {part}" for part in parts if part in together}
        await context.close()
    assert not found, "\n".join(sorted(found))


@pytest.fixture
def mailing(memory, dsn, request):
    """An installation that sends mail."""
    mail = f"smtp://127.0.0.1:{free_port()}?from=area@example.org&tls=none"
    with at_localhost(memory, dsn, AREA_SMTP_URL=mail, **getattr(request, "param", {})) as server:
        yield server


async def link(dsn: str, purpose: str) -> str:
    """The token of a link in a mail to the only account."""
    token = crypto.new_token()
    connection = await asyncpg.connect(dsn.replace("+asyncpg", ""))
    try:
        await connection.execute(
            "INSERT INTO email_links (user_id, purpose, email, token_hash, expires_at)"
            " SELECT id, $1, email, $2, now() + interval '1 hour' FROM users",
            purpose,
            crypto.hash_token(token),
        )
    finally:
        await connection.close()
    return token


async def test_pages_of_links_and_of_a_second_factor(mailing, dsn, browser):
    person = await arrive(mailing, browser, "ann")
    page = person.page
    await look(person, "/profile/two-factor")
    await page.locator("#p-app").fill(PASSWORD)
    await page.keyboard.press("Enter")
    secret = await page.locator("#totp-secret").inner_text()
    await look(person, "the app's secret", shown=True)
    await page.get_by_role("textbox", name="Code").fill(pyotp.TOTP(secret).now())
    await page.keyboard.press("Enter")
    codes = (await page.locator("#codes").inner_text()).split()
    await look(person, "the recovery codes", shown=True)
    await look(person, "/profile/two-factor")

    remove = page.get_by_role("button", name="Remove app")
    await remove.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#confirm")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(remove).to_be_focused()

    await look(person, "/confirm-email?token=" + await link(dsn, "confirm"))
    await look(person, "/undo-email-change?token=" + await link(dsn, "undo"))
    assert not person.complaints
    await person.context.close()

    async with visitor(mailing, browser, answers=(410,)) as nobody:
        page = nobody.page
        await look(nobody, "/forgot-password")
        await expect(page.get_by_label("E-mail address")).to_be_focused()
        await page.keyboard.type("ann@example.org")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("If ann@example.org has an account")).to_be_visible()
        await look(nobody, "the link is mailed", shown=True)
        await look(nobody, "/reset-password?token=" + await link(dsn, "reset"))
        await look(nobody, "/reset-password?token=used-up")
        await nobody.go("/sign-in")
        await page.get_by_label("E-mail address or username").fill("ann")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Code")).to_be_focused()
        await look(nobody, "/sign-in/second-factor")
        await page.get_by_label("Code").fill(codes[0])
        await page.keyboard.press("Enter")
        await expect(page.locator("summary[aria-label='Your account']")).to_be_visible()


@pytest.mark.parametrize("mailing", [{"AREA_REGISTRATION": "confirm"}], indirect=True)
async def test_pages_of_a_registration_that_is_confirmed(mailing, dsn, browser):
    person = await arrive(mailing, browser, "ann")
    await person.context.close()
    async with visitor(mailing, browser, answers=(410,)) as nobody:
        page = nobody.page
        await nobody.go("/sign-up")
        await page.get_by_label("E-mail address").fill("bob@example.org")
        await page.get_by_label("Username").fill("bob")
        await page.locator("#f-password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
        await look(nobody, "the mail is sent", shown=True)
        token = crypto.new_token()
        connection = await asyncpg.connect(dsn.replace("+asyncpg", ""))
        await connection.execute("update pending_registrations set token_hash = $1", crypto.hash_token(token))
        await connection.close()
        await look(nobody, f"/finish-sign-up?token={token}")
        await expect(page.get_by_label("Password")).to_be_focused()
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.locator("summary[aria-label='Your account']")).to_be_visible()
        await look(nobody, f"/finish-sign-up?token={token}")
