"""Signing up and signing in with a provider, in the browser, against a real authorization server (npm's oidc-provider)."""

import json
import os
import re
import subprocess

import pytest
from playwright.async_api import Page, expect

from tests.npm import MODULES, ROOT, node
from tests.web.conftest import PASSWORD, arrive, free_port, installation

SECRET = "a-secret-of-more-than-thirty-two-characters"
ACCOUNTS = {"eve": {"email": "eve@example.org", "email_verified": True, "name": "Eve", "preferred_username": "eve"}}


@pytest.fixture
def provider():
    if not (MODULES / "oidc-provider").is_dir():
        pytest.skip("not run: oidc-provider is not there; npm could not fetch it")
    port = free_port()
    client = {
        "client_id": "area",
        "client_secret": SECRET,
        "redirect_uris": [f"http://127.0.0.1:{port}/api/auth/oidc/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
    }
    process = subprocess.Popen(
        [
            *node()[0],
            str(ROOT / "tests" / "npm" / "provider.mjs"),
            json.dumps({"accounts": ACCOUNTS, "clients": [client]}),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "AREA_TEST_NPM": str(MODULES.parent)},
    )
    try:
        assert process.stdout is not None
        issuer = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        yield {
            "AREA_PORT": str(port),
            "AREA_OIDC_ISSUER": issuer,
            "AREA_OIDC_CLIENT_ID": "area",
            "AREA_OIDC_CLIENT_SECRET": SECRET,
            "AREA_OIDC_NAME": "Example Login",
        }
    finally:
        process.kill()
        if process.stdout:
            process.stdout.close()
        process.wait()


async def answer(page: Page, provider: dict[str, str], **values: object) -> None:
    """Who is at the provider, and whether they agree."""
    await page.request.get(
        f"{provider['AREA_OIDC_ISSUER']}/test/set", params={name: json.dumps(value) for name, value in values.items()}
    )


async def test_sign_up_sign_in_and_refuse(browser, tmp_path, provider):
    with installation(tmp_path / "new", **provider) as server:
        await (await arrive(server, browser, "root")).context.close()
        context = await browser.new_context(locale="en-GB", reduced_motion="reduce")
        page = await context.new_page()

        await page.goto(f"{server.url}/sign-in?next=/profile")
        await answer(page, provider, deny=True)
        await page.get_by_role("link", name="Continue with Example Login").click()
        await expect(page).to_have_url(re.compile(r"127\.0\.0\.1:\d+/(sign-in|profile)"))
        assert not any(one["name"] == "area_session" for one in await context.cookies())

        await page.goto(f"{server.url}/sign-in?next=/profile")
        await answer(page, provider, deny=False, account="eve")
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
