"""One AREA in two tabs, and a form that can't be sent: nothing is lost, and what happened is told."""

import re

import pytest
from playwright.async_api import expect

from area.web.editor import merge
from area.web.editor.forms import Form
from area.web.editor.rows import Row, Rows
from tests.web.acting import SAVED, box, forgiven, only_area, settled


def form(**values):
    return Form(**{"action": "webhook.received", "reaction": "inbox.post", "name": "Orders", **values})


ROW = Rows(rows=[Row(name="0", field="method", operator="==", value="POST")])


@pytest.mark.parametrize(
    ("mine", "theirs", "taken", "both", "result"),
    [
        # the same as saved; only mine; only theirs; the same twice; one field each; the same field
        ({}, {}, [], [], {}),
        ({"name": "Mine"}, {}, [], [], {"name": "Mine"}),
        ({}, {"name": "Theirs"}, ["name"], [], {"name": "Theirs"}),
        ({"name": "Same"}, {"name": "Same"}, [], [], {"name": "Same"}),
        (
            {"name": "Mine"},
            {"reaction_values": {"title": "Theirs"}},
            ["r.title"],
            [],
            {"name": "Mine", "reaction_values": {"title": "Theirs"}},
        ),
        ({"name": "Mine"}, {"name": "Theirs"}, [], ["name"], {"name": "Mine"}),
        ({"is_active": True}, {"is_active": False}, ["is_active"], [], {"is_active": False}),
        ({}, {"condition": ROW}, ["a.only_if"], [], {"condition": ROW}),
        ({"condition": ROW}, {"condition": Rows()}, [], [], {"condition": ROW}),
        ({}, {"reaction_values": {}}, ["r.title"], [], {"reaction_values": {}}),
        # another component is taken over with all its values, or kept
        (
            {},
            {"reaction": "http.request", "reaction_values": {"url": "https://example.org"}},
            ["reaction"],
            [],
            {"reaction": "http.request", "reaction_values": {"url": "https://example.org"}},
        ),
        (
            {"reaction": "http.request", "reaction_values": {"url": "https://example.org"}},
            {"reaction_values": {"title": "Theirs"}},
            [],
            ["reaction"],
            {"reaction": "http.request", "reaction_values": {"url": "https://example.org"}},
        ),
        (
            {"action_connection": "Work"},
            {"action_connection": "Home"},
            [],
            ["connection.action"],
            {"action_connection": "Work"},
        ),
    ],
)
def test_merging(mine, theirs, taken, both, result):
    before = form(reaction_values={"title": "Before"})
    typed = before.model_copy(deep=True, update={**mine, "base": merge.base_of(before)})
    saved = before.model_copy(deep=True, update=theirs)
    merged = merge.merge(typed, saved)
    assert (merged.taken, merged.both) == (taken, both)
    assert typed.model_dump(exclude={"base"}) == before.model_copy(update=result).model_dump(exclude={"base"})
    assert merge.merge(typed, saved) == merge.Merged(), "it is told once"


async def edited(person):
    """An AREA, open in two tabs."""
    area = await person.make(
        "webhook.received", "inbox.post", "Orders", reaction_parameters={"title": "Title", "body": "Body"}
    )
    await person.go(f"/areas/{area['id']}/edit")
    other = await person.context.new_page()
    await other.goto(f"{person.server.url}/areas/{area['id']}/edit")
    await other.wait_for_load_state("load")
    return person.page, other


async def save(page):
    await page.get_by_role("button", name="Save").click()


async def test_two_tabs_that_change_different_fields_lose_nothing(person):
    page, other = await edited(person)
    await box(page, "Title").fill("From one tab")
    await save(page)
    await expect(page).to_have_url(SAVED)
    await box(other, "Name").fill("From the other")
    await save(other)
    message = other.locator("#merged")
    await expect(message).to_contain_text("This AREA was changed elsewhere while you were editing it.")
    await expect(message).to_contain_text("Merged from the other change: Title")
    await expect(box(other, "Title")).to_have_value("From one tab")
    assert (await only_area(person))["name"] == "Orders", "nothing is saved that nobody has seen"
    await save(other)
    await expect(other).to_have_url(SAVED)
    area = await only_area(person)
    assert (area["name"], area["reaction"]["parameters"]["title"]) == ("From the other", "From one tab")


async def test_two_tabs_that_change_one_field_are_told(person):
    page, other = await edited(person)
    await box(page, "Title").fill("From one tab")
    await save(page)
    await expect(page).to_have_url(SAVED)
    await box(other, "Title").fill("From the other")
    message = other.locator("#merged")
    await expect(message).to_contain_text("Changed in both places. Saving keeps what you typed and replaces:")
    await expect(message.locator("dt")).to_have_text("Title")
    await expect(message.locator("dd")).to_have_text("From one tab")
    await settled(other)
    await other.reload()
    await expect(box(other, "Title")).to_have_value("From the other")
    await save(other)
    await expect(other).to_have_url(SAVED)
    assert (await only_area(person))["reaction"]["parameters"]["title"] == "From the other"


async def test_a_draft_of_an_area_that_was_changed_since_takes_it_over(person):
    page, other = await edited(person)
    await box(page, "Name").fill("Half done")
    await expect(page.get_by_text("Draft saved")).to_be_visible()
    await other.close()
    area = await only_area(person)
    changed = {**area["reaction"]["parameters"], "title": "By the API"}
    reaction = {"component": "inbox.post", "parameters": changed}
    await person.api("PATCH", f"/api/areas/{area['id']}", {"reaction": reaction})
    await person.go(f"/areas/{area['id']}/edit")
    await expect(page.locator("#merged")).to_contain_text("Merged from the other change: Title")
    await expect(box(page, "Title")).to_have_value("By the API")
    await expect(box(page, "Name")).to_have_value("Half done")
    await page.get_by_role("button", name="Discard my changes").click()
    await page.locator("#confirm").get_by_role("button", name="Discard").click()
    await expect(box(page, "Name")).to_have_value("Orders")
    await expect(page.locator("#merged")).to_have_count(0)


async def test_cancel_leaves_no_draft(person):
    page, other = await edited(person)
    await other.close()
    await box(page, "Title").fill("Abandoned")
    await expect(page.get_by_text("Draft saved")).to_be_visible()
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await page.locator("#confirm").get_by_role("button", name="Discard").click()
    await expect(page).to_have_url(SAVED)
    area = await only_area(person)
    assert area["reaction"]["parameters"]["title"] == "Title"
    await person.go(f"/areas/{area['id']}/edit")
    await expect(box(page, "Title")).to_have_value("Title")
    await expect(page.get_by_text("Draft restored")).to_have_count(0)
    await page.get_by_role("button", name="Cancel", exact=True).click()  # nothing to ask about
    await expect(page).to_have_url(SAVED)


async def test_what_could_not_be_sent_is_said_and_is_kept(person):
    page, other = await edited(person)
    await other.close()
    await page.route("**/areas/editor", lambda route: route.abort("connectionrefused"))
    await box(page, "Title").fill("While the server was away")
    await expect(page.locator("#draft-state")).to_contain_text("Not saved: AREA can")
    requests = []

    async def stay(dialog):
        requests.append(dialog.type)
        await dialog.accept()

    page.on("dialog", stay)
    await page.get_by_role("link", name="Services").first.click()
    await expect(page).to_have_url(re.compile("/services$"))
    assert requests == ["beforeunload"]
    await page.unroute("**/areas/editor")
    await page.go_back()
    await expect(box(page, "Title")).to_have_value("While the server was away")
    await expect(page.locator("#draft-state")).to_have_text("Draft saved")
    person.complaints[:] = [
        complaint
        for complaint in person.complaints
        if "CONNECTION_REFUSED" not in complaint and "Failed to fetch" not in complaint
    ]


async def test_what_was_typed_just_before_leaving_is_in_the_draft(person):
    page, other = await edited(person)
    await other.close()
    await box(page, "Title").fill("Just before")
    await page.get_by_role("link", name="Services").first.click()
    await expect(page).to_have_url(re.compile("/services$"))
    await page.go_back()
    await expect(box(page, "Title")).to_have_value("Just before")
    forgiven(person, 422)
