"""Two-factor authentication in Chromium: an app, and passkeys of a virtual authenticator."""

import json
from uuid import uuid4

import pyotp
import pytest
from playwright.async_api import expect

from tests.web.conftest import PASSWORD, Person, arrive, at_localhost, authenticator


@pytest.fixture(scope="module")
def local(memory, module_dsn):
    """An installation at localhost: where browsers allow passkeys without https."""
    with at_localhost(memory, module_dsn) as server:
        yield server


async def sign_out(page):
    await page.locator("summary[aria-label='Your account']").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()


async def sign_in(page, name, url):
    await page.goto(f"{url}/sign-in?next=/profile")
    await page.get_by_label("E-mail address or username").fill(name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()


async def test_an_app_is_added_asked_for_and_removed(local, browser):
    person: Person = await arrive(local, browser, f"app{uuid4().hex[:6]}")
    page = person.page
    await person.go("/profile/security")
    await page.get_by_role("link", name="Set up").click()
    form = page.locator("form[action='/profile/two-factor/app']")
    await form.get_by_label("Your password").fill(PASSWORD)
    await form.get_by_role("button", name="Set up an app").click()
    await expect(page.locator(".qr svg")).to_be_visible()
    secret = await page.locator("#totp-secret").inner_text()
    await page.get_by_role("textbox", name="Code").fill(pyotp.TOTP(secret).now())
    await page.get_by_role("button", name="Confirm").click()
    codes = (await page.locator("#codes").inner_text()).split()
    assert len(codes) == 10
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download").click()
    assert (await (await download.value).path()).read_text().split() == codes
    await page.get_by_role("link", name="I have saved them").click()
    await expect(page.get_by_text("Left: 10.")).to_be_visible()

    await sign_out(page)
    await sign_in(page, person.name, local.url)
    await expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    await page.get_by_role("textbox", name="Code").fill("not-a-code")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("alert").filter(has_text="Incorrect code")).to_be_visible()
    await page.get_by_role("textbox", name="Code").fill(codes[0])
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("heading", name="Profile")).to_be_visible()

    await person.go("/profile/two-factor")
    form = page.locator("form[action='/profile/two-factor/app/remove']")
    await form.get_by_label("Your password").fill(PASSWORD)
    await form.get_by_role("button", name="Remove app").click()
    await page.locator("#confirm").get_by_role("button", name="Remove").click()
    await expect(page.get_by_text("App removed.")).to_be_visible()
    await person.context.close()


async def test_a_passkey_is_added_and_signs_in_alone_and_as_second_factor(local, browser):
    person: Person = await arrive(local, browser, f"key{uuid4().hex[:6]}")
    page = person.page
    reader, number = await authenticator(page)
    await person.go("/profile/two-factor")
    await page.get_by_label("Name").fill("Laptop")
    form = page.locator("form[action='/profile/passkeys']")
    await form.get_by_label("Your password").fill("wrong password")
    await form.get_by_role("button", name="Add a passkey").click()
    await expect(form.get_by_text("Incorrect password.")).to_be_visible()
    await form.get_by_label("Your password").fill(PASSWORD)
    await form.get_by_role("button", name="Add a passkey").click()
    await expect(page.locator("#codes")).to_be_visible()
    stored = await reader.send("WebAuthn.getCredentials", {"authenticatorId": number})
    assert [(credential["isResidentCredential"], credential["rpId"]) for credential in stored["credentials"]] == [
        (True, "localhost")
    ]

    await sign_out(page)
    await page.goto(f"{local.url}/sign-in?next=/profile")
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(page.get_by_role("heading", name="Profile")).to_be_visible()

    await sign_out(page)
    await sign_in(page, person.name, local.url)
    await page.get_by_role("button", name="Use a passkey").click()
    await expect(page.get_by_role("heading", name="Profile")).to_be_visible()

    await person.go("/profile/two-factor")
    await page.locator("details", has_text="Laptop").locator("summary").click()
    await page.locator("details[open]").get_by_role("button", name="Use a passkey instead").click()
    await expect(page.get_by_text("Passkey removed.")).to_be_visible()
    assert not (await person.api("GET", "/api/me"))["two_factor"]

    await sign_out(page)
    await page.goto(f"{local.url}/sign-in")
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(page.get_by_text("Unknown passkey. Use another one.")).to_be_visible()
    await person.context.close()


@pytest.mark.parametrize("handle", [None, "", "c29tZWJvZHkgZWxzZQ", "not base64 at all!", 7])
async def test_a_passkey_must_name_its_own_account(local, browser, handle):
    """The signature doesn't cover the user handle (https://www.w3.org/TR/webauthn-3/#sctn-verifying-assertion)."""
    person: Person = await arrive(local, browser, f"key{uuid4().hex[:6]}")
    page = person.page
    await authenticator(page)
    await person.go("/profile/two-factor")
    await page.get_by_label("Name").fill("Laptop")
    form = page.locator("form[action='/profile/passkeys']")
    await form.get_by_label("Your password").fill(PASSWORD)
    await form.get_by_role("button", name="Add a passkey").click()
    await expect(page.locator("#codes")).to_be_visible()
    await sign_out(page)
    await page.goto(f"{local.url}/sign-in?next=/profile")

    async def forge(route):
        body = route.request.post_data_json
        assert body["credential"]["response"]["userHandle"]
        body["credential"]["response"]["userHandle"] = handle
        await route.continue_(post_data=json.dumps(body))

    await page.route("**/api/auth/passkey", forge)
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(page.get_by_text("The passkey was not accepted.")).to_be_visible()
    await page.unroute("**/api/auth/passkey")
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(page.get_by_role("heading", name="Profile")).to_be_visible()
    await person.context.close()


async def test_who_does_not_verify_is_refused(local, browser):
    person: Person = await arrive(local, browser, f"no{uuid4().hex[:6]}")
    page = person.page
    reader, number = await authenticator(page)
    await reader.send("WebAuthn.setUserVerified", {"authenticatorId": number, "isUserVerified": False})
    await person.go("/profile/two-factor")
    await page.get_by_label("Name").fill("Laptop")
    form = page.locator("form[action='/profile/passkeys']")
    await form.get_by_label("Your password").fill(PASSWORD)
    await form.get_by_role("button", name="Add a passkey").click()
    await expect(form.get_by_text("No passkey was created.")).to_be_visible()
    assert (await person.api("GET", "/api/me/passkeys"))["items"] == []
    await person.context.close()
