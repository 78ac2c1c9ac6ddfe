"""Notices: live, marked as read, and never HTML."""

import re

from playwright.async_api import expect

from tests.web.conftest import NARROW, WIDE, arrive


async def poster(person, **parameters):
    """What posts a notice when called."""
    area = await person.make(
        "webhook.received",
        "inbox.post",
        "Poster",
        reaction_parameters={"title": "{{body.title}}", "body": "{{body.text}}", **parameters},
    )

    async def post(title, text=""):
        answer = await person.context.request.post(area["webhook_url"], data={"title": title, "text": text})
        assert answer.ok

    return post


async def test_notices_come_in_by_themselves_and_are_marked_as_read(person, browser):
    post = await poster(person, level="warning")
    page = person.page
    await person.go("/inbox")
    await expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    await post("First <i>one</i>", "two\nlines & <script>alert(1)</script>")
    await expect(page.locator(".notices > li")).to_have_count(1)  # without a reload
    notice = page.locator(".notices > li").first
    await expect(notice.get_by_role("heading")).to_have_text("First <i>one</i>")
    await expect(notice).to_contain_text("Warning")
    await expect(notice).to_contain_text("New")
    body = notice.locator(".notice-body")
    assert await body.text_content() == "two\nlines & <script>alert(1)</script>"
    assert await body.evaluate("(one) => getComputedStyle(one).whiteSpace") in ("pre-wrap", "preserve wrap")
    await expect(page.locator("[data-unread]").first).to_have_text("1")
    await post("Second")
    await expect(page.locator(".notices > li")).to_have_count(2)
    await expect(page.locator("[data-unread]").first).to_have_text("2")
    await page.get_by_role("button", name="Mark as read: Second").click()
    await expect(page.locator(".is-unread")).to_have_count(1)
    await expect(page.locator("[data-unread]").first).to_have_text("1")
    await page.get_by_role("link", name=re.compile("Unread")).click()
    await expect(page.locator(".notices > li")).to_have_count(1)
    await page.get_by_role("button", name="Mark all as read").click()
    await expect(page.get_by_role("heading", name="All read")).to_be_visible()
    await expect(page.locator("[data-unread]").first).to_be_hidden()
    assert (await person.api("GET", "/api/notices"))["unread"] == 0
    other = await arrive(person.server, browser)
    await other.go("/inbox")
    await expect(other.page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    await other.context.close()


async def test_nobody_marks_what_is_somebody_elses(person, browser):
    post = await poster(person)
    await post("Mine")
    await person.go("/inbox")
    await expect(person.page.locator(".notices > li")).to_have_count(1)
    notice = (await person.api("GET", "/api/notices"))["items"][0]
    other = await arrive(person.server, browser)
    answer = await other.context.request.post(
        f"{person.server.url}/inbox/read", form={"id": str(notice["id"])}, headers={"Origin": person.server.url}
    )
    assert answer.ok
    assert (await person.api("GET", "/api/notices"))["unread"] == 1
    await other.context.close()


async def test_older_notices_are_a_page_away(person):
    post = await poster(person)
    page = person.page
    for number in range(32):
        await post(f"Notice {number}", "a-very-long-word-without-any-place-to-break-it" * 4)
    await person.go("/inbox")
    await expect(page.locator("[data-unread]").first).to_have_text("32")
    await expect(page.locator(".notices > li")).to_have_count(30)
    await page.set_viewport_size(NARROW)
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    await page.set_viewport_size(WIDE)
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator(".notices > li")).to_have_count(2)
    await page.go_back()
    await expect(page.locator(".notices > li")).to_have_count(30)


async def test_what_area_itself_says_is_in_the_readers_language_and_what_areas_post_in_their_owners_words(person):
    post = await poster(person)
    await post("The lamp was switched off")
    hopeless = await person.make(
        "webhook.received", "http.request", "Porte", reaction_parameters={"url": "{{body.url}}"}
    )
    for _ in range(20):
        assert (await person.context.request.post(hopeless["webhook_url"], data={"url": "nowhere"})).ok
    await person.api("PATCH", "/api/me", {"language": "fr"})
    page = person.page
    await person.go("/inbox")
    notices = page.locator(".notices > li")
    await expect(notices).to_have_count(2)
    notice = notices.filter(has=page.get_by_role("heading", name="Porte a été désactivée"))
    await expect(notice).to_contain_text("Elle a échoué 20 fois de suite")
    await expect(notice).to_contain_text("Corrigez la cause, puis réactivez-la.")
    await expect(page.get_by_role("heading", name="The lamp was switched off")).to_be_visible()
    assert {notice["title"] for notice in (await person.api("GET", "/api/notices"))["items"]} == {
        "Porte was switched off",
        "The lamp was switched off",
    }
