"""Chains in the pages: a link after an AREA, its values by the AREA they come from, the whole run, and deleting."""

from playwright.async_api import expect

from tests.web.acting import SAVED, axe, fire, forgiven, hook, over
from tests.web.conftest import NARROW


async def test_a_chain_is_made_followed_and_taken_apart(person):
    page, keys = person.page, person.page.keyboard
    area = await hook(person, "New order")
    await fire(person, area, {"id": "A-17", "lines": ["tea", "salt"]})
    await over(person, area)

    await person.go(f"/areas/{area['id']}/edit")
    await page.get_by_role("button", name="Then…").focus()
    await keys.press("Enter")
    await page.wait_for_url(f"**/areas/new?then={area['id']}")
    await expect(page.get_by_role("heading", name="After this")).to_be_visible()
    await page.get_by_label("Search reactions").fill("post a notice to your inbox")
    await page.locator("#found-reaction-0").click()
    await page.get_by_role("textbox", name="Title", exact=True).focus()
    await page.get_by_role("group", name="From “New order”").get_by_role("button", name="Notice ID").click()
    await keys.type(" of ")
    await page.get_by_role("group", name="From what happened first").get_by_role("button", name="body / id").click()
    await page.locator("#more-each summary").click()
    await page.get_by_role("combobox", name="For each item of").fill("origin.body.lines")
    await expect(page.get_by_role("group", name="This run").get_by_role("button", name="Item")).to_be_visible()
    await expect(page.get_by_role("textbox", name="Title", exact=True)).to_have_value(
        "{{steps.new_order.notice_id}} of {{origin.body.id}}"
    )
    await axe(person, "a link in the editor")
    await page.set_viewport_size(NARROW)
    wide = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.wait_for_url(SAVED)

    chain = page.get_by_role("region", name="Chain")
    await expect(chain.locator("a[href$='/move']")).to_have_count(1)
    await expect(chain.get_by_role("listitem").locator("a b")).to_have_count(2)
    await expect(chain).to_contain_text("for each item of origin.body.lines")
    await axe(person, "an AREA of a chain")
    link = (await person.api("GET", f"/api/areas/{page.url.rpartition('/')[2]}"))["id"]

    await fire(person, area, {"id": "A-18", "lines": ["tea", "salt"]})
    first = (await over(person, area, 2))[0]
    ended = await over(person, {"id": link}, 2)
    assert [run["status"] for run in ended] == ["success"] * 2, ended
    await person.go(f"/runs/{first['id']}")
    whole = page.get_by_role("region", name="The whole run")
    await expect(whole.get_by_role("listitem")).to_have_count(3)
    await expect(whole.get_by_role("link")).to_have_count(2)
    await axe(person, "a run of a chain")

    await person.go(f"/areas/{link}")
    await chain.get_by_role("button", name="Switch the whole chain off").click()
    await expect(chain.get_by_role("button", name="Switch the whole chain on")).to_be_visible()
    assert not any(each["is_active"] for each in (await person.api("GET", "/api/areas"))["items"])

    await person.go(f"/areas/{area['id']}")
    await page.locator("summary[aria-label='More']").click()
    await page.get_by_role("button", name="Delete with all that follows").click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.wait_for_url("**/")
    assert (await person.api("GET", "/api/areas"))["items"] == []


async def test_an_area_alone_shows_nothing_new_but_then(person):
    area = await hook(person)
    await person.go(f"/areas/{area['id']}")
    await expect(person.page.get_by_role("region", name="Chain")).to_have_count(0)
    await expect(person.page.get_by_role("link", name="Then…")).to_be_visible()


async def test_a_chain_is_one_card_with_one_switch(person):
    page = person.page
    link = {"reaction": {"component": "inbox.post", "parameters": {"title": "y"}}}
    whole = {
        "name": "New issue",
        "action": {"component": "webhook.received", "parameters": {}},
        "reaction": {"component": "inbox.post", "parameters": {"title": "x"}},
        "then": [{**link, "name": "Tell the team", "for_each": "origin.body.people"}, {**link, "name": "Say so", "when": "failed"}],
    }  # fmt: skip
    area = await person.api("POST", "/api/areas", whole)
    await person.go("/")
    await expect(page.locator(".area-card")).to_have_count(1)
    card = page.locator(f"#area-{area['id']}")
    await expect(card.get_by_role("listitem")).to_have_count(2)
    await expect(card).to_contain_text("for each item of origin.body.people")
    await expect(card).to_contain_text("If it fails")
    await axe(person, "a chain's card")
    await card.get_by_role("switch").click()
    await expect(card.get_by_role("switch")).to_have_attribute("aria-checked", "false")
    assert [each["is_active"] for each in (await person.api("GET", "/api/areas"))["items"]] == [False] * 3
    await card.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.locator("#confirm [value=yes]").click()
    await expect(page.get_by_role("heading", name="Your first AREA")).to_be_visible()
    assert (await person.api("GET", "/api/areas"))["items"] == []


async def test_a_run_is_mended_and_continued_from_the_link_that_failed(person):
    page = person.page
    whole = {
        "name": "New order",
        "action": {"component": "webhook.received", "parameters": {}},
        "reaction": {"component": "inbox.post", "parameters": {"title": "x"}},
        "then": [
            {
                "name": "Add a row",
                "reaction": {"component": "inbox.post", "parameters": {"title": "{{origin.body.amount | round}}"}},
                "then": [{"name": "Say so", "reaction": {"component": "inbox.post", "parameters": {"title": "done"}}}],
            }
        ],
    }
    area = await person.api("POST", "/api/areas", whole)
    broken, last = area["chain"]["then"][0], area["chain"]["then"][0]["then"][0]
    await fire(person, area, {"amount": "none"})
    first = (await over(person, area))[0]
    assert [run["status"] for run in await over(person, broken)] == ["failed"]

    await person.go(f"/runs/{first['id']}")
    line = page.get_by_role("region", name="The whole run")
    await expect(line.get_by_role("listitem")).to_have_count(2)
    await axe(person, "a run that failed at a link")
    await page.set_viewport_size(NARROW)
    wide = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    await line.get_by_role("link", name="Edit Add a row").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("textbox", name="Title", exact=True).fill("Mended")
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.wait_for_url(SAVED)

    await person.go(f"/runs/{first['id']}")
    await line.get_by_role("button", name="Continue from here").focus()
    await page.keyboard.press("Enter")
    await page.locator("#confirm [value=yes]").click()
    await page.wait_for_url(lambda address: not address.endswith(f"/{first['id']}"))
    assert [run["status"] for run in await over(person, last)] == ["success"]
    await person.go(f"/runs/{first['id']}")
    await expect(line.get_by_role("listitem")).to_have_count(4)
    await expect(line.get_by_role("button", name="Continue from here")).to_have_count(0)


async def test_items_of_a_list_are_one_line_of_the_run(person):
    link = {"reaction": {"component": "inbox.post", "parameters": {"title": "{{item | round}}"}}}
    whole = {
        "name": "New list",
        "action": {"component": "webhook.received", "parameters": {}},
        "reaction": {"component": "inbox.post", "parameters": {"title": "x"}},
        "then": [{**link, "name": "Add a row", "for_each": "origin.body.rows"}],
    }
    area = await person.api("POST", "/api/areas", whole)
    await fire(person, area, {"rows": [*range(12), "none", *range(8)]})
    first = (await over(person, area))[0]
    await over(person, area["chain"]["then"][0], 21)
    await person.go(f"/runs/{first['id']}")
    lines = person.page.get_by_role("region", name="The whole run")
    await expect(lines.locator(".time-line > li")).to_have_count(4)
    await expect(lines.get_by_role("button", name="Continue from here")).to_have_count(1)
    await lines.get_by_text("12 items succeeded").click()
    await expect(lines.get_by_role("link", name="item 12", exact=True)).to_be_visible()
    await axe(person, "a run with many items")


async def test_a_chains_run_is_one_row_in_the_lists_of_runs(person):
    page = person.page
    post = {"component": "inbox.post", "parameters": {"title": "{{item | round}}"}}
    whole = {
        "name": "New list",
        "action": {"component": "webhook.received", "parameters": {}},
        "reaction": {"component": "inbox.post", "parameters": {"title": "x"}},
        "then": [{"name": "Add a row", "for_each": "origin.body.rows", "reaction": post}],
    }
    area = await person.api("POST", "/api/areas", whole)
    link = area["chain"]["then"][0]
    await person.go("/runs")
    rows = page.locator("#runs .run")
    await fire(person, area, {"rows": [1, 2, 3]})
    await over(person, link, 3)
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("2 links, 3 items")
    await expect(rows.locator(".run-status")).to_have_text("Success")  # live
    await fire(person, area, {"rows": [1, "none"]})
    await over(person, link, 5)
    await expect(rows).to_have_count(2)
    await expect(rows.first.locator(".run-status")).to_have_text("Failed")
    await expect(rows.first).to_contain_text("Add a row: ")
    await page.get_by_label("Failed").check()
    await expect(rows).to_have_count(1)
    await axe(person, "the runs of chains")
    await page.set_viewport_size(NARROW)
    wide = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    await rows.get_by_role("link").click()
    await expect(page.get_by_role("region", name="The whole run").get_by_role("listitem")).to_have_count(3)
    for each in (area, link):
        await person.go(f"/areas/{each['id']}")
        await expect(page.locator("#area-runs .run")).to_have_count(2)


async def test_a_link_is_moved_and_taken_out_with_what_breaks_told_before(person):
    page, keys = person.page, person.page.keyboard
    whole = {
        "name": "New order",
        "action": {"component": "webhook.received", "parameters": {}},
        "reaction": {"component": "inbox.post", "parameters": {"title": "x"}},
        "then": [
            {
                "name": "Look it up",
                "reaction": {"component": "inbox.post", "parameters": {"title": "y"}},
                "then": [
                    {
                        "name": "Tell the team",
                        "reaction": {
                            "component": "inbox.post",
                            "parameters": {"title": "{{steps.look_it_up.notice_id}}"},
                        },
                    }
                ],
            }
        ],
    }
    area = await person.api("POST", "/api/areas", whole)
    middle, last = area["chain"]["then"][0], area["chain"]["then"][0]["then"][0]

    async def tree():
        def outline(link):
            return {link["name"]: [outline(below) for below in link["then"]]}

        return outline((await person.api("GET", f"/api/areas/{area['id']}"))["chain"])

    await person.go(f"/areas/{area['id']}")
    await page.get_by_role("link", name="Move or take out Tell the team").focus()
    await keys.press("Enter")
    await expect(page.get_by_role("radio", name="Look it up")).to_be_checked()
    await axe(person, "moving a link")
    await page.get_by_role("radio", name="Look it up").focus()
    await keys.press("ArrowUp")
    breaks = page.locator("#breaks")
    await expect(breaks).to_contain_text(
        "Tell the team: No AREA before this one is called “look_it_up”".replace("“", '"').replace("”", '"')
    )
    await expect(page.get_by_role("radio", name="New order")).to_be_focused()
    assert await tree() == {"New order": [{"Look it up": [{"Tell the team": []}]}]}  # only told
    await axe(person, "what a move breaks")
    await page.set_viewport_size(NARROW)
    wide = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    await page.get_by_role("button", name="Move", exact=True).focus()
    await keys.press("Enter")
    await page.wait_for_url(SAVED)
    assert await tree() == {"New order": [{"Look it up": []}, {"Tell the team": []}]}
    await expect(page.get_by_role("region", name="Chain")).to_contain_text("No AREA before this one is called")

    await person.go(f"/areas/{last['id']}/move")
    await page.get_by_role("radio", name="Look it up").check()
    await expect(breaks).to_contain_text("Nothing breaks.")
    await page.get_by_role("button", name="Move", exact=True).click()
    await page.wait_for_url(SAVED)
    await expect(page.get_by_text("No AREA before this one is called")).to_have_count(0)

    await person.go(f"/areas/{middle['id']}/move")
    await page.get_by_role("radio", name="Tell the team").check()
    await expect(breaks).to_contain_text("loop")
    await page.get_by_role("checkbox", name="Move it alone").check()
    await expect(breaks).to_contain_text("Tell the team: No AREA")
    await page.get_by_role("radio", name="Take it out of the chain").check()
    await expect(breaks).to_contain_text("Tell the team: No AREA")
    await page.get_by_role("button", name="Take out").click()
    await page.locator("#confirm [value=yes]").click()
    await page.wait_for_url(SAVED)
    assert await tree() == {"New order": [{"Tell the team": []}]}


async def test_a_chain_has_several_actions(person):
    page = person.page
    tell = {"component": "inbox.post", "parameters": {"title": "{{result.notice_id}} of {{origin.body.id}}"}}
    whole = {
        "name": "New order",
        "action": {"component": "webhook.received", "parameters": {}},
        "reaction": {"component": "inbox.post", "parameters": {"title": "Order {{body.id}}"}},
        "then": [{"name": "Tell the team", "reaction": tell}],
    }
    area = await person.api("POST", "/api/areas", whole)
    link = area["chain"]["then"][0]
    await person.go(f"/areas/{area['id']}/edit")
    await page.get_by_role("button", name="Or when…").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/areas/new?or={area['id']}")
    await page.get_by_label("Search actions").fill("every day")
    await page.locator("#found-action-0").click()
    await page.get_by_role("textbox", name="Time", exact=True).fill("08:00")
    await expect(page.get_by_role("textbox", name="Title", exact=True)).to_have_value("Order {{body.id}}")
    await page.get_by_role("textbox", name="Title", exact=True).fill("Morning")
    await axe(person, "a further action")
    await page.set_viewport_size(NARROW)
    wide = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Tell the team: origin has no values")
    assert len((await person.api("GET", "/api/areas"))["items"]) == 2
    forgiven(person, 422)
    await page.locator("#change-action").click()
    await page.get_by_label("Search actions").fill("a request arrives webhook")
    await page.locator("#found-action-0").click()
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.wait_for_url(SAVED)
    chain = page.get_by_role("region", name="Chain")
    await expect(chain).to_contain_text("or after “New order”")
    other = await person.api("GET", f"/api/areas/{page.url.rpartition('/')[2]}")
    for number, each in enumerate((area, other), 1):
        await fire(person, each, {"id": f"A-{number}"})
        await over(person, link, number)
    assert [run["status"] for run in await over(person, link, 2)] == ["success"] * 2
    await person.go(f"/areas/{link['id']}")
    settings = page.get_by_role("region", name="Settings")
    await expect(settings).to_contain_text(f"New order, {other['name']}")

    await page.locator("summary[aria-label='More']").click()
    await page.get_by_role("link", name="Or when…").click()
    await expect(page.get_by_role("textbox", name="Values")).to_have_value('{\n  "notice_id": ""\n}')


async def test_the_whole_chain_is_tested_from_the_editor(person):
    page = person.page
    post = {"component": "inbox.post", "parameters": {"title": "{{steps.look_it_up.value.client.host}}"}}
    look = {"component": "http.get_json", "parameters": {"url": person.server.url + "/about.json"}}
    whole = {
        "name": "New order",
        "action": {"component": "webhook.received", "parameters": {}},
        "reaction": {"component": "inbox.post", "parameters": {"title": "Order {{body.id}}"}},
        "then": [{"name": "Look it up", "reaction": look, "then": [{"name": "Tell the team", "reaction": post}]}],
    }
    area = await person.api("POST", "/api/areas", whole)
    await person.go(f"/areas/{area['chain']['then'][0]['then'][0]['id']}/edit")
    title = page.get_by_role("textbox", name="Title", exact=True)
    await title.fill("It said {{steps.look_it_up.value.client.host}}")
    await page.get_by_role("button", name="Test").focus()
    await page.keyboard.press("Enter")
    dry = page.get_by_role("list", name="What each link would send")
    await expect(dry.get_by_role("listitem")).to_have_count(3)
    await expect(dry).to_contain_text("It said 127.0.0.1")  # really asked
    await axe(person, "a test of a whole chain")
    await page.set_viewport_size(NARROW)
    wide = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    assert (await person.api("GET", "/api/executions"))["items"] == []
    areas = (await person.api("GET", "/api/areas"))["items"]
    assert {each["version"] for each in areas} == {1}  # what was tried is not saved
    await title.fill("{{steps.look_it_up.value.client.host}} again")
    await page.get_by_role("button", name="Test").click()
    await expect(dry).to_contain_text("127.0.0.1 again")

    await person.go(f"/areas/{area['chain']['then'][0]['id']}")
    await page.get_by_role("button", name="Test", exact=True).click()
    await expect(page.locator("#tried")).to_contain_text("Nothing was changed.")
    await expect(dry).to_contain_text("127.0.0.1")
    await axe(person, "a test of a look-up and what follows it")
