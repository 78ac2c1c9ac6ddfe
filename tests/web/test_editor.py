"""Making and editing an AREA: choose, fill, see what would be sent, save; drafts that outlive a reload and a session."""

import hashlib
import hmac
import json
import re

import pytest
from playwright.async_api import expect

from area.kit.template import condition
from area.web.details.curl import sample_body
from tests.web.acting import SAVED, box, fire, forgiven, only_area, over, settled
from tests.web.conftest import NARROW, PASSWORD, WIDE, arrive


async def new(person, action, reaction):
    """Open the editor with both parts chosen by search."""
    page = person.page
    await person.go("/areas/new")
    await choose(page, "action", action)
    await choose(page, "reaction", reaction)


async def choose(page, side, title):
    await page.get_by_label(f"Search {side}s").fill(title)
    await page.locator(".found button").filter(has_text=title).first.click()
    await expect(page.locator(".chosen").filter(has_text=title)).to_be_visible()


async def test_a_recipe_is_saved_as_it_is_by_one_click(person):
    page = person.page
    await person.go("/areas/new?template=feed")
    await expect(page.locator(".tabbar [aria-current]")).to_have_text("New")
    await expect(page.locator(".filled")).to_contain_text("Python 3.14.2 is out")
    await expect(page.get_by_text("Uses a sample event")).to_be_visible()
    await page.get_by_role("button", name="Save").dblclick()
    await expect(page).to_have_url(SAVED)
    area = await only_area(person)
    assert area["name"] == "Follow a blog or a release feed"
    assert area["is_active"] is True
    assert area["action"]["component"] == "rss.new_item"
    assert area["action"]["parameters"] == {"url": "https://github.com/python/cpython/releases.atom"}
    assert area["reaction"]["parameters"] == {"title": "{{title}}", "body": "{{summary | truncate:400}}\n{{link}}"}


async def test_from_nothing_by_keyboard_alone(person):
    page, keys = person.page, person.page.keyboard
    await person.go("/areas/new")
    await page.get_by_label("Search actions").focus()
    await keys.type("every day", delay=20)
    await keys.press("Enter")
    await expect(box(page, "Time")).to_be_focused()
    await box(page, "Time").fill("07:30")
    await page.get_by_label("Search reactions").focus()
    await keys.type("notice to your inbox", delay=20)
    await expect(page.locator(".found button")).to_have_count(1)
    await keys.press("ArrowDown")
    await keys.press("Enter")
    await expect(box(page, "Title")).to_be_focused()
    await keys.type("Up! It is {{weekday}}", delay=5)
    await keys.press("Enter")  # saves nothing
    await expect(page.locator(".filled")).to_contain_text("Up! It is")
    await expect(box(page, "Name")).to_have_value("Every day → Post a notice to your inbox")
    await page.get_by_role("button", name="Save").focus()
    await keys.press("Enter")
    await expect(page).to_have_url(SAVED)
    area = await only_area(person)
    assert area["action"]["component"] == "timer.daily_timer"
    assert area["action"]["parameters"] == {"time": "07:30"}
    assert area["reaction"]["parameters"] == {"title": "Up! It is {{weekday}}"}


async def test_services_are_tiles_that_lead_to_what_they_offer(person):
    page = person.page
    await person.go("/areas/new")
    await page.get_by_role("button", name="Timer").click()
    await expect(page.locator(".found button").first).to_be_focused()
    await page.get_by_role("button", name="All services").click()
    await page.get_by_role("button", name="Webhook").click()  # it offers one thing, which is chosen
    await expect(page.locator("#chosen-action")).to_contain_text("New request")
    await page.get_by_role("button", name="Change").click()
    await expect(page.get_by_label("Search actions")).to_be_focused()
    await page.get_by_role("button", name="Keep current").click()
    await expect(page.get_by_role("button", name="Change")).to_be_focused()


async def test_what_is_wrong_is_said_while_typing_and_at_saving(person):
    page = person.page
    await new(person, "New item in a feed", "Post a notice")
    await expect(page.locator(".field-error")).to_have_count(0)  # nothing was typed yet
    await box(page, "URL").fill("nonsense")
    await expect(page.locator("#part-action .field-error")).to_be_visible()
    await page.get_by_role("button", name="Save").click()
    summary = page.locator("#errors")
    await expect(summary).to_be_focused()
    await expect(summary.get_by_role("link")).to_have_count(2)
    await summary.get_by_role("link", name="Title").click()
    await expect(box(page, "Title")).to_be_focused()
    await expect(box(page, "URL")).to_have_value("nonsense")
    person.complaints = [
        complaint for complaint in person.complaints if "422" not in complaint
    ]  # the browser tells of the answer
    assert (await person.api("GET", "/api/areas"))["items"] == []
    await box(page, "Title").fill("hi")
    await box(page, "URL").fill("https://example.org/feed.xml")
    await expect(summary).to_have_count(0)
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(SAVED)


async def test_chips_insert_at_the_caret_and_unknown_names_are_marked(person):
    page = person.page
    await new(person, "New item in a feed", "Post a notice")
    title = box(page, "Title")
    await title.fill("New:  by them")
    await title.evaluate("one => one.setSelectionRange(5, 5)")
    await page.locator(".chip", has_text="author").click()
    await expect(title).to_have_value("New: {{author}} by them")
    await expect(title).to_be_focused()
    assert await title.evaluate("one => one.selectionStart") == 15
    await expect(page.locator(".filled")).to_contain_text("New: Ada Lovelace by them")
    await box(page, "Body").fill("{{sumary}}")
    await expect(page.locator("#part-reaction .field-error")).to_contain_text('did you mean "summary"?')
    await box(page, "Body").focus()
    await page.locator(".chip", has_text="link").focus()
    await page.keyboard.press("Enter")
    await expect(box(page, "Body")).to_have_value("{{sumary}}{{link}}")


async def test_quick_typing_is_never_lost_while_answers_are_under_way(person):
    page = person.page
    await new(person, "New item in a feed", "Post a notice")

    async def slowly(route):
        await page.wait_for_timeout(300)
        await route.continue_()

    await page.route("**/areas/editor", slowly)
    text = "A rather long title that takes its time"
    title, body = box(page, "Title"), box(page, "Body")
    await title.focus()
    for part in (text[:12], text[12:25], text[25:]):
        await page.keyboard.type(part, delay=15)
        await page.wait_for_timeout(480)  # an answer begins to be on its way, and typing goes on
    await title.evaluate("one => one.setSelectionRange(2, 2)")
    await page.keyboard.type("very, ")
    await body.focus()
    await page.keyboard.type("and the body", delay=15)
    await settled(page)
    await page.wait_for_timeout(800)
    await expect(title).to_have_value("A very, rather long title that takes its time")
    await expect(body).to_have_value("and the body")
    await expect(body).to_be_focused()
    await page.unroute("**/areas/editor")


async def test_a_condition_is_built_from_lines_or_written_as_text(person):
    page = person.page
    await new(person, "New item in a feed", "Post a notice")
    await box(page, "URL").fill("https://example.org/feed.xml")
    await box(page, "Title").fill("hi")
    await page.get_by_text("Only if").click()
    await page.get_by_role("button", name="Add line").click()
    await page.get_by_label("Value to check").fill("title")
    await box(page, "Compare with").fill("urgent")
    await page.get_by_role("button", name="Add line").click()
    await page.get_by_label("Value to check").nth(1).fill("author")
    await page.get_by_label("Comparison").nth(1).select_option("not empty")
    await page.get_by_label("How many lines must match").select_option("or")
    await expect(page.get_by_text('title contains "urgent" or author not empty')).to_be_visible()
    await page.get_by_role("button", name="Edit as text").click()
    await expect(box(page, "Condition")).to_have_value('title contains "urgent" or author not empty')
    await box(page, "Condition").fill('title contains "urgent" and not (author == "bot")')
    await expect(page.get_by_text("Too complex for the form")).to_be_visible()
    await expect(page.get_by_text("This event doesn't match the condition")).to_be_visible()
    await box(page, "Condition").fill('titel contains "x"')
    await expect(page.locator("#part-action .field-error")).to_contain_text('did you mean "title"?')
    await box(page, "Condition").fill('title contains "x"')
    await page.get_by_role("button", name="Edit as a form").click()
    await box(page, "Compare with").fill("Python")
    await settled(page)
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(SAVED)
    assert (await only_area(person))["action"]["parameters"]["only_if"] == 'title contains "Python"'


async def test_a_line_checks_a_value_of_ones_own_webhook(person):
    """Before the first request nobody knows its names; the ready curl sends what the condition asks for."""
    page = person.page
    await new(person, "New request", "Post a notice")
    await box(page, "Title").fill("{{body.order.who}} ordered")
    await page.get_by_text("Only if").click()
    await page.get_by_role("button", name="Add line").click()
    await expect(page.locator("#values option[value='body.order.who']")).to_have_count(1)  # the reaction uses it
    field = page.get_by_label("Value to check")
    await field.fill("body.order total")
    await box(page, "Compare with").fill("10")
    await page.get_by_label("Comparison").select_option(">")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Enter the name of a value, such as title or body.name.")).to_be_visible()
    await field.fill("body.order.total")
    await settled(page)
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(SAVED)
    forgiven(person, 422)
    area = await only_area(person)
    assert area["action"]["parameters"]["only_if"] == "body.order.total > 10"
    command = await page.locator("pre", has_text="curl").first.text_content() or ""
    body = re.search(r"-d '(.*)'", command)[1]
    assert json.loads(body) == {"order": {"who": "…", "total": 11}}
    await fire(person, area, json.loads(body))
    (run,) = await over(person, area)
    assert run["status"] == "success"


@pytest.mark.parametrize(
    ("only_if", "texts", "body"),
    [
        (None, ["no values"], {"hello": "world"}),
        ("", ["{{body.a}} {{ body.b.c | upper }} {{method}} {{bad"], {"hello": "world"}),
        ("", ["{{body.a}} {{ body.b.c | upper }} {{method}}", 3], {"a": "…", "b": {"c": "…"}}),
        ('body.who == "Ann" and body.n >= 3', [], {"who": "Ann", "n": 3}),
        ("body.n < 3 or body.m > 1", ["{{body.n}}"], {"n": 2}),
        ('body.a starts_with "x" and body.b ends_with "y" and body.c contains "z"', [], {"a": "x", "b": "y", "c": "z"}),
        ('body.a != "x" and not (body.b == "y") and body.c not empty', [], {"a": "not x", "b": "not y", "c": "…"}),
        ("body.ok and not body.off", [], {"ok": True, "off": False}),
        ('body.kind in ["a", "b"] and method == "POST"', [], {"kind": "a"}),
        ('body.list.0.x == "y"', [], {"hello": "world"}),
        ("not valid (", ["{{body.a}}"], {"a": "…"}),
    ],
)
def test_a_body_that_passes_the_condition(only_if, texts, body):
    assert sample_body(only_if, texts) == body
    if only_if and body != {"hello": "world"} and "valid" not in only_if:
        assert condition.parse(only_if).evaluate({"body": body, "method": "POST"})


async def test_trying_shows_exactly_what_would_be_sent(person):
    page = person.page
    await new(person, "New request", "Send an HTTP request")
    await box(page, "URL").fill("https://example.org/{{method}}")
    await box(page, "Body").fill('{"order": "{{body.order.id}}"}')
    await page.get_by_role("button", name="Test", exact=True).click()
    await expect(page.locator("#dry")).to_contain_text("Nothing was sent.")
    await expect(page.locator("#dry pre")).to_contain_text('"url": "https://example.org/POST"')
    await expect(page.locator("#dry pre")).to_contain_text('"order": 42')
    assert (await person.api("GET", "/api/areas"))["items"] == []


async def test_a_draft_survives_a_reload_and_can_be_discarded(person):
    page = person.page
    await new(person, "New request", "Post a notice")
    await page.locator("#part-action summary", has_text="More options").click()
    await page.get_by_label("Secret", exact=True).fill("not to be kept")
    await box(page, "Title").fill("Half written")
    await expect(page.get_by_text("Draft saved")).to_be_visible()
    await settled(page)
    await page.reload()
    await expect(page.get_by_text("Draft restored")).to_be_visible()
    await expect(box(page, "Title")).to_have_value("Half written")
    await expect(page.get_by_label("Secret", exact=True)).to_have_value("")
    await page.get_by_role("button", name="Discard draft").click()
    await page.locator("#confirm").get_by_role("button", name="Discard").click()
    await expect(page.get_by_role("button", name="Webhook")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("Draft restored")).to_have_count(0)


async def test_what_is_too_long_to_be_kept_as_a_draft_says_so(person):
    page = person.page
    await new(person, "New request", "Post a notice")
    await box(page, "Title").fill("Half written")
    await expect(page.get_by_text("Draft saved")).to_be_visible()
    await box(page, "Body").fill("x" * 510_000)
    await expect(page.get_by_text("Too long for a draft. Save before you leave.")).to_be_visible(timeout=30_000)
    await box(page, "Body").fill("short")
    await expect(page.get_by_text("Draft saved")).to_be_visible()


async def test_a_draft_survives_the_end_of_the_session(person):
    page = person.page
    await new(person, "New request", "Post a notice")
    await box(page, "Title").fill("Before")
    await settled(page)
    await person.context.clear_cookies()
    await box(page, "Title").fill("Typed after the session had ended")
    await expect(page.get_by_role("alert")).to_contain_text("Your session has ended")
    await expect(box(page, "Title")).to_have_value("Typed after the session had ended")
    await page.get_by_role("alert").get_by_role("link", name="Sign in").click()
    await page.get_by_label("E-mail address or username").fill(person.name)
    await page.get_by_label("Password", exact=False).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("Draft restored")).to_be_visible()
    await expect(box(page, "Title")).to_have_value("Typed after the session had ended")
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(SAVED)
    assert (await only_area(person))["reaction"]["parameters"] == {"title": "Typed after the session had ended"}
    person.complaints = [complaint for complaint in person.complaints if "401" not in complaint]


async def test_editing_keeps_secrets_that_are_not_touched(person):
    page = person.page
    area = await person.make(
        "webhook.received",
        "inbox.post",
        "Signed",
        action_parameters={"signature": "hmac_sha256", "secret": "known only here"},
        reaction_parameters={"title": "{{method}}"},
    )
    await person.go(f"/areas/{area['id']}/edit")
    await expect(page.get_by_label("Secret", exact=True)).to_have_value("")
    await box(page, "Title").fill("{{method}} again")
    await box(page, "Name").fill("Signed, too")
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(SAVED)
    changed = await only_area(person)
    assert changed["name"] == "Signed, too"
    assert changed["reaction"]["parameters"] == {"title": "{{method}} again"}
    assert changed["webhook_url"] == area["webhook_url"]
    body = b"{}"
    signature = hmac.new(b"known only here", body, hashlib.sha256).hexdigest()
    answer = await person.context.request.post(
        area["webhook_url"], data=body, headers={"X-Signature-256": f"sha256={signature}"}
    )
    assert answer.ok
    await person.go(f"/areas/{area['id']}/edit")
    await expect(page.get_by_text("Uses the last event of this AREA.")).to_be_visible()
    await page.get_by_label("Signature", exact=True).select_option("")
    await page.get_by_label("Remove secret").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(SAVED)
    assert (await only_area(person))["action"]["parameters"] == {}


async def test_running_once_for_real_leads_to_the_run(person):
    page = person.page
    area = await person.make("webhook.received", "inbox.post", "Once", reaction_parameters={"title": "{{method}}"})
    await person.go(f"/areas/{area['id']}/edit")
    await page.get_by_role("button", name="Run once").click()
    await page.locator("#confirm").get_by_role("button", name="Run", exact=True).click()
    link = page.get_by_role("link", name="View run")
    await expect(link).to_be_visible()
    (execution,) = (await person.api("GET", f"/api/executions?area_id={area['id']}"))["items"]
    assert await link.get_attribute("href") == f"/runs/{execution['id']}"


async def test_a_copy_is_another_area(person):
    page = person.page
    area = await person.make(
        "webhook.received", "inbox.post", "First", reaction_parameters={"title": "a\nb {{method}}"}
    )
    await person.go(f"/areas/new?copy={area['id']}")
    await expect(box(page, "Name")).to_have_value("Copy of First")
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(SAVED)
    first, other = (await person.api("GET", "/api/areas"))["items"]
    assert (first["name"], other["name"]) == ("Copy of First", "First")
    assert first["reaction"]["parameters"] == other["reaction"]["parameters"]


async def test_a_missing_connection_leads_there_and_back(person):
    page = person.page
    await new(person, "New request", "Send an e-mail")
    box = page.get_by_role("link", name=re.compile("^Connect"))
    await expect(box).to_be_visible()
    assert await box.get_attribute("href") == "/services/email?next=%2Fareas%2Fnew"


async def test_a_time_is_meant_in_the_zone_of_the_account(server, browser, person):
    traveller = await arrive(server, browser, timezone_id="Europe/Paris")
    await traveller.api("PATCH", "/api/me", {"timezone": "Europe/Paris"})
    await traveller.go("/areas/new?template=reminder")
    await expect(traveller.page.get_by_label("Timezone")).to_have_value("Europe/Paris")
    await traveller.page.get_by_role("button", name="Save").click()
    await expect(traveller.page).to_have_url(SAVED)
    assert (await only_area(traveller))["action"]["parameters"] == {"time": "08:00", "timezone": "Europe/Paris"}
    await traveller.context.close()
    assert not traveller.complaints


async def test_somebody_elses_area_is_nobodys(person, root):
    area = await root.make("webhook.received", "inbox.post", "Mine", reaction_parameters={"title": "hi"})
    for path in (f"/areas/{area['id']}/edit", f"/areas/new?copy={area['id']}", "/areas/new?template=none"):
        assert (await person.context.request.get(person.server.url + path)).status == 404
    await root.api("DELETE", f"/api/areas/{area['id']}")


async def test_what_is_switched_off_is_not_offered(person, root):
    page = person.page
    area = await person.make("webhook.received", "inbox.post", "Was on", reaction_parameters={"title": "hi"})
    services = (await root.api("GET", "/api/services"))["items"]
    webhook = next(service for service in services if service["slug"] == "webhook")
    await root.api("PATCH", f"/api/admin/services/{webhook['id']}", {"is_active": False})
    try:
        await person.go("/areas/new")
        await expect(page.get_by_role("button", name="Timer")).to_be_visible()
        await expect(page.get_by_role("button", name="Webhook")).to_have_count(0)
        await person.go(f"/areas/{area['id']}/edit")
        await expect(page.get_by_text("switched off on this server")).to_be_visible()
        await box(page, "Name").fill("Renamed meanwhile")
        await page.get_by_role("button", name="Save").click()
        await expect(page).to_have_url(SAVED)
    finally:
        await root.api("PATCH", f"/api/admin/services/{webhook['id']}", {"is_active": True})
    assert (await only_area(person))["name"] == "Renamed meanwhile"


async def test_nothing_sticks_out_on_a_telephone(person):
    page = person.page
    await page.set_viewport_size(NARROW)
    await new(person, "New request", "Send an HTTP request")
    await page.get_by_text("Only if").click()
    await page.get_by_role("button", name="Add line").click()
    await expect(page.get_by_label("Comparison")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.set_viewport_size(WIDE)


async def test_a_service_page_leads_here_with_its_side_chosen(person):
    await person.go("/services/inbox")
    await person.page.get_by_role("link", name="Use Post a notice to your inbox").click()
    await person.page.get_by_role("button", name="Webhook").click()  # it has one action
    await expect(person.page.locator("#change-action")).to_be_visible()
    await expect(person.page.locator("#change-reaction")).to_be_visible()


async def test_what_is_in_the_account_is_chosen_from_a_list(person):
    page, keys = person.page, person.page.keyboard
    for name in ("Alpha", "Beta <b>", "Gamma"):
        await person.make(
            "timer.weekly_timer",
            "inbox.post",
            name,
            action_parameters={"time": "07:00", "days": "monday"},
            reaction_parameters={"title": "x"},
        )
    await person.go("/areas/new?reaction=area.disable")
    await choose(page, "action", "Every day")
    await page.get_by_role("button", name="Choose Area ID").click()
    dialog = page.get_by_role("dialog", name="Area ID")
    await expect(dialog.locator(".found li")).to_have_count(3)
    await expect(dialog.get_by_label("Search the list")).to_be_focused()
    await keys.type("nothing like it")
    await expect(dialog.get_by_text("No matches.")).to_be_visible()
    await keys.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_role("button", name="Choose Area ID")).to_be_focused()
    await keys.press("Enter")
    await expect(dialog.locator(".found li")).to_have_count(3)
    await keys.type("bet")
    await keys.press("ArrowDown")
    await expect(dialog.locator(".found button:focus")).to_contain_text("Beta <b>")
    await keys.press("Enter")
    await expect(page.locator(".chosen-name")).to_contain_text("Beta <b>")
    beta = next(area for area in (await person.api("GET", "/api/areas"))["items"] if area["name"].startswith("Beta"))
    await expect(box(page, "Area ID")).to_have_value(str(beta["id"]))
    await page.reload()
    await expect(page.locator(".chosen-name")).to_contain_text("Beta <b>")
    await box(page, "Area ID").fill("7")
    await settled(page)
    await expect(page.locator(".chosen-name")).to_have_count(0)


async def test_a_list_that_could_not_be_had_says_so_and_is_asked_for_again(person):
    page = person.page
    await person.go("/areas/new?reaction=area.disable")
    failing = "**/areas/options/**"
    await page.route(failing, lambda route: route.abort())
    await page.get_by_role("button", name="Choose Area ID").click()
    await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("be reached")
    await page.unroute(failing)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("dialog")).to_contain_text("has no options yet")
    await page.get_by_role("button", name="Close").click()
    person.complaints.clear()


async def test_a_time_is_inserted_as_people_read_it(person):
    page = person.page
    await person.api("PATCH", "/api/me", {"timezone": "Europe/Paris"})
    await person.go("/areas/new?action=calendar.event_starts&reaction=inbox.post")
    chip = page.locator(".chip").get_by_text("start", exact=True)
    await box(page, "Title").focus()
    await chip.click()
    await expect(box(page, "Title")).to_have_value('{{start | date:"%Y-%m-%d %H:%M","Europe/Paris"}}')
    await expect(page.locator(".filled dd").first).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d$"))
    await person.go("/areas/new?action=calendar.event_starts&reaction=http.request")
    await box(page, "Body").focus()
    await chip.click()
    await expect(box(page, "Body")).to_have_value("{{start}}")  # for a program


async def test_saving_by_keyboard(person):
    page = person.page
    await person.go("/areas/new?template=feed")
    await page.locator("[name='r.title']").fill("By keyboard")
    await page.keyboard.press("Control+s")
    await expect(page).to_have_url(SAVED)
    assert (await only_area(person))["reaction"]["parameters"]["title"] == "By keyboard"
    await page.keyboard.press("Control+s")  # elsewhere it is the browser's


async def test_what_is_optional_is_folded_until_it_is_filled_in(person):
    page = person.page
    await person.go("/areas/new?action=rss.new_item&reaction=http.request")
    await expect(box(page, "URL").last).to_be_visible()
    await expect(box(page, "Body")).to_be_visible()
    headers = page.locator("[name='r.headers']")
    await expect(headers).to_be_hidden()
    await page.locator("#part-reaction summary", has_text="More options").focus()
    await page.keyboard.press("Enter")
    await headers.fill('{"X-One": "1"}')
    await settled(page)
    await page.reload()
    await expect(headers).to_be_visible()
    await expect(headers).to_have_value('{"X-One": "1"}')


async def test_a_secret_can_be_looked_at_while_it_is_typed(person):
    page = person.page
    await person.go("/areas/new?action=webhook.received&reaction=inbox.post")
    secret = page.locator("[name='a.secret']")
    await page.locator("#part-action summary", has_text="More options").click()  # none of them is required
    await secret.fill("s3cret")
    await expect(secret).to_have_attribute("type", "password")
    await page.get_by_role("button", name="Show Secret").click()
    await expect(secret).to_have_attribute("type", "text")
    await expect(secret).to_have_value("s3cret")
    await page.get_by_role("button", name="Show Secret").click()
    await expect(secret).to_have_attribute("type", "password")
    await page.get_by_role("button", name="Show Secret").click()
    await page.route("**/areas/editor", lambda route: route.abort())
    await box(page, "Title").fill("away")
    await expect(page.locator("#draft-state")).to_contain_text("be reached")
    assert "s3cret" not in await page.evaluate("JSON.stringify(sessionStorage)")
    person.complaints.clear()  # of the request that was not let through
    await page.unroute("**/areas/editor")
    await settled(page)
