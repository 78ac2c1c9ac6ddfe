"""The first run, signing in and out, and the AREAs as cards."""

import re

import pytest
from playwright.async_api import expect

from tests.web.conftest import NARROW, PASSWORD, WIDE, Person, arrive, installation, listen


async def test_an_empty_installation_begins_with_the_first_account(browser, dsn, tmp_path):
    with installation(tmp_path / "new", AREA_DATABASE_URL=dsn) as server:
        context = await browser.new_context(locale="en-GB")
        page = await context.new_page()
        someone = Person(server, context, page, "ann")
        listen(someone, page)
        await page.goto(server.url)
        await expect(page.get_by_role("heading", name="Welcome to AREA")).to_be_visible()
        await page.get_by_label("E-mail address").fill("ann@example.org")
        await page.get_by_label("Username").fill("ann")
        await page.get_by_role("textbox", name="Password").fill("12345678")
        await expect(page.get_by_text("Weak: easily guessed")).to_be_visible()
        await page.get_by_role("textbox", name="Password").fill(PASSWORD)
        await expect(page.get_by_text("Strong")).to_be_visible()
        await page.get_by_role("button", name="Create account").click()
        await expect(page.get_by_role("heading", name="Your first AREA")).to_be_visible()
        assert await page.locator("a.recipe").count() == 6
        me = await someone.api("GET", "/api/me")
        assert me["is_admin"] is True
        assert not someone.complaints
        await context.close()


async def test_signing_up_says_what_is_wrong_field_by_field(person, browser):
    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    await page.goto(f"{person.server.url}/sign-up")
    await page.get_by_label("E-mail address").fill(f"{person.name}@example.org")
    await page.get_by_label("Username").fill("x")
    await page.get_by_role("textbox", name="Password").fill("long enough to be one")
    await page.get_by_role("button", name="Sign up").click()
    await expect(page.locator("#h-username .field-error")).to_be_visible()
    await expect(page.get_by_label("E-mail address")).to_have_value(f"{person.name}@example.org")
    await context.close()


async def test_signing_in_leads_back_to_where_one_wanted_to_go(person, browser):
    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    await page.goto(f"{person.server.url}/?q=hello")
    await expect(page).to_have_url(re.compile(r"/sign-in"))
    await page.goto(f"{person.server.url}/sign-in?next=/%3Fq%3Dhello")
    await page.get_by_label("E-mail address or username").fill(person.name)
    await page.get_by_label("Password", exact=False).fill("wrong password")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.get_by_label("E-mail address or username")).to_have_value(person.name)
    await page.get_by_label("Password", exact=False).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page).to_have_url(re.compile(r"/\?q=hello$"))
    await page.get_by_label("Your account").click()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.goto(person.server.url)
    await expect(page).to_have_url(re.compile(r"/sign-in"))
    await context.close()


@pytest.mark.parametrize(
    "elsewhere", ["//example.org", "https://example.org/", "/\\example.org", "javascript:alert(1)"]
)
async def test_next_leads_nowhere_else(person, elsewhere):
    await person.page.goto(f"{person.server.url}/sign-in?next={elsewhere}")
    await expect(person.page).to_have_url(f"{person.server.url}/")


async def test_cards_are_searched_switched_and_deleted(person):
    for number in range(3):
        await person.make("webhook.received", "inbox.post", f"Card {number}", reaction_parameters={"title": "hi"})
    page = person.page
    await person.go("/")
    await expect(page.locator(".area-card")).to_have_count(3)
    await page.get_by_role("searchbox").fill("card 1")
    await expect(page.locator(".area-card")).to_have_count(1)
    await expect(page).to_have_url(re.compile(r"q=card(\+|%20)1"))
    switch = page.get_by_role("switch", name="Card 1 is on")
    await switch.click()
    await expect(page.get_by_role("switch", name="Card 1 is on")).to_have_attribute("aria-checked", "false")
    assert [area["is_active"] for area in (await person.api("GET", "/api/areas"))["items"]] == [True, False, True]
    await page.get_by_role("searchbox").fill("nothing like this")
    await expect(page.get_by_role("heading", name="No matches")).to_be_visible()
    await page.get_by_role("link", name="Show all").click()
    await expect(page.locator(".area-card")).to_have_count(3)
    await page.get_by_label("Select Card 0").check()
    await page.get_by_label("Select Card 2").check()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.locator("#confirm").get_by_role("button", name="Cancel").click()
    await expect(page.locator(".area-card")).to_have_count(3)
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.locator("#confirm").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("2 deleted.")).to_be_visible()
    await expect(page.locator(".area-card")).to_have_count(1)


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_areas_are_listed_as_rows_and_the_browser_remembers_it(person, viewport):
    page = person.page
    for number in range(3):
        await person.make("webhook.received", "inbox.post", f"Row {number}", reaction_parameters={"title": "hi"})
    await page.set_viewport_size(viewport)
    await person.go("/?order=name")
    views = page.get_by_role("navigation", name="View")
    await expect(views.get_by_role("link", name="Cards")).to_have_attribute("aria-current", "true")
    height = (await page.locator(".area-card").first.bounding_box())["height"]
    await views.get_by_role("link", name="List").click()
    await expect(page).to_have_url(re.compile(r"order=name&view=list"))
    await expect(views.get_by_role("link", name="List")).to_have_attribute("aria-current", "true")
    assert (await page.locator(".area-card").first.bounding_box())["height"] < height / 2
    await person.go("/")
    await expect(page.locator(".as-list .area-card")).to_have_count(3)
    await page.get_by_role("searchbox").fill("row 1")
    await expect(page.locator(".as-list .area-card")).to_have_count(1)
    await page.get_by_role("switch", name="Row 1 is on").click()
    await expect(page.get_by_role("switch", name="Row 1 is on")).to_have_attribute("aria-checked", "false")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await views.get_by_role("link", name="Cards").click()
    await expect(page.locator(".as-list")).to_have_count(0)


async def test_a_run_shows_on_its_card_without_a_reload(person):
    area = await person.make("webhook.received", "inbox.post", "Live", reaction_parameters={"title": "{{body}}"})
    await person.go("/")
    await expect(person.page.get_by_text("Waiting for its first event").last).to_be_visible()
    await person.context.request.post(area["webhook_url"], data="hello")
    await expect(person.page.locator(".area-card").get_by_text("OK", exact=True)).to_be_visible()
    await expect(person.page.locator("[data-unread]").first).to_have_text("1")


async def test_two_people_see_only_their_own(person, browser):
    await person.make("webhook.received", "inbox.post", "Mine alone", reaction_parameters={"title": "hi"})
    other = await arrive(person.server, browser)
    await other.go("/")
    await expect(other.page.get_by_role("heading", name="Your first AREA")).to_be_visible()
    await other.context.close()
    assert not other.complaints


async def test_an_error_shows_where_it_happened_and_can_be_tried_again(person):
    area = await person.make("webhook.received", "inbox.post", "Flaky", reaction_parameters={"title": "hi"})
    await person.go("/")
    page = person.page
    await page.route(f"**/areas/{area['id']}/switch", lambda route: route.abort(), times=1)
    await page.get_by_role("switch", name="Flaky is on").click()
    await expect(page.get_by_role("alert")).to_contain_text("be reached")
    person.complaints.clear()  # the browser says that the request failed, as it was to
    await page.get_by_role("alert").get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("switch", name="Flaky is on")).to_have_attribute("aria-checked", "false")
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_what_needs_attention_is_on_top(person):
    page = person.page
    await person.make("webhook.received", "inbox.post", "Works", reaction_parameters={"title": "x"})
    await person.make(
        "webhook.received",
        "email.send_email",
        "Mails",
        reaction_parameters={"to": "a@example.org", "subject": "x", "text": "x"},
    )
    await person.go("/")
    attention = page.get_by_role("region", name="Needs attention")
    await expect(attention.get_by_role("listitem")).to_have_count(1)
    await expect(attention).to_contain_text("Mails")
    await expect(attention.get_by_role("link", name="Connect the account that Mails needs")).to_be_visible()
    await person.go("/?q=works")
    await expect(page.locator(".area-card")).to_have_count(1)
    await expect(attention).to_have_count(0)


async def test_home_says_what_may_be_automated(person):
    page = person.page
    await person.go("/")
    await page.get_by_label("Say what to automate").fill("every weekday at 9")
    await expect(page.locator("#offers").get_by_role("link").first).to_contain_text("On days of the week")
    await person.make("webhook.received", "inbox.post", "Orders", reaction_parameters={"title": "x"})
    await person.go("/?q=remind+me")
    await expect(page.get_by_role("heading", name="Create an AREA")).to_be_visible()
    await expect(page.get_by_role("link", name="Post a notice to your inbox Inbox")).to_be_visible()
