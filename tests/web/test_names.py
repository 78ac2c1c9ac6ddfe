"""Names and filters are completed while `{{` is typed: by keyboard, by mouse, and on a telephone."""

from playwright.async_api import expect

from area.kit.template.filters import FILTERS
from tests.web.acting import axe, box, fire, hook, over, settled
from tests.web.conftest import NARROW


async def test_names_and_filters_are_completed_by_keyboard(person):
    page, keys = person.page, person.page.keyboard
    await person.go("/areas/new?action=rss.new_item&reaction=inbox.post")
    names, marked = page.get_by_role("listbox"), page.locator("#names [aria-selected=true]")
    title = page.locator("[name='r.title']")
    await title.focus()
    await keys.type("New: {{au")
    await expect(marked).to_contain_text("author")
    await expect(title).to_have_attribute("role", "combobox")
    await axe(person, "names are completed")
    await settled(page)  # an answer of the server leaves the list as it is
    await expect(title).to_have_attribute("aria-activedescendant", "names-0")
    await keys.press("Enter")
    await expect(names).to_be_hidden()
    await expect(title).to_have_value("New: {{author}}")
    assert await title.get_attribute("role") is None

    await keys.type(" {{")
    first = await marked.text_content()
    await keys.press("ArrowDown")
    assert await marked.text_content() != first
    await keys.press("ArrowUp")
    await keys.press("ArrowUp")  # around
    await expect(names.get_by_role("option").last).to_have_attribute("aria-selected", "true")
    await keys.press("Escape")
    await expect(names).to_be_hidden()
    await expect(title).to_have_value("New: {{author}} {{")
    await expect(title).to_be_focused()

    await keys.type("title | tru")
    await expect(marked).to_contain_text("Shorten")
    await keys.press("Tab")
    await keys.type("40")  # in place of the example's
    await expect(title).to_have_value("New: {{author}} {{title | truncate:40}}")
    await expect(title).to_be_focused()
    await keys.press("End")
    await keys.type(" {{nothing like it")
    await expect(names).to_be_hidden()
    assert await page.locator("#filters option").count() == len(FILTERS)


async def test_a_text_is_not_offered_what_only_a_list_takes(person):
    page, keys = person.page, person.page.keyboard
    await person.go("/areas/new?action=rss.new_item&reaction=inbox.post")
    await page.locator("[name='r.title']").focus()
    await keys.type("{{title | ")
    options = page.get_by_role("listbox").get_by_role("option")
    await expect(options.filter(has_text="Upper case")).to_have_count(1)
    await expect(options.filter(has_text="Sum")).to_have_count(0)


async def test_names_are_completed_by_mouse_in_a_text_of_several_lines(person):
    page, keys = person.page, person.page.keyboard
    await page.set_viewport_size(NARROW)
    area = await hook(person, "New order")
    await fire(person, area, {"id": "A-17", "buyer": {"name": "Ada"}})
    await over(person, area)
    await person.go(f"/areas/new?then={area['id']}")
    await page.get_by_label("Search reactions").fill("post a notice to your inbox")
    await page.locator("#found-reaction-0").click()
    text = page.locator("[name='r.body']")
    await text.focus()
    await keys.type("For {{buyer")
    names = page.get_by_role("listbox")
    await expect(names.get_by_role("group", name="From what happened first")).to_contain_text("Ada")
    inside = "box => { const r = box.getBoundingClientRect(); return r.left >= 0 && r.right <= innerWidth; }"
    assert await names.evaluate(inside)
    await axe(person, "names are completed in a text")
    await names.get_by_role("option").filter(has_text="buyer / name").click()
    await expect(text).to_have_value("For {{origin.body.buyer.name}}")
    await expect(text).to_be_focused()
    await settled(page)
    assert await text.get_attribute("aria-controls") is None


async def test_french_filters(person):
    await person.api("PATCH", "/api/me", {"language": "fr"})
    await person.go("/areas/new?action=rss.new_item&reaction=inbox.post")
    await box(person.page, "Titre").focus()
    await person.page.keyboard.type("{{title | upper")
    await expect(person.page.get_by_role("listbox").get_by_role("option")).to_contain_text("Majuscules")
