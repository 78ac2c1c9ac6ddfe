"""Signing up and signing in with a provider, in the browser, against a real authorization server (npm's oidc-provider)."""

import re

import pytest
from playwright.async_api import expect

from tests.web.conftest import PASSWORD, arrive, free_port, installation
from tests.web.provider import authorization_server, issuer


@pytest.fixture
def provider():
    with authorization_server(port := free_port(), ["/api/auth/oidc/callback"]) as one:
        yield one, issuer(one, port)


async def test_sign_up_sign_in_and_refuse(browser, tmp_path, provider):
    vendor, settings = provider
    with installation(tmp_path / "new", **settings) as server:
        await (await arrive(server, browser, "root")).context.close()
        context = await browser.new_context(locale="en-GB", reduced_motion="reduce")
        page = await context.new_page()

        await page.goto(f"{server.url}/sign-in?next=/profile")
        await vendor.set(deny=True)
        await page.get_by_role("link", name="Continue with Example Login").click()
        await expect(page).to_have_url(re.compile(r"127\.0\.0\.1:\d+/(sign-in|profile)"))
        assert not any(one["name"] == "area_session" for one in await context.cookies())

        await page.goto(f"{server.url}/sign-in?next=/profile")
        await vendor.set(deny=False, account="eve")
        await page.get_by_role("link", name="Continue with Example Login").click()
        await expect(page.get_by_role("heading", name="Profile")).to_be_visible()
        me = await (await context.request.get(f"{server.url}/api/me")).json()
        assert me["email"] == "eve@example.org"
        assert not me["has_password"]

        await page.goto(f"{server.url}/profile/security")
        await page.get_by_role("textbox", name="New password").fill(PASSWORD)
        await page.get_by_role("button", name="Set the password").click()
        me = await (await context.request.get(f"{server.url}/api/me")).json()
        assert me["has_password"]

        await page.locator("summary[aria-label='Your account']").click()
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("link", name="Continue with Example Login").click()
        await expect(page.get_by_role("heading", name="Your first AREA")).to_be_visible()
        users = await (await context.request.get(f"{server.url}/api/me")).json()
        assert users["id"] == me["id"]
        await context.close()
