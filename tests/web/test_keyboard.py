"""Menus, filters, the bar for many and dialogs by keyboard alone: focus goes in, Escape closes, focus comes back."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.web.acting import axe
from tests.web.conftest import NARROW, WIDE


async def test_the_account_menu(person):
    page, keys = person.page, person.page.keyboard
    await person.go("/")
    summary = page.locator("summary[aria-label='Your account']")
    await summary.focus()
    await keys.press("Enter")
    await expect(page.locator("details.menu")).to_have_attribute("open", "")
    await keys.press("Tab")
    await expect(page.get_by_role("link", name=person.name)).to_be_focused()
    for name in ("Templates", "Help"):
        await keys.press("Tab")
        await expect(page.locator(".menu-items").get_by_role("link", name=name)).to_be_focused()
    await keys.press("Escape")
    await expect(page.locator("details.menu")).not_to_have_attribute("open", "")
    await expect(summary).to_be_focused()
    await keys.press("Enter")
    for _ in range(6):  # three links, three themes
        await keys.press("Tab")
    await expect(page.get_by_role("button", name="System")).to_be_focused()
    await keys.press("Tab")
    await keys.press("Enter")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_filters_and_the_bar_for_many(person, size):
    page, keys = person.page, person.page.keyboard
    await page.set_viewport_size(size)
    for name in ("First", "Second"):
        await person.make("webhook.received", "inbox.post", name, reaction_parameters={"title": name})
    await person.go("/")
    cards = page.locator(".area-card")
    await keys.press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await keys.type("second")
    await expect(cards).to_have_count(1)
    await expect(page.get_by_role("searchbox")).to_be_focused()  # what is typed on goes on
    for _ in range(6):
        await keys.press("Backspace")
    await expect(cards).to_have_count(2)
    await keys.press("Tab")
    await expect(page.get_by_label("Service", exact=True)).to_be_focused()
    await keys.press("Tab")
    await keys.type("Off")
    await expect(page.get_by_role("heading", name="No matches")).to_be_visible()
    await keys.press("Home")
    await expect(cards).to_have_count(2)

    await keys.press("Tab")  # the order
    for name in ("Cards", "List"):
        await keys.press("Tab")
        await expect(page.get_by_role("link", name=name, exact=True)).to_be_focused()
    await keys.press("Tab")
    await expect(page.get_by_label("Select Second")).to_be_focused()
    await keys.press("Space")
    bar = page.locator(".bulk")
    await expect(bar).to_contain_text("1 selected")
    await keys.press("Shift+Tab")
    delete = bar.get_by_role("button", name="Delete")
    await expect(delete).to_be_focused()
    await keys.press("Enter")
    dialog = page.locator("#confirm")
    await expect(dialog).to_be_visible()
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    for _ in range(6):  # nothing behind the dialog is reached
        await keys.press("Tab")
        assert await page.evaluate("!document.activeElement.closest('main, header, footer, .tabbar')")
    await keys.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(delete).to_be_focused()
    await expect(cards).to_have_count(2)
    await keys.press("Enter")
    await keys.press("Tab")
    await expect(dialog.get_by_role("button", name="Delete")).to_be_focused()
    await keys.press("Enter")
    await expect(page.get_by_text("1 deleted.")).to_be_visible()
    await expect(cards).to_have_count(1)


async def test_a_question_right_after_another_gets_its_own_answer(person):
    """A dialog tells that it was closed some time after it was, when the next question may stand in it already."""
    page = person.page
    await person.go("/")
    await page.evaluate(
        """() => {
            window.clicked = [];
            for (const name of ["first", "second"]) {
                const button = document.createElement("button");
                Object.assign(button.dataset, { confirm: `${name}?`, confirmYes: "Go on" });
                button.addEventListener("click", () => window.clicked.push(name));
                document.querySelector("main").append(button);
                button.click();
                if (name === "first") document.getElementById("confirm").close();
            }
        }"""
    )
    await page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 50))")
    await page.get_by_role("button", name="Go on").click()
    await page.wait_for_function("window.clicked.length")
    assert await page.evaluate("window.clicked") == ["second"]


async def test_searching_everything(person):
    page, keys = person.page, person.page.keyboard
    area = await person.make("webhook.received", "inbox.post", "Weekly sales", reaction_parameters={"title": "x"})
    await person.go("/runs")
    dialog = page.get_by_role("dialog", name="Search")
    button = page.get_by_role("button", name="Search Ctrl K")
    await button.focus()
    await keys.press("Enter")
    await expect(dialog.get_by_role("link", name="Inbox", exact=True)).to_be_visible()
    await expect(dialog.get_by_role("searchbox")).to_be_focused()
    await keys.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(button).to_be_focused()

    await keys.press("Control+k")
    await keys.type("every weekday")
    first = dialog.get_by_role("link", name="On days of the week Timer")
    await expect(first).to_be_visible()
    await axe(person, "the search for everything")
    await keys.press("ArrowDown")
    await expect(first).to_be_focused()
    await keys.press("ArrowUp")
    await expect(dialog.get_by_role("searchbox")).to_be_focused()
    await keys.press("Enter")
    await page.wait_for_url("**/areas/new?action=timer.weekly_timer")

    # Enter before the answer is there, and while that of the empty field is still on its way
    pressed = asyncio.Event()

    async def late(route):
        await pressed.wait()
        await route.continue_()

    await page.route("**/find?q=", late)
    await keys.press("Control+k")
    await keys.type("sales")
    await keys.press("Enter")
    pressed.set()
    await page.wait_for_url(f"**/areas/{area['id']}")
    await page.unroute("**/find?q=")

    await keys.press("Control+k")
    await keys.type("shedulle")
    await dialog.get_by_role("link", name="schedule", exact=True).click()
    await expect(dialog.get_by_role("searchbox")).to_have_value("schedule")
    await expect(dialog.get_by_role("link", name="Every day Timer")).to_be_visible()
    await dialog.get_by_role("searchbox").fill("instagram")
    await expect(dialog.get_by_text("No service here knows “instagram”.")).to_be_visible()
    await expect(dialog.get_by_role("link", name="Send an HTTP request HTTP")).to_be_visible()


async def test_searching_in_the_editor(person):
    page, keys = person.page, person.page.keyboard
    await person.go("/areas/new")
    await page.get_by_label("Search actions").focus()
    await keys.type("gmial atachment")
    await expect(page.get_by_text("Showing results for “gmail attachment”.")).to_be_visible()
    await expect(page.locator("#found-action-0")).to_contain_text("New attachment")
    await page.get_by_label("Search actions").fill("shedulle")
    await page.get_by_role("button", name="schedule").click()
    await expect(page.get_by_label("Search actions")).to_have_value("schedule")
    await page.get_by_label("Search actions").fill("new instagram photo")
    await expect(page.get_by_text("No service here knows “instagram”.")).to_be_visible()
    await page.get_by_role("button", name="New request Webhook").click()
    await page.get_by_label("Search reactions").fill("text me")
    await expect(page.locator("#found-reaction-0")).to_contain_text("Telegram")
