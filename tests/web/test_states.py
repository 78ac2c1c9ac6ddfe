"""What an AREA's page says follows from what happened last, and from what its owner just did."""

import re
from datetime import UTC, datetime

from playwright.async_api import expect

from area.kit.clock import now
from tests.ports import free_port
from tests.web.acting import fire, over
from tests.web.test_forms import forgiven


async def failing(person, runs=1):
    """An AREA whose runs are refused for good."""
    area = await person.make(
        "webhook.received", "http.request", "Orders", reaction_parameters={"url": "{{body.url}}", "method": "POST"}
    )
    for _ in range(runs):
        await fire(person, area, {"url": "not a url"})
    await over(person, area, runs)
    return area


async def test_after_mending_it_waits_for_its_next_event(person):
    area = await failing(person)
    page = person.page
    await person.go(f"/areas/{area['id']}")
    state = page.locator("#state .state")
    await expect(state).to_have_text("Failing")
    await expect(page.locator("#state")).to_contain_text("Open a failed run below to see why.")
    await person.api("PATCH", f"/api/areas/{area['id']}", {"name": "Only a new name"})
    assert (await person.api("GET", f"/api/areas/{area['id']}"))["state"] == "failing"
    reaction = {"component": "inbox.post", "parameters": {"title": "Mended"}}
    await person.api("PATCH", f"/api/areas/{area['id']}", {"reaction": reaction})
    await person.go(f"/areas/{area['id']}")
    await expect(state).to_have_text("Waiting for its next event")
    await fire(person, area, {})
    await over(person, area, 2)
    await expect(state).to_have_text("OK")  # live


async def test_after_switching_it_back_on_it_waits_for_its_next_event(person):
    area = await failing(person, 20)
    page = person.page
    await person.go(f"/areas/{area['id']}")
    state = page.locator("#state .state")
    await expect(state).to_have_text("Switched off by AREA")
    await page.get_by_role("button", name="Switch back on").click()
    await expect(state).to_have_text("Waiting for its next event")


async def test_run_once_is_a_run(person):
    today = datetime.now(UTC).date().isoformat()
    area = await person.make(
        "timer.daily_timer",
        "inbox.post",
        action_parameters={"time": "08:00"},
        reaction_parameters={"title": "Today is {{date}}"},
    )
    page = person.page
    await person.go(f"/areas/{area['id']}")
    await expect(page.locator("#state .state")).to_have_text("Waiting for its first event")
    await page.get_by_role("button", name="Test", exact=True).click()
    await expect(page.locator("#tried")).to_contain_text("Using the current time")
    await expect(page.locator("#tried .written").first).to_have_text(re.compile(rf"Today is ({today}|{now().date()})"))
    await page.get_by_role("button", name="Run once").click()
    await page.locator("#confirm").get_by_role("button", name="Run once").click()
    await expect(page.locator("#state .state")).to_have_text("OK")
    titles = [notice["title"] for notice in (await person.api("GET", "/api/notices"))["items"]]
    assert titles in ([f"Today is {today}"], [f"Today is {now().date()}"])


async def test_a_source_that_fails_has_no_failed_run(person):
    url = f"http://127.0.0.1:{free_port()}/feed.xml"
    area = await person.make(
        "rss.new_item", "inbox.post", action_parameters={"url": url}, reaction_parameters={"title": "x"}
    )
    page = person.page
    await person.go(f"/areas/{area['id']}")
    await expect(page.locator("#state .state")).to_have_text("Failing")
    await expect(page.locator("#state")).to_contain_text("AREA checks again automatically")
    await expect(page.locator("#state")).not_to_contain_text("Open a failed run")


async def test_what_is_switched_off_is_named_and_not_run(person, root):
    area = await person.make("webhook.received", "http.request", reaction_parameters={"url": "https://example.org"})
    services = await root.api("GET", "/api/admin/services")
    http = next(service for service in services["items"] if service["slug"] == "http")
    await root.api("PATCH", f"/api/admin/services/{http['id']}", {"is_active": False})
    try:
        page = person.page
        await person.go(f"/areas/{area['id']}")
        sentence = "“Send an HTTP request” of HTTP is switched off on this server."
        await expect(page.locator("#state")).to_contain_text(sentence)
        await expect(page.locator("#state")).to_contain_text("or ask an administrator")
        await page.get_by_role("button", name="Run once").click()
        await page.locator("#confirm").get_by_role("button", name="Run once").click()
        await expect(page.locator("main > .alert")).to_have_text(sentence)
        await expect(page.locator("#area-runs .run")).to_have_count(0)
        refused = await person.api("POST", f"/api/areas/{area['id']}/run", {}, status=409)
        assert refused["detail"] == sentence
        await person.api("PATCH", f"/api/areas/{area['id']}", {"is_active": False})
        await person.api("POST", f"/api/areas/{area['id']}/run", {}, status=409)
    finally:
        await root.api("PATCH", f"/api/admin/services/{http['id']}", {"is_active": True})
    forgiven(person, 409)
