"""The page of templates: found by what one wants to do, saved in two clicks, connected on the way."""

import asyncpg
from playwright.async_api import expect

from tests.web.acting import SAVED
from tests.web.conftest import arrive


async def test_a_template_is_found_and_saved_in_two_clicks(person):
    page = person.page
    await person.go("/templates")
    await expect(page.get_by_role("heading", name="Reminders and schedules")).to_be_visible()
    await page.get_by_label("Search templates").fill("umbrela")
    card = page.locator("a.recipe").first
    await expect(card).to_contain_text("Take an umbrella")
    await card.click()
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(SAVED)
    (area,) = [area for area in (await person.api("GET", "/api/areas"))["items"] if area["name"] == "Take an umbrella"]
    assert area["action"]["component"] == "open_meteo.rain_expected"


async def test_a_chain_is_made_whole(person):
    page = person.page
    await person.go("/areas/new?template=site-check")
    await expect(page.get_by_role("region", name="Also added, to run after it")).to_contain_text("The website is down")
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(SAVED)
    names = {area["name"] for area in (await person.api("GET", "/api/areas"))["items"]}
    assert {"Check a website every ten minutes", "The website is down"} <= names


async def test_what_is_not_connected_leads_back_to_the_template(person):
    page = person.page
    await person.go("/templates?q=answer+e-mails")
    card = page.locator("a.recipe").filter(has_text="Answer e-mails by yourself")
    await expect(card).to_contain_text("Connect first: E-mail")
    await card.click()
    link = page.locator("a[href^='/services/email?next=']").first
    await expect(link).to_have_attribute("href", "/services/email?next=%2Fareas%2Fnew%3Ftemplate%3Dauto-reply")


async def test_what_is_connected_comes_first(person, session_dsn):
    page = person.page
    await person.go("/templates")
    await expect(page.get_by_role("heading", name="Ready with what you have connected")).to_have_count(0)
    connection = await asyncpg.connect(session_dsn.replace("+asyncpg", ""))
    statement = "insert into user_services (user_id, service_id) select $1, id from services where name = 'MQTT'"
    await connection.execute(statement, (await person.api("GET", "/api/me"))["id"])
    await connection.close()
    await person.go("/templates")
    first = page.get_by_role("region", name="Ready with what you have connected")
    await expect(first.locator("a.recipe")).to_have_count(1)
    await expect(first).to_contain_text("From MQTT to the web")


async def test_they_are_reached_from_everywhere_and_in_french(server, browser):
    reader = await arrive(server, browser, locale="fr-FR")
    page = reader.page
    await reader.go("/")
    await page.get_by_role("link", name="Tous les modèles").click()
    await expect(page.get_by_role("heading", name="Modèles", exact=True)).to_be_visible()
    await page.get_by_label("Rechercher un modèle").fill("parapluie")
    await expect(page.locator("a.recipe").first).to_contain_text("Prenez un parapluie")
    await page.keyboard.press("Control+k")
    await page.locator("#finder input").fill("bilan de la semaine")
    await page.locator("#finds a").filter(has_text="Bilan de la semaine le vendredi").click()
    await expect(page).to_have_url(f"{server.url}/areas/new?template=weekly-review")
    await reader.context.close()
    assert not reader.complaints
