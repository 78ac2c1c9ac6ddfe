"""Credentials of HTTP in the browser: a secret moves out of a header, is listed on the service's page, and is removed."""

import pytest

from tests.web.conftest import Person

SECRET = "canary-in-a-header"
PARAMETERS = {"url": "https://api.example.com/orders", "headers": f"Authorization: Bearer {SECRET}\nAccept: text/plain"}


async def test_a_secret_moves_into_a_credential_and_is_listed_there(person: Person):
    area = await person.make("webhook.received", "http.request", reaction_parameters=PARAMETERS, is_active=False)
    page, address = person.page, f"/api/areas/{area['id']}"
    await person.go(f"/areas/{area['id']}/edit")
    assert SECRET not in await page.content()
    await page.get_by_role("button", name="Move to a credential").click()
    await page.get_by_text("The secret is now in the credential api.example.com.").wait_for()
    assert await page.get_by_label("Credential").input_value() == "api.example.com"
    await page.get_by_role("button", name="Save").click()
    await page.wait_for_url(f"**/areas/{area['id']}")
    reaction = (await person.api("GET", address))["reaction"]
    assert reaction["connection"] == "api.example.com"
    assert reaction["parameters"]["headers"] in ("Accept: text/plain", {"Accept": "text/plain"})
    await person.go("/services/http")
    card = page.locator(".account")
    assert await card.get_by_role("heading").inner_text() == "api.example.com"
    assert area["name"] in await card.inner_text()
    assert SECRET not in await page.content()
    await person.api("DELETE", address)
    await person.api("DELETE", "/api/connections/http?name=api.example.com")
    await person.go("/services/http")
    assert await page.locator(".account").count() == 0
    assert person.complaints == []


@pytest.mark.parametrize(
    ("kind", "fields"), [("bearer", ["token"]), ("basic", ["user", "password"]), ("header", ["name", "value"])]
)
async def test_the_form_shows_the_fields_of_the_chosen_kind(person: Person, kind: str, fields: list[str]):
    page = person.page
    await person.go("/services/http")
    await page.locator("#n-kind").select_option(kind)
    every = ["token", "user", "password", "name", "value", "token_url", "client_id", "client_secret", "scope"]
    shown = [field for field in every if await page.locator(f"#n-{field}").is_visible()]
    assert shown == fields
    await page.locator("#n-url").fill("https://api.example.com/")
    await page.get_by_role("button", name="Connect", exact=True).click()
    await page.get_by_text("Nothing was saved").wait_for()
    assert await page.locator(".field-error").count() == len(fields)
    assert all("422" in complaint for complaint in person.complaints)
    person.complaints.clear()


async def test_a_credential_is_renamed_and_a_name_that_is_taken_is_refused(person: Person):
    for name in ("work", "home"):
        form = {"url": f"{person.server.url}/readyz", "kind": "bearer", "token": "t"}
        await person.api("POST", f"/api/connections/http?name={name}", form)
    page = person.page
    await person.go("/services/http")
    work = page.locator(".account").filter(has=page.get_by_role("heading", name="work", exact=True))
    await work.get_by_text("Rename", exact=True).click()
    await work.get_by_label("New name").fill("home")
    await work.get_by_role("button", name="Save name").click()
    await page.get_by_text("You already have a connection called home.").wait_for()
    assert await page.get_by_label("New name").locator("visible=true").input_value() == "home"
    assert all("409" in complaint for complaint in person.complaints)
    person.complaints.clear()
    await page.get_by_label("New name").locator("visible=true").fill("Night shift")
    await page.get_by_role("button", name="Save name").locator("visible=true").click()
    await page.get_by_text("Renamed to Night shift.").wait_for()
    assert sorted(await page.locator(".account h3").all_inner_texts()) == ["Night shift", "home"]
    await page.set_viewport_size({"width": 390, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for name in ("Night shift", "home"):
        await person.api("DELETE", f"/api/connections/http?name={name}")
