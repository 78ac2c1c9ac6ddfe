"""Signing up and signing in with a provider, in the browser, against a real authorization server (npm's oidc-provider)."""

import re

import pytest
from playwright.async_api import expect

from tests.ports import free_port
from tests.web.conftest import PASSWORD, arrive, installation, room
from tests.web.provider import authorization_server, connector, issuer, registered


@pytest.fixture
def provider(memory, dsn):
    callbacks = ["/api/auth/oidc/callback", "/api/auth/vendor/callback"]
    with room(memory) as folder, authorization_server(port := free_port(), callbacks) as running:
        settings = issuer(running, port) | connector(running.issuer, folder / "package") | registered()
        yield running, folder, settings | {"AREA_DATABASE_URL": dsn}


async def test_sign_up_refuse_link_remove_and_sign_in(browser, provider):
    vendor, folder, settings = provider
    with installation(folder / "area", **settings) as server:
        await (await arrive(server, browser, "root")).context.close()
        context = await browser.new_context(locale="en-GB", reduced_motion="reduce")
        page = await context.new_page()

        await page.goto(f"{server.url}/sign-in?next=/profile")
        await vendor.set(deny=True)
        await page.get_by_role("link", name="Continue with Example Login").click()
        await expect(page).to_have_url(re.compile(r"127\.0\.0\.1:\d+/(sign-in|profile)"))
        assert not any(cookie["name"] == "area_session" for cookie in await context.cookies())

        await page.goto(f"{server.url}/sign-in?next=/profile")
        await vendor.set(deny=False, account="eve")
        await page.get_by_role("link", name="Continue with Example Login").click()
        await expect(page.get_by_role("heading", name="Profile")).to_be_visible()
        me = await (await context.request.get(f"{server.url}/api/me")).json()
        assert me["email"] == "eve@example.org"
        assert not me["has_password"]

        await page.goto(f"{server.url}/profile/security")
        logins = page.locator("section", has=page.get_by_role("heading", name="Providers you sign in with"))
        await expect(logins).to_contain_text("Example Login")
        await expect(logins).to_contain_text("eve@example.org")
        await expect(logins).to_contain_text("This is your only way to sign in")
        await expect(logins.get_by_role("button", name="Remove")).to_have_count(0)
        refused = await context.request.delete(f"{server.url}/api/me/logins/oidc", headers={"Origin": server.url})
        assert refused.status == 409
        await logins.get_by_role("button", name="Link Vendor").click()
        await logins.get_by_role("link", name="Continue with Vendor").click()
        await expect(logins.get_by_role("button", name="Remove")).to_have_count(2)
        await expect(logins.get_by_role("link")).to_have_count(0)
        await logins.get_by_role("button", name="Remove Vendor").click()
        await page.locator("#confirm").get_by_role("button", name="Remove").click()
        await expect(page.get_by_text("Provider removed.")).to_be_visible()
        await expect(logins).to_contain_text("This is your only way to sign in")
        await page.get_by_role("textbox", name="New password").fill(PASSWORD)
        await page.get_by_role("button", name="Set password").click()
        me = await (await context.request.get(f"{server.url}/api/me")).json()
        assert me["has_password"]
        await expect(logins.get_by_role("button", name="Remove Example Login")).to_be_visible()

        await page.locator("summary[aria-label='Your account']").click()
        await page.get_by_role("button", name="Sign out", exact=True).click()
        await page.get_by_role("link", name="Continue with Example Login").click()
        await expect(page.get_by_role("heading", name="Your first AREA")).to_be_visible()
        users = await (await context.request.get(f"{server.url}/api/me")).json()
        assert users["id"] == me["id"]
        await context.close()
