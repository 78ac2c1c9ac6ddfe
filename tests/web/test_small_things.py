"""Small promises of the pages: links, files, lists that don't grow without end, and words at the end of things."""

import re

import orjson
import pytest
import yaml
from playwright.async_api import expect

from area.kit.http import Response
from area.web.parts import show
from tests.web.acting import axe, fire, forgiven, hook, over
from tests.web.conftest import PASSWORD, arrive


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("Read https://example.org/a?b=c&d=e.", ["https://example.org/a?b=c&amp;d=e"]),
        ("(see https://example.org/wiki/Tea_(drink)), now", ["https://example.org/wiki/Tea_(drink)"]),
        ("<b>http://example.org/x</b>", ["http://example.org/x"]),
        ("javascript:alert(1) and ftp://example.org", []),
    ],
)
def test_links(text, addresses):
    html = show.links(text)
    assert re.findall('href="([^"]*)"', html) == addresses
    assert "<b>" not in html


def test_names_in_backticks_are_code():
    assert show.code("counted from `starting` <now>") == "counted from <code>starting</code> &lt;now&gt;"


def test_an_html_page_is_told_by_its_title():
    page = (
        b"<!DOCTYPE HTML>\n<html lang=en><head><meta charset=utf-8><title>404 &amp; more</title></head><body>No</body>"
    )
    assert Response(404, {}, page, "https://x.example").excerpt() == "404 & more"
    plain = b"<html><body><style>p {}</style><p>Not\n here</p></body></html>"
    assert Response(404, {}, plain, "https://x.example").excerpt() == "Not here"
    assert Response(404, {}, b'{"error": "<html>"}', "https://x.example").excerpt() == '{"error": "<html>"}'


async def test_a_notice_has_links_and_names_its_area(person):
    area = await hook(person, "Orders", reaction_parameters={"title": "t", "body": "Open https://example.org/42."})
    await fire(person, area, {})
    await over(person, area)
    page = person.page
    await person.go("/inbox")
    link = page.get_by_role("link", name="https://example.org/42")
    assert await link.get_attribute("rel") == "noopener noreferrer nofollow"
    await page.get_by_role("link", name="Open Orders").click()
    await expect(page).to_have_url(re.compile(f"/areas/{area['id']}$"))


async def test_areas_are_imported_from_a_file(person):
    await person.make("webhook.received", "inbox.post", "Kept", reaction_parameters={"title": "as it was"})
    exported = await person.context.request.get(f"{person.server.url}/profile/export")
    bundle = orjson.loads(await exported.body())
    bundle["areas"].append({**bundle["areas"][0], "name": "New"})
    page = person.page
    await person.go("/profile/data")
    for content, message in (
        (b"nothing of the kind", "This isn't an export of AREAs."),
        (b"a: &a [1]\nareas: *a", "This isn't an export of AREAs."),
        (b'{"areas": [{"name": "x"}]}', "areas.0.action"),
    ):
        file = {"name": "areas.yaml", "mimeType": "application/yaml", "buffer": content}
        await page.get_by_label("File").set_input_files(file)
        await page.get_by_role("button", name="Preview").click()
        await expect(page.get_by_role("alert")).to_contain_text(message)
    content = yaml.safe_dump(orjson.loads(orjson.dumps(bundle))).encode()  # without aliases
    file = {"name": "areas.yaml", "mimeType": "application/yaml", "buffer": content}
    await page.get_by_label("File").set_input_files(file)
    await page.get_by_role("button", name="Preview").click()
    preview = page.locator("#import-preview")
    await expect(preview).to_contain_text("New: New")
    await expect(preview).to_contain_text("Already the same: Kept")
    assert [area["name"] for area in (await person.api("GET", "/api/areas"))["items"]] == ["Kept"]
    await axe(person, "the preview of an import")
    await page.get_by_role("button", name="Import").click()
    await expect(page.get_by_text("Imported: 1 new, 0 changed, 1 already the same.")).to_be_visible()
    assert {area["name"] for area in (await person.api("GET", "/api/areas"))["items"]} == {"Kept", "New"}
    forgiven(person, 422)


async def test_a_pasted_import_says_what_to_connect(person):
    page = person.page
    await person.go("/profile/data")
    pasted = """
areas:
  - name: Shout
    action: {component: webhook.received}
    reaction: {component: inbox.post, parameters: {title: x}}
    then:
      - name: To the channel
        reaction: {component: telegram.send_message, parameters: {chat: '1', text: '{{result.notice_id}}'}}
"""
    await page.get_by_label("Or paste YAML or JSON").fill(pasted)
    await page.get_by_role("button", name="Preview").click()
    preview = page.locator("#import-preview")
    await expect(preview).to_contain_text("New: Shout, To the channel")
    await expect(preview.get_by_role("link", name="Telegram")).to_be_visible()
    await page.get_by_role("button", name="Import").click()
    await expect(page.get_by_text("Imported: 2 new, 0 changed, 0 already the same.")).to_be_visible()


async def test_home_counts_and_shows_the_first_sixty(person):
    area = await person.make("webhook.received", "inbox.post", "Copy 0", reaction_parameters={"title": "x"})
    payload = {
        "action": {"component": "webhook.received"},
        "reaction": {"component": "inbox.post", "parameters": {"title": "x"}},
    }
    bundle = {"areas": [{"name": f"Copy {number}", **payload} for number in range(1, 65)]}
    await person.api("POST", "/api/areas/import", bundle)
    page = person.page
    await person.go("/?order=name")
    await expect(page.locator(".area-card")).to_have_count(60)
    await expect(page.get_by_text("Showing 60 of 65 AREAs")).to_be_visible()
    await page.get_by_role("link", name="Show all").click()
    await expect(page.locator(".area-card")).to_have_count(65)
    await expect(page.get_by_text("65 AREAs", exact=True)).to_be_visible()
    await page.get_by_label("Select Copy 0", exact=True).check()
    await page.evaluate("scrollTo(0, document.body.scrollHeight)")
    await expect(page.locator(".bulk")).to_be_in_viewport()
    assert area["id"]


async def test_both_halves_may_stand_in_the_address_and_templates_are_near(person):
    page = person.page
    await person.go("/areas/new?action=webhook.received&reaction=inbox.post")
    await expect(page.locator(".chosen")).to_have_count(2)
    await person.go("/areas/new")
    await page.get_by_text("Start from a template").click()
    await page.get_by_role("link", name="Follow a blog or a release feed").click()
    await expect(page.locator(".chosen")).to_have_count(2)


async def test_who_deletes_the_account_is_told(server, browser, root):
    person = await arrive(server, browser)
    page = person.page
    await person.go("/profile/data")
    await page.get_by_label(re.compile("Type your username")).fill(person.name)
    await page.get_by_label("Current password").fill(PASSWORD)
    await page.get_by_role("button", name="Delete my account").click()
    await page.locator("#confirm").get_by_role("button", name="Delete my account").click()
    await expect(page.get_by_text("Your account was deleted.")).to_be_visible()
    await person.context.close()


async def test_the_menu_closes_behind_the_dialog(person):
    area = await hook(person)
    page = person.page
    await person.go(f"/areas/{area['id']}")
    await page.get_by_label("More").click()
    await page.locator(".menu-items").get_by_role("button", name="Delete").click()
    await expect(page.locator("#confirm")).to_be_visible()
    await expect(page.locator(".area-head details.menu[open]")).to_have_count(0)
    await page.keyboard.press("Escape")
    await expect(page.get_by_label("More")).to_be_focused()


async def test_only_runs_that_are_open_are_cancelled(person):
    area = await hook(person)
    await fire(person, area, {"id": 1})
    await over(person, area)
    page = person.page
    await person.go("/runs")
    await page.get_by_label(re.compile("Select run")).check()
    bar = page.locator(".bulk")
    await expect(bar.get_by_role("button", name="Run again")).to_be_visible()
    await expect(bar.get_by_role("button", name="Cancel runs")).to_be_hidden()


async def test_two_tabs_of_the_profile_lose_nothing(person, root):
    page = person.page
    other = await person.context.new_page()
    await person.go("/profile")
    await other.goto(f"{person.server.url}/profile")
    await page.get_by_label("Time zone").select_option("Europe/Paris")
    await page.get_by_role("button", name="Save").first.click()
    await expect(page.get_by_text("Saved.")).to_be_visible()
    await other.get_by_label("Language").select_option("fr")
    await other.get_by_role("button", name="Save").first.click()
    await expect(other.get_by_text("Enregistré.")).to_be_visible()
    me = await person.api("GET", "/api/me")
    assert (me["timezone"], me["language"]) == ("Europe/Paris", "fr")
    entries = (await root.api("GET", "/api/admin/audit"))["items"]
    mine = [
        entry["detail"]["fields"]
        for entry in entries
        if entry["action"] == "account.changed" and entry["user_id"] == me["id"]
    ]
    assert mine == [["language"], ["timezone"]], "what was not changed is not noted"


async def test_a_webhook_url_that_only_this_machine_reaches_says_so(person):
    area = await hook(person)
    await person.go(f"/areas/{area['id']}")
    await expect(person.page.get_by_text("Only programs on this server can reach")).to_be_visible()


async def test_paper_has_no_navigation(person):
    page = person.page
    await person.go("/")
    await page.emulate_media(media="print")
    await expect(page.locator(".topbar")).to_be_hidden()
    await expect(page.locator("h1")).to_be_visible()
