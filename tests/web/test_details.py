"""The page of one AREA: its runs live, its figures, what to do about it, and what can be done with it."""

import asyncio
import json
import re

import asyncpg
import yaml
from playwright.async_api import expect

from tests.web.acting import axe, fire, hook, over
from tests.web.conftest import NARROW, WIDE, arrive, listen


async def test_it_says_how_to_fire_and_the_run_appears_without_a_reload(person):
    area = await hook(person)
    page = person.page
    await person.go(f"/areas/{area['id']}")
    await expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    await expect(page.locator("#curl-empty")).to_contain_text(area["webhook_url"])
    await expect(page.get_by_role("textbox", name="Webhook URL")).to_have_value(area["webhook_url"])
    await page.evaluate("window.here = true")
    await fire(person, area, {"id": 7})
    await expect(page.locator("#area-runs .run")).to_have_count(1)
    await expect(page.locator("#area-runs .run").get_by_text("Success")).to_be_visible()
    await expect(page.locator("#state")).to_contain_text("1 time")
    await expect(page.locator("[data-plot=runs] canvas")).to_be_visible()
    await fire(person, area, {"id": 8})
    await expect(page.locator("#area-runs .run")).to_have_count(2)
    assert await page.evaluate("window.here")
    await page.get_by_text("Show as a table").click()
    await expect(page.locator(".figures-table tbody tr")).to_have_count(1)
    await page.get_by_role("link", name="30 days").click()
    await expect(page.get_by_role("link", name="30 days")).to_have_attribute("aria-current", "true")
    await page.evaluate("setTheme('dark')")
    await expect(page.locator("[data-plot=runs] canvas")).to_have_count(1)
    await page.locator("#area-runs .run a").first.click()
    await expect(page).to_have_url(re.compile(r"/runs/\d+$"))


async def test_trying_sends_nothing_and_running_once_does(person):
    area = await hook(person, is_active=False)
    page = person.page
    await person.go(f"/areas/{area['id']}")
    await page.get_by_role("button", name="Test", exact=True).click()
    await expect(page.locator("#tried")).to_contain_text("Nothing was sent")
    await page.locator("#tried summary").last.click()
    await page.get_by_label("Data, as JSON").fill('{"body": {"id": ')
    await page.get_by_role("button", name="Test", exact=True).click()
    await expect(page.locator("#tried").get_by_role("alert")).to_contain_text("line 1")
    await page.get_by_label("Data, as JSON").fill('{"body": {"id": 42}}')
    await page.get_by_role("button", name="Test", exact=True).click()
    await expect(page.locator("#tried pre").get_by_text("Order 42")).to_be_visible()
    assert (await person.api("GET", f"/api/executions?area_id={area['id']}"))["items"] == []
    await page.get_by_role("button", name="Run once").click()
    await page.locator("#confirm").get_by_role("button", name="Run once").click()
    await expect(page.get_by_text("Started.")).to_be_visible()
    await expect(page.locator("#area-runs .run").get_by_text("Success")).to_be_visible()
    notices = (await person.api("GET", "/api/notices"))["items"]
    assert [notice["title"] for notice in notices] == ["Order 42"]


async def test_the_switch_the_parameters_and_what_it_waits_for(person):
    area = await hook(
        person,
        "Guarded",
        action_parameters={
            "signature": "hmac_sha256",
            "secret": "hidden-from-everybody",
            "only_if": "method == 'POST'",
        },
    )
    page = person.page
    await person.go(f"/areas/{area['id']}")
    await page.get_by_role("switch", name="Guarded is on").click()
    await expect(page.locator("#state")).to_contain_text("nothing until you switch it on")
    assert (await person.api("GET", f"/api/areas/{area['id']}"))["is_active"] is False
    await page.get_by_role("switch", name="Guarded is on").click()
    await expect(page.get_by_role("switch", name="Guarded is on")).to_have_attribute("aria-checked", "true")
    await expect(page.locator("mark", has_text="{{body.id}}")).to_be_visible()
    await expect(page.get_by_text("method == 'POST'", exact=True)).to_be_visible()
    await expect(page.get_by_text("••••••••")).to_be_visible()
    assert "hidden-from-everybody" not in await page.content()
    await expect(page.locator("#curl-empty")).to_contain_text("openssl")
    timer = await person.make("timer.interval_timer", "inbox.post", "Tick", action_parameters={"interval": "1h"},
                              reaction_parameters={"title": "tick"})  # fmt: skip
    await person.go(f"/areas/{timer['id']}")
    await expect(page.locator("#state")).to_contain_text("Next run")
    await expect(page.get_by_text("Runs on a schedule.")).to_be_visible()


async def test_it_says_what_to_connect_and_leads_there(person):
    area = await person.make(
        "webhook.received",
        "email.send_email",
        "By mail",
        reaction_parameters={"to": "ann@example.org", "subject": "{{method}}", "text": "hi"},
    )
    await person.go(f"/areas/{area['id']}")
    await expect(person.page.locator("#state")).to_contain_text("Needs a connection")
    link = person.page.get_by_role("link", name="Connect E-mail")
    await expect(link).to_have_attribute("href", f"/services/email?next=/areas/{area['id']}")
    await fire(person, area, {})
    await person.page.locator("#area-runs .run a").first.click()
    await expect(person.page.get_by_text("Waiting for a connection. It runs as soon as you reconnect.")).to_be_visible()


async def test_what_area_switched_off_is_switched_on_again(person):
    area = await person.make(
        "webhook.received", "http.request", "Hopeless", reaction_parameters={"method": "POST", "url": "{{body.url}}"}
    )
    for _ in range(20):
        await fire(person, area, {"url": "nowhere"})
    page = person.page
    await person.go(f"/areas/{area['id']}")
    await expect(page.locator("#state")).to_contain_text("Switched off by AREA")
    await expect(page.locator("#state")).to_contain_text("Failed 20 times in a row")
    await page.get_by_role("button", name="Switch back on").click()
    await expect(page.get_by_role("switch", name="Hopeless is on")).to_have_attribute("aria-checked", "true")
    assert (await person.api("GET", f"/api/areas/{area['id']}"))["is_active"] is True


async def test_a_new_address_a_file_to_carry_out_and_the_end(person):
    area = await hook(person, "Short-lived")
    page = person.page
    await person.go(f"/areas/{area['id']}")
    await page.get_by_role("button", name="Replace URL").click()
    await page.locator("#confirm").get_by_role("button", name="Replace URL").click()
    await expect(page.get_by_text("This AREA has a new webhook URL")).to_be_visible()
    new = await page.get_by_role("textbox", name="Webhook URL").input_value()
    assert new != area["webhook_url"]
    assert (await person.context.request.post(area["webhook_url"], data="x")).status == 404
    assert (await person.context.request.post(new, data="x")).ok
    for kind, parse in (("YAML", yaml.safe_load), ("JSON", json.loads)):
        await page.get_by_label("More").click()
        async with page.expect_download() as waiting:
            await page.get_by_role("link", name=f"Export as {kind}").click()
        download = await waiting.value
        assert download.suggested_filename == f"short-lived.{kind.lower()}"
        bundle = parse((await download.path()).read_text())
        assert (await person.api("POST", "/api/areas/import", bundle))["same"] == ["Short-lived"]
    await page.get_by_label("More").click()
    await expect(page.get_by_role("link", name="Duplicate")).to_have_attribute("href", f"/areas/new?copy={area['id']}")
    await page.get_by_role("button", name="Delete").click()
    await page.locator("#confirm").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("“Short-lived” deleted.")).to_be_visible()
    # the page may have been asking after the AREA, as a run had just ended, in the moment in which it went
    person.complaints[:] = [complaint for complaint in person.complaints if "status of 404" not in complaint]
    await person.api("GET", f"/api/areas/{area['id']}", status=404)


async def test_somebody_elses_is_not_there(person, browser):
    area = await hook(person)
    await fire(person, area, {"id": 1})
    run = (await over(person, area))[0]["id"]
    other = await arrive(person.server, browser)
    page = await other.context.new_page()
    listen(other, page, answers=(404,))
    for path in (f"/areas/{area['id']}", f"/runs/{run}", "/areas/99999999999", "/runs/0"):
        answer = await page.goto(person.server.url + path)
        assert answer, path
        assert answer.status == 404, path
        await expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    for path in ("power", "try", "run", "renew", "delete"):
        answer = await other.context.request.post(
            f"{person.server.url}/areas/{area['id']}/{path}", headers={"Origin": person.server.url}
        )
        assert answer.status == 404, path
    for path in ("state", "runs", "chart", "export"):
        assert (await other.context.request.get(f"{person.server.url}/areas/{area['id']}/{path}")).status == 404
    assert not other.complaints
    await other.context.close()


async def test_nothing_is_cut_off_on_a_phone(person):
    long = "A name that is as long as names of AREAs sometimes are " + "x" * 60
    area = await hook(person, long, reaction_parameters={"title": "{{body.text}}", "body": "y" * 300})
    await fire(person, area, {"text": "z" * 2000, "list": [{"deep": {"deeper": ["w" * 200]}}]})
    run = (await over(person, area))[0]["id"]
    await person.page.set_viewport_size(NARROW)
    for path in (f"/areas/{area['id']}", "/runs", "/runs?time=between", f"/runs/{run}"):
        await person.go(path)
        assert await person.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path


async def test_it_shows_what_the_trigger_left_out(person, session_dsn):
    parts = {"url": "https://blog.example.invalid/feed.xml"}, {"title": "{{title}}"}
    area = await person.make(
        "rss.new_item", "inbox.post", "Blog", action_parameters=parts[0], reaction_parameters=parts[1]
    )
    note = "2 of the feed's items can't be read and were left out."
    connection = await asyncpg.connect(session_dsn.replace("+asyncpg", ""))
    statement = "update sources set due_at = null, state = jsonb_build_object('note', $2::text) from triggers t"
    await connection.execute(f"{statement} where t.source_id = sources.id and t.area_id = $1", area["id"], note)
    await connection.close()
    page = person.page
    await person.go(f"/areas/{area['id']}")
    await expect(page.locator("#state .alert-warning").get_by_text(note)).to_be_visible()
    assert (await person.api("GET", f"/api/areas/{area['id']}"))["note"] == note


async def test_going_back_to_an_earlier_version(person):
    page = person.page
    area = await person.make("webhook.received", "inbox.post", "Sales", reaction_parameters={"title": "{{body.a}}"})
    reaction = {"component": "inbox.post", "parameters": {"title": "Sold {{body.b}}", "level": "success"}}
    await person.api("PATCH", f"/api/areas/{area['id']}", {"reaction": reaction})
    for size in (NARROW, WIDE):
        await page.set_viewport_size(size)
        await person.go(f"/areas/{area['id']}")
        await page.get_by_label("More", exact=True).click()
        await page.get_by_role("link", name="Versions").click()
        newest = page.locator("#version-2")
        await expect(newest.get_by_text("Current")).to_be_visible()
        await expect(newest.get_by_text("Sold")).to_be_visible()
        await axe(person, "versions")
        assert await page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    await page.get_by_role("button", name="Restore version 1").click()
    await page.get_by_role("dialog").get_by_role("button", name="Restore").click()
    await page.wait_for_url(f"**/areas/{area['id']}")
    await expect(page.get_by_text("Version 1 restored.")).to_be_visible()
    saved = await person.api("GET", f"/api/areas/{area['id']}")
    assert (saved["version"], saved["reaction"]["parameters"]) == (3, {"title": "{{body.a}}"})


async def test_what_waits_is_run_now_and_what_is_polled_is_checked_now(person):
    page = person.page
    area = await hook(person, reaction_parameters={"title": "Order {{body.id}}", "delay": "1h"})
    await fire(person, area, {"id": 7})
    for _ in range(100):
        (run,) = (await person.api("GET", f"/api/executions?area_id={area['id']}"))["items"]
        whole = await person.api("GET", f"/api/executions/{run['id']}")
        if whole["waits_for"] == "delay":
            break
        await page.wait_for_timeout(100)
    await person.go(f"/runs/{run['id']}")
    await axe(person, "a run that waits")
    await page.get_by_role("button", name="Run now").click()
    await expect(page.locator(".run-status")).to_contain_text("Success")
    await expect(page.get_by_role("button", name="Run now")).to_have_count(0)

    await person.go(f"/areas/{area['id']}")
    await expect(page.get_by_role("button", name="Check now")).to_have_count(0)  # it isn't polled
    async with await asyncio.start_server(_feed, "127.0.0.1", 0) as feeds:
        url = f"http://127.0.0.1:{feeds.sockets[0].getsockname()[1]}/"
        feed = await person.make(
            "rss.new_item", "inbox.post", action_parameters={"url": url}, reaction_parameters={"title": "{{title}}"}
        )
        for _ in range(100):
            before = await person.api("GET", f"/api/areas/{feed['id']}")
            if before["last_checked_at"]:
                break
            await page.wait_for_timeout(100)
        await person.go(f"/areas/{feed['id']}")
        await page.get_by_role("button", name="Check now").click()
        await expect(page.get_by_text("Checking. New events show below.")).to_be_visible()
        after = await person.api("GET", f"/api/areas/{feed['id']}")
        assert after["next_due_at"] < before["next_due_at"]
        await axe(person, "an AREA that is checked")
        await person.api("DELETE", f"/api/areas/{feed['id']}")


async def _feed(reader, writer):
    """A feed with nothing in it."""
    await reader.readuntil(b"\r\n\r\n")
    text = b"<rss version='2.0'><channel><title>A blog</title></channel></rss>"
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
    await writer.drain()
    writer.close()


async def test_a_version_that_no_longer_fits_its_chain_is_not_restored(person):
    first = await person.make("webhook.received", "inbox.post", "First", reaction_parameters={"title": "x"})
    link = await person.make(
        "area.ran", "inbox.post", "Next",
        action_parameters={"after": first["id"]}, reaction_parameters={"title": "{{result.notice_id}}"},
    )  # fmt: skip
    for area, component, parameters in (
        (link, "inbox.post", {"title": "{{run}}"}),
        (first, "http.request", {"url": "https://example.org"}),
    ):
        change = {"reaction": {"component": component, "parameters": parameters}}
        await person.api("PATCH", f"/api/areas/{area['id']}", change)
    page = person.page
    await person.go(f"/areas/{link['id']}/versions")
    await page.get_by_role("button", name="Restore version 1").click()
    await page.get_by_role("dialog").get_by_role("button", name="Restore").click()
    await expect(page.get_by_text("Version 1 was not restored:")).to_be_visible()
    saved = await person.api("GET", f"/api/areas/{link['id']}")
    assert (saved["version"], saved["reaction"]["parameters"]) == (2, {"title": "{{run}}"})
