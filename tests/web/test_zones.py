"""Time zones: an account has its device's, and every time that a page shows is in it, with its name."""

import re
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from playwright.async_api import expect

from area.kit.sentences import Moment, Sentence, local_time, read, zone_name
from tests.web.conftest import PASSWORD, WIDE, Person, arrive, listen, make_root

NEXT = {"time": "08:00", "timezone": "Europe/Paris"}


async def sign_up(server, browser, zone, **options):
    """Somebody who signs up with a browser in this zone."""
    await make_root(server, browser)
    options = {"viewport": WIDE, "locale": "en-GB", "reduced_motion": "reduce", "timezone_id": zone, **options}
    context = await browser.new_context(**options)
    person = Person(server, context, await context.new_page(), f"z{uuid4().hex[:8]}")
    listen(person, person.page)
    await person.go("/sign-up")
    form = person.page.locator("form[action='/sign-up']")
    await form.locator("[name=email]").fill(f"{person.name}@example.org")
    await form.locator("[name=username]").fill(person.name)
    await form.locator("[name=password]").fill(PASSWORD)
    await form.locator("[type=submit]").click()
    await expect(person.page.locator("summary .avatar-round")).to_be_visible()
    return person


async def test_a_new_account_has_the_zone_of_its_browser(server, browser):
    person = await sign_up(server, browser, "America/New_York")
    page = person.page
    assert (await person.api("GET", "/api/me"))["timezone"] == "America/New_York"
    await expect(page.locator("[data-zone-question]")).to_be_hidden()
    area = await person.make(
        "timer.daily_timer", "inbox.post", action_parameters=NEXT, reaction_parameters={"title": "{{hour}}"}
    )
    await person.go(f"/areas/{area['id']}")
    for part in (page.locator("#state"), page.locator("#area-runs")):  # Paris is six hours ahead, but for three weeks
        await expect(part).to_contain_text(re.compile(r"\d{4}, 0[23]:00 \(New York time\), in \d+ (hr|min)"))
    text = await page.locator("main").inner_text()
    assert "UTC" not in text
    await person.context.close()
    assert not person.complaints


async def test_who_is_elsewhere_is_asked_once(server, browser):
    await make_root(server, browser)
    person = await arrive(server, browser, timezone_id="Europe/Paris")  # an account that says UTC
    page = person.page
    await person.go("/runs?status=failed")
    question = page.locator("[data-zone-question]")
    await expect(question).to_contain_text("Times are shown in UTC, but this device is on Europe/Paris.")
    await question.get_by_role("button", name="Keep UTC").click()
    await expect(question).to_have_count(0)
    await person.go("/runs?status=failed")
    await expect(page.locator("[data-zone-question]")).to_be_hidden()
    await page.evaluate("localStorage.clear()")
    await person.go("/runs?status=failed")
    await page.get_by_role("button", name="Change to Europe/Paris").click()
    await expect(page.get_by_text("Times are now shown in Paris time.")).to_be_visible()
    await expect(page).to_have_url(re.compile(r"/runs\?status=failed$"))
    assert (await person.api("GET", "/api/me"))["timezone"] == "Europe/Paris"
    await person.context.close()
    assert not person.complaints


async def test_a_zone_with_the_same_clocks_is_no_question(server, browser):
    person = await sign_up(server, browser, "Europe/Berlin")
    await person.api("PATCH", "/api/me", {"timezone": "Europe/Paris"})
    await person.go("/")
    await expect(person.page.locator("[data-zone-question]")).to_be_hidden()
    await person.context.close()


async def test_the_editor_takes_the_zone_of_the_account(server, browser):
    person = await sign_up(server, browser, "Asia/Tokyo")
    await person.go("/areas/new?action=timer.daily_timer")
    await expect(person.page.locator("[name='a.timezone']")).to_have_value("Asia/Tokyo")
    await person.context.close()
    assert not person.complaints


async def test_a_zone_that_is_none_of_ours_is_left_out(server, browser):
    person = await sign_up(server, browser, "Europe/Paris")
    page = person.page
    await person.go("/profile")
    answer = await person.context.request.post(
        f"{server.url}/profile/timezone", form={"timezone": "Mars/Olympus"}, headers={"Origin": server.url}
    )
    assert "Choose your time zone in the list below." in await answer.text()
    assert (await person.api("GET", "/api/me"))["timezone"] == "Europe/Paris"
    await page.close()
    await person.context.close()


@pytest.mark.parametrize(
    ("lang", "zone", "text"),
    [
        ("en", "Europe/Paris", "30 Nov 2026, 16:01:01 (Paris time)"),
        ("fr", "Europe/Paris", "30 nov. 2026, 16:01:01 (heure\u00a0: Paris)"),
        ("en", "America/Argentina/Buenos_Aires", "30 Nov 2026, 12:01:01 (Buenos Aires time)"),
        ("en", "UTC", "30 Nov 2026, 15:01:01 (UTC)"),
        ("en", "Etc/GMT+5", "30 Nov 2026, 10:01:01 (Etc/GMT+5)"),
    ],
)
def test_a_moment_is_told_in_the_readers_zone(lang, zone, text):
    at = datetime(2026, 11, 30, 15, 1, 1, tzinfo=UTC)
    assert local_time(at, lang, zone) == text
    sentence = Sentence("%(error)s Next attempt at %(time)s.", error=Sentence("Timed out."), time=Moment(at))
    assert sentence == "Timed out. Next attempt at 2026-11-30 15:01:01 UTC."
    again = read(sentence.dumped())
    assert again == sentence
    assert again.translated(lang, zone).endswith(f"{text}.")
    assert again.translated(lang, zone) == sentence.translated(lang, zone)


def test_the_zone_of_a_city_of_two_words():
    assert zone_name("Pacific/Port_Moresby", "en") == "Port Moresby time"
