"""The log of runs: live, looked through, run again, cancelled; and one run opened."""

import re

import asyncpg
from playwright.async_api import expect

from tests.web.acting import fire, hook, over
from tests.web.conftest import NARROW, WIDE, arrive

CLOSED = "http://127.0.0.1:2/"


async def broken(person, name="Broken"):
    """An AREA whose reaction refuses what it is given, for good."""
    return await person.make(
        "webhook.received", "http.request", name, reaction_parameters={"method": "POST", "url": "{{body.url}}"}
    )


async def waiting(person, name="Waiting"):
    """An AREA whose runs wait for the next attempt."""
    return await person.make(
        "webhook.received", "http.request", name, reaction_parameters={"method": "POST", "url": CLOSED}
    )


async def test_runs_come_on_top_and_leave_marks_and_place_alone(person):
    area = await hook(person, "Live")
    page = person.page
    await person.go("/runs")
    await expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    await fire(person, area, {"id": 1})
    await expect(page.locator("#runs .run")).to_have_count(1)
    await expect(page.locator("#runs .run").get_by_text("Success")).to_be_visible()
    await expect(page.get_by_role("heading", name="No runs yet")).to_have_count(0)
    await page.get_by_role("checkbox", name=re.compile("Select run")).check()
    await fire(person, area, {"id": 2})
    await expect(page.locator("#runs .run")).to_have_count(2)
    numbers = await page.locator("#runs .run").evaluate_all("rows => rows.map(row => Number(row.dataset.run))")
    assert numbers == sorted(numbers, reverse=True)
    boxes = page.get_by_role("checkbox", name=re.compile("Select run"))
    await expect(boxes.nth(0)).not_to_be_checked()
    await expect(boxes.nth(1)).to_be_checked()
    await expect(page.get_by_text("1 selected")).to_be_visible()


async def test_a_long_name_leaves_room_in_the_filters(person):
    await hook(person, "A name as long as names can be, " * 7)
    page = person.page
    for size in (WIDE, NARROW):
        await page.set_viewport_size(size)
        await person.go("/runs")
        search = await page.get_by_role("searchbox").first.bounding_box()
        chosen = await page.locator("select[name=area]").bounding_box()
        assert min(size["width"], 600) * 0.5 <= search["width"] <= size["width"]
        assert chosen["width"] <= max(size["width"] * 0.4, 320)
        assert await page.evaluate("document.documentElement.scrollWidth") <= size["width"]


async def test_older_ones_are_loaded_and_many_new_ones_are_offered(person):
    area = await hook(person, "Many")
    for number in range(60):
        await fire(person, area, {"id": number})
    await over(person, area, 50)
    page = person.page
    await person.go("/runs")
    await expect(page.locator("#runs .run")).to_have_count(50)
    await page.get_by_role("link", name="Load more").click()
    await expect(page.locator("#runs .run")).to_have_count(60)
    await expect(page.get_by_role("link", name="Load more")).to_have_count(0)
    numbers = await page.locator("#runs .run").evaluate_all("rows => rows.map(row => Number(row.dataset.run))")
    assert numbers == sorted(set(numbers), reverse=True)


async def test_filters_and_search_stand_in_the_address(person):
    good, bad = await hook(person, "Good one"), await broken(person, "Bad one")
    await fire(person, good, {"id": "needle-in-data"})
    await fire(person, bad, {"url": "nowhere"})
    await over(person, good)
    await over(person, bad)
    page = person.page
    rows = page.locator("#runs .run")
    await person.go("/runs")
    await expect(rows).to_have_count(2)
    await page.get_by_label("Failed").check()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("Bad one")
    await expect(rows).to_contain_text("Enter a full URL")
    await expect(page).to_have_url(re.compile(r"/runs\?status=failed$"))
    await page.get_by_label("Success").check()
    await expect(rows).to_have_count(2)
    await page.get_by_role("searchbox").fill("NEEDLE")
    await expect(rows).to_have_count(1)
    await expect(page).to_have_url(re.compile(r"status=success&status=failed&q=NEEDLE$"))
    await page.reload()
    await expect(rows).to_have_count(1)
    await expect(page.get_by_role("searchbox")).to_have_value("NEEDLE")
    await page.get_by_role("searchbox").fill("full URL")
    await expect(rows).to_contain_text("Bad one")
    await page.go_back()
    await expect(rows).to_contain_text("Good one")
    await expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    await person.go("/runs")
    await page.get_by_label("Service").select_option("http")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("Bad one")
    await page.get_by_label("AREA", exact=True).select_option(str(good["id"]))
    await expect(page.get_by_role("heading", name="No matches")).to_be_visible()
    await person.go("/runs?time=hour")
    await expect(rows).to_have_count(2)
    await person.go("/runs?time=between&to=2001-01-01T10:00")
    await expect(page.get_by_role("heading", name="No matches")).to_be_visible()
    await page.get_by_label("To", exact=True).fill("2101-01-01T10:00")
    await expect(rows).to_have_count(2)
    await person.go("/runs?area=x&status=nonsense&time=never&before=-1&q=%00")
    await expect(rows).to_have_count(2)


async def test_one_run_opened_and_run_again(person):
    area = await hook(person, "Opened", reaction_parameters={"title": "Order {{body.id}}"})
    await fire(person, area, {"id": 5, "text": "v" * 900, "items": [{"sku": "A-1"}]})
    first = (await over(person, area))[0]["id"]
    page = person.page
    await person.go(f"/runs/{first}")
    await expect(page.locator(".page-head")).to_contain_text("Success")
    await expect(page.get_by_text("Show all (900 characters)")).to_be_visible()
    await expect(page.locator(".beside mark")).to_have_text("{{body.id}}")
    await expect(page.locator(".beside").get_by_text("Order 5")).to_be_visible()
    await expect(page.locator("#data-out-box")).to_contain_text("notice_id")
    await person.api("PATCH", f"/api/areas/{area['id']}",
                     {"reaction": {"component": "inbox.post", "parameters": {"title": "New {{body.id}}"}}})  # fmt: skip
    await page.reload()
    await expect(page.get_by_text("1 then, 2 now")).to_be_visible()
    await expect(page.locator(".now")).to_contain_text("New {{body.id}}")
    await page.get_by_role("button", name="Same settings as then").click()
    await expect(page.get_by_text("This is the new run.")).to_be_visible()
    await expect(page.locator(".page-head")).to_contain_text("Success")  # live
    await expect(page.locator(".beside").get_by_text("Order 5")).to_be_visible()
    await expect(page.get_by_role("link", name=f"Run {first}")).to_be_visible()
    await page.get_by_role("link", name="Older").click()
    await expect(page).to_have_url(re.compile(rf"/runs/{first}$"))
    await expect(page.get_by_text("Repeated by")).to_be_visible()
    await page.get_by_role("button", name="Current settings").click()
    await expect(page.locator(".beside").get_by_text("New 5")).to_be_visible()
    await page.get_by_text("Edit the data first").click()
    await page.get_by_label("Data, as JSON").fill('{"body": {"id": 6}')
    await page.get_by_role("button", name="Run with this data").click()
    await expect(page.get_by_role("alert")).to_contain_text("valid JSON")
    await page.get_by_label("Data, as JSON").fill('{"body": {"id": 6}}')
    person.complaints.clear()  # the browser tells of the 422, as it was to
    await page.get_by_role("button", name="Run with this data").click()
    await expect(page.locator(".beside").get_by_text("New 6")).to_be_visible()
    await over(person, area, 4)
    titles = {notice["title"] for notice in (await person.api("GET", "/api/notices"))["items"]}
    assert titles == {"Order 5", "New 5", "New 6"}


async def test_failed_ones_say_why_and_are_run_again_together(person):
    area = await broken(person)
    for _ in range(3):
        await fire(person, area, {"url": "nowhere"})
    runs = await over(person, area, 3)
    page = person.page
    await person.go(f"/runs/{runs[0]['id']}")
    await expect(page.get_by_text("Why it failed:")).to_be_visible()
    await expect(page.locator(".alert-danger")).to_contain_text("Enter a full URL")
    await expect(page.locator(".time-line")).to_contain_text("Attempt 1 failed")
    await person.go("/runs")
    await page.get_by_label("Select run").nth(0).check()
    await page.get_by_role("button", name="Run again").click()
    await expect(page.locator("#confirm")).to_contain_text("Number of runs: 1.")
    await page.locator("#confirm").get_by_role("button", name="Run again").click()
    await expect(page.get_by_text("1 started again.")).to_be_visible()
    await over(person, area, 4)
    await person.go(f"/runs?area={area['id']}")
    await page.get_by_role("link", name="Run all failed again").click()
    await expect(page.get_by_role("heading", name="Run 3 failed runs again?")).to_be_visible()  # one was already
    await page.get_by_role("button", name="Run again").click()
    await expect(page.get_by_text("3 started again.")).to_be_visible()
    again = await over(person, area, 7)
    assert len(again) == 7
    await page.get_by_label("Select all").check()
    await expect(page.get_by_text("7 selected")).to_be_visible()


async def test_why_it_is_tried_again_is_told_in_the_readers_language(server, browser, root):
    person = await arrive(server, browser, locale="fr-FR")
    area = await waiting(person)
    await fire(person, area, {})
    (run,) = (await person.api("GET", f"/api/executions?area_id={area['id']}"))["items"]
    await person.go(f"/runs/{run['id']}")
    await expect(person.page.locator(".alert")).to_contain_text("a refusé la connexion.")  # live
    await expect(person.page.locator(".time-line")).to_contain_text("a refusé la connexion.")
    await person.context.close()
    assert not person.complaints


async def test_what_waits_is_cancelled_one_by_one_and_together(person):
    area = await waiting(person)
    for _ in range(3):
        await fire(person, area, {})
    page = person.page
    await person.go("/runs")
    await expect(page.locator("#runs .run")).to_have_count(3)
    await expect(page.locator("#runs .run").nth(0)).to_contain_text("refused the connection")
    await page.locator("#runs .run a").first.click()
    await expect(page.get_by_text("Retrying automatically.")).to_be_visible()
    await expect(page.locator(".time-line")).to_contain_text("Attempt 1 failed")
    await page.get_by_role("button", name="Cancel run").click()
    await page.locator("#confirm").get_by_role("button", name="Cancel run").click()
    await expect(page.locator(".page-head")).to_contain_text("Cancelled")
    await person.go("/runs?status=pending")
    await expect(page.locator("#runs .run")).to_have_count(2)
    await page.get_by_label("Select all").check()
    await page.get_by_role("button", name="Cancel runs").click()
    await page.locator("#confirm").get_by_role("button", name="Cancel runs").click()
    await expect(page.get_by_text("2 cancelled.")).to_be_visible()
    items = (await person.api("GET", f"/api/executions?area_id={area['id']}"))["items"]
    assert {run["status"] for run in items} == {"cancelled"}


AGAIN = """
with tried as (
    insert into execution_records (execution_id, version, attempts) select id, 1, jsonb_build_array(
        jsonb_build_object('at', started_at - interval '10 minutes', 'error', 'It was busy.', 'ms', 40),
        jsonb_build_object('at', started_at, 'ms', 2500)) from area_executions where id = $1
)
update area_executions set started_at = started_at - interval '10 minutes', execution_time_ms = 605000 where id = $1
"""


async def test_a_run_that_was_tried_again_tells_how_long_all_of_it_took(person, session_dsn):
    area = await hook(person, "Again")
    await fire(person, area, {"id": 1})
    (run,) = await over(person, area)
    connection = await asyncpg.connect(session_dsn.replace("+asyncpg", ""))
    await connection.execute(AGAIN, run["id"])
    await connection.close()
    page = person.page
    await person.go(f"/runs/{run['id']}")
    await expect(page.locator(".time-line .bad")).to_contain_text("40 ms")
    await expect(page.locator(".time-line .good")).to_contain_text("2.5 s")
    await expect(page.locator(".facts dt", has_text="Duration").locator("xpath=following-sibling::dd[1]")).to_have_text(
        "10 min 5 s"
    )
    await person.go(f"/runs?area={area['id']}")
    await expect(page.locator(f"#run-{run['id']}")).to_contain_text("2")
    await expect(page.locator(f"#run-{run['id']} .run-ms")).to_have_text("10 min 5 s")


async def test_parameters_that_a_run_was_given_show_no_secret(person):
    area = await waiting(person, "Given")
    await fire(person, area, {"id": 1})
    first = (await person.api("GET", f"/api/executions?area_id={area['id']}"))["items"][0]["id"]
    await person.api("POST", f"/api/executions/{first}/cancel")
    parameters = {"method": "POST", "url": CLOSED, "headers": "X-Api-Key: hidden-from-all"}
    replay = await person.api("POST", f"/api/executions/{first}/replay", {"parameters": parameters})
    page = person.page
    await person.go(f"/runs/{replay['execution_id']}")
    await expect(page.get_by_text("The parameters were set directly for this run.")).to_be_visible()
    await expect(page.locator(".beside").get_by_text("X-Api-Key: ••••••••")).to_be_visible()
    assert "hidden-from-all" not in await page.content()
    await person.api("POST", f"/api/executions/{replay['execution_id']}/cancel")
