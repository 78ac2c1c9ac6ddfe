"""From an empty installation to an AREA that has fired, been looked at, repeated, changed and switched off."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.web.conftest import NARROW, PASSWORD, WIDE, Person, installation, listen


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_the_main_job(browser, tmp_path, size):
    with installation(tmp_path / "new") as server:
        context = await browser.new_context(viewport=size, locale="en-GB", reduced_motion="reduce")
        context.set_default_timeout(30_000)
        page = await context.new_page()
        ann = Person(server, context, page, "ann")
        listen(ann, page, answers=(422,))

        await page.goto(server.url)
        await page.get_by_label("E-mail address").fill("ann@example.org")
        await page.get_by_label("Username").fill("ann")
        await page.get_by_role("textbox", name="Password").fill(PASSWORD)
        await page.get_by_role("button", name="Create account").click()

        await page.get_by_role("link", name="From anything that can send a request").click()
        await expect(page.locator("#change-reaction")).to_be_visible()
        await page.get_by_role("button", name="Save").click()
        await expect(page).to_have_url(re.compile(r"/areas/\d+$"))
        area = (await ann.api("GET", "/api/areas"))["items"][0]
        await expect(page.get_by_role("textbox", name="Webhook URL")).to_have_value(area["webhook_url"])

        await page.evaluate("window.here = true")
        await context.request.post(area["webhook_url"], data={"hello": "world"})
        run = page.locator("#area-runs .run")
        await expect(run.get_by_text("Success")).to_be_visible()
        assert await page.evaluate("window.here")  # without a reload

        await run.get_by_role("link").first.press("Enter")  # a finger would scroll away from under the bar first
        await expect(page.get_by_text("world").first).to_be_visible()
        await expect(page.get_by_text("POST from my webhook").first).to_be_visible()
        await page.get_by_role("button", name="Same settings as then").press("Enter")
        await expect(page.get_by_text("This is the new run.")).to_be_visible()

        await page.goto(f"{server.url}/areas/{area['id']}/edit")
        await page.locator("#f-name").fill("My door bell")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", name="My door bell")).to_be_visible()
        await expect(run).to_have_count(2)
        await page.get_by_role("switch").first.click()
        await expect(page.get_by_role("switch").first).to_have_attribute("aria-checked", "false")
        assert (await ann.api("GET", f"/api/areas/{area['id']}"))["is_active"] is False

        await page.get_by_label("Your account").click()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await context.close()
        assert not ann.complaints


async def test_by_keyboard_alone(person):
    page, keys = person.page, person.page.keyboard
    await person.go("/")
    await reach(page, "link", "From anything that can send a request")
    await keys.press("Enter")
    await expect(page.locator("#change-reaction")).to_be_visible()
    await reach(page, "button", "Save")
    await keys.press("Enter")
    await expect(page.get_by_role("textbox", name="Webhook URL")).to_be_visible()
    await reach(page, "switch", "")
    await keys.press("Space")
    await expect(page.get_by_role("switch").first).to_have_attribute("aria-checked", "false")
    await reach(page, "summary", "Your account")
    await keys.press("Enter")
    await reach(page, "button", "Sign out")
    await keys.press("Enter")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


REACHED = """([role, name]) => {
  const one = document.activeElement;
  const is = one.getAttribute("role") || one.tagName.toLowerCase().replace(/^a$/, "link");
  const said = one.getAttribute("aria-label") || one.textContent;
  return is === role && said.includes(name);
}"""


async def reach(page: Page, role: str, name: str) -> None:
    """Press Tab until it has the focus, as somebody without a mouse does."""
    for _ in range(150):
        await page.keyboard.press("Tab")
        if await page.evaluate(REACHED, [role, name]):
            shown = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert shown != "none", f"one does not see that {name} has the focus"
            return
    raise AssertionError(f"{role} {name} can't be reached by keyboard")
