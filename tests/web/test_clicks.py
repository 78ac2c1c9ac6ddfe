"""How many clicks the most usual jobs take, in both languages and at both widths; keys and typing don't count."""

import pytest_asyncio
from playwright.async_api import expect

from tests.peers import mosquitto
from tests.web.acting import SAVED, only_area, settled
from tests.web.conftest import NARROW, WIDE, arrive

PEOPLE = {
    "english": ("en-GB", WIDE, ("webhook", "call an API")),
    "english on a phone": ("en-GB", NARROW, ("new request", "send an HTTP request")),
    "french": ("fr-FR", WIDE, ("webhook", "requête http")),
    "french on a phone": ("fr-FR", NARROW, ("nouvelle requête", "requête http")),
}
COUNT = """addEventListener("click", (event) => {
  if (event.isTrusted && event.detail) sessionStorage.clicks = Number(sessionStorage.clicks || 0) + 1;
}, true)"""


@pytest_asyncio.fixture(params=PEOPLE)
async def somebody(request, server, browser):
    """Somebody new, and what they type into the searches for an action and a reaction."""
    locale, viewport, words = PEOPLE[request.param]
    person = await arrive(server, browser, locale=locale, viewport=viewport)
    await person.context.add_init_script(COUNT)
    yield person, words
    await person.context.close()
    assert not person.complaints


async def clicks(page):
    return int(await page.evaluate("sessionStorage.clicks || 0"))


async def choose(page, side, words, component):
    await page.locator(f"#find-{side}").fill(words)
    await page.locator(f'[data-do="choose {side} {component}"]').first.click()
    await expect(page.locator(f"#chosen-{side}")).to_be_visible()


async def test_a_template_is_an_area_after_two_clicks(somebody):
    person, _ = somebody
    await person.go("/templates")
    await person.page.locator('a.recipe[href$="template=reminder"]').click()
    await person.page.locator("#save").click()
    await expect(person.page).to_have_url(SAVED)
    assert (await only_area(person))["is_active"] is True
    assert await clicks(person.page) <= 2


async def test_a_webhook_is_forwarded_with_a_filter_and_a_delay_after_twelve_clicks(somebody):
    person, (action, reaction) = somebody
    page = person.page
    await person.go("/areas/new")
    await choose(page, "action", action, "webhook.received")
    await choose(page, "reaction", reaction, "http.request")
    address = "https://example.org/{{body.shop}}?of={{body.id}}"
    await page.locator('#part-reaction [id$="-url"][data-fill]').fill(address)
    await page.locator("#more-only-if > summary").click()
    await page.locator('#more-only-if [data-do="row add"]').click()
    await page.locator('[id^="c-"][id$="-field"]').fill("body.total")
    await page.locator('[id^="c-"][id$="-value"]').fill("10")
    await page.locator('[id^="c-"][id$="-operator"]').select_option(">")
    await page.locator("#more-delay > summary").click()
    await page.locator("#more-delay input").fill("3 s")
    await settled(page)
    await page.locator("#save").click()
    await expect(page).to_have_url(SAVED)
    area = await only_area(person)
    assert area["action"]["parameters"]["only_if"] == "body.total > 10"
    assert area["reaction"]["parameters"] == {"url": address, "delay": "3 s"}
    assert await clicks(page) <= 12


async def test_a_service_is_connected_by_a_form_after_three_clicks(somebody):
    person, _ = somebody
    page = person.page
    with mosquitto() as broker:
        await person.go("/services")
        await page.locator('a[href="/services/mqtt"]').first.click()
        form = page.locator("#connection form").last
        for name, text in (("host", broker.host), ("port", str(broker.port)), ("login", broker.login)):
            await form.locator(f'[name="{name}"]').fill(text)
        await form.locator('[name="password"]').fill(broker.password)
        await form.locator('[name="security"]').select_option("none")
        await form.locator("button[type=submit]").last.click()
        await expect(page.locator('#connection form[action$="/test"]')).to_be_visible()
    assert (await person.api("GET", "/api/connections/mqtt"))["connected"] is True
    assert await clicks(page) <= 3
