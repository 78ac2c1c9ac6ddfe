"""Connecting a service at its own site, in the browser, against a real authorization server (npm's oidc-provider)."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import expect
from starlette.requests import Request

from area.doors import browser as said
from tests.ports import free_port
from tests.web.conftest import PASSWORD, Person, Server, arrive, installation, make_root, room
from tests.web.provider import Provider, authorization_server, connector, registered


@dataclass
class World:
    """AREA, the vendor, and an administrator."""

    server: Server
    vendor: Provider


@pytest.fixture(scope="module")
def _world(memory, module_dsn):
    callback = "/api/auth/vendor/callback"
    with room(memory) as folder, authorization_server(port := free_port(), [callback]) as vendor:
        notion = {"AREA_NOTION_CLIENT_ID": "id", "AREA_NOTION_CLIENT_SECRET": "secret"}
        settings = connector(vendor.issuer, folder / "package") | registered() | notion
        database = {"AREA_DATABASE_URL": module_dsn}
        with installation(folder / "area", AREA_PORT=str(port), **settings, **database) as server:
            yield World(server, vendor)


@pytest_asyncio.fixture
async def world(_world, browser):
    await make_root(_world.server, browser)
    await _world.vendor.set(account="eve", deny=False, ttl=3600)
    return _world


@pytest_asyncio.fixture
async def person(world, browser):
    visitor = await arrive(world.server, browser)
    yield visitor
    await visitor.context.close()
    at_the_vendor = f"a request to {world.vendor.issuer}"
    assert not [complaint for complaint in visitor.complaints if not complaint.startswith(at_the_vendor)]


async def scopes(person: Person) -> list[str]:
    return sorted((await person.api("GET", "/api/connections/vendor"))["scopes"])


async def test_connecting_in_the_middle_of_the_editor_returns_to_the_same_place(world, person):
    page = person.page
    await person.go("/areas/new?reaction=vendor.tell")
    await expect(page.get_by_text("Connect your Vendor account.")).to_be_visible()
    await page.get_by_role("textbox", name="Text").fill("It is so")
    await expect(page.locator("#draft-state")).to_have_text("Draft saved")
    await page.get_by_role("link", name="Connect Vendor", exact=True).click()
    await expect(page.get_by_text("Vendor connected.")).to_be_visible()
    await expect(page).to_have_url(f"{world.server.url}/areas/new?reaction=vendor.tell")
    await expect(page.get_by_role("textbox", name="Text")).to_have_value("It is so")
    await expect(page.locator("#part-reaction .connect")).to_have_count(0)
    assert await scopes(person) == ["offline_access", "openid", "profile", "write"]


async def test_what_was_not_allowed_yet_is_asked_for_when_it_is_needed(person):
    page = person.page
    await person.go("/services/vendor")
    await page.get_by_role("link", name="Connect Vendor", exact=True).click()
    await expect(page.get_by_text("Vendor connected.")).to_be_visible()
    assert await scopes(person) == ["offline_access", "openid", "profile"]
    await person.go("/areas/new?action=vendor.seen")
    await expect(page.locator("#part-action .connect")).to_have_count(0)
    await person.go("/areas/new?reaction=vendor.tell")
    await expect(page.get_by_text("Vendor needs an additional permission.")).to_be_visible()
    await page.get_by_role("link", name="Allow at Vendor").click()
    await expect(page.get_by_text("Vendor connected.")).to_be_visible()
    await expect(page.locator("#part-reaction .connect")).to_have_count(0)
    assert await scopes(person) == ["offline_access", "openid", "profile", "write"]


async def test_connect_test_connect_again_and_disconnect(world, person):
    page = person.page
    await person.go("/services")
    card = page.locator(".service-card", has=page.get_by_role("link", name="Vendor", exact=True))
    await expect(card).to_contain_text("Not connected")
    await card.get_by_role("link", name="Vendor", exact=True).click()
    await world.vendor.set(deny=True)
    await page.get_by_role("link", name="Connect Vendor", exact=True).click()
    await expect(page.get_by_text("You didn't give AREA access to Vendor. Nothing has changed.")).to_be_visible()
    assert not (await person.api("GET", "/api/connections/vendor"))["connected"]
    await world.vendor.set(deny=False)
    await page.get_by_role("link", name="Connect Vendor", exact=True).click()
    connection = page.locator("#connection")
    await expect(connection).to_contain_text("Connected")
    await expect(connection).to_contain_text("Eve")
    await expect(connection).to_contain_text("offline_access")
    await page.get_by_role("button", name="Test now").click()
    await expect(page.get_by_text("Vendor works.")).to_be_visible()
    await world.vendor.set(account="ann")
    await page.context.clear_cookies(name="_session")
    await page.get_by_role("link", name="Reconnect").click()
    await expect(connection).to_contain_text("Ann")
    await page.get_by_role("button", name="Disconnect").click()
    await expect(page.locator("#confirm")).to_contain_text("This revokes AREA")
    await page.locator("#confirm").get_by_role("button", name="Disconnect").click()
    await expect(page.get_by_text("Vendor disconnected.")).to_be_visible()
    assert not (await person.api("GET", "/api/connections/vendor"))["connected"]


async def test_connection_lost_and_back(world, person):
    page = person.page
    await person.go("/services/vendor")
    await page.get_by_role("link", name="Connect Vendor", exact=True).click()
    await expect(page.get_by_text("Vendor connected.")).to_be_visible()
    area = await person.make("webhook.received", "vendor.tell", "Tell them", reaction_parameters={"text": "{{method}}"})
    statuses = functools.partial(_statuses, person, area)

    async def fire() -> None:
        assert (await page.request.post(area["webhook_url"], data={"number": 1})).ok

    await fire()
    await eventually(statuses, ["success"])
    await person.go(f"/areas/{area['id']}")
    await expect(page.locator("#state")).to_contain_text("OK")

    await world.vendor.end()
    await fire()
    await expect(page.locator("#state")).to_contain_text("Needs a connection")  # without a reload
    await expect(page.locator("#state").get_by_role("link", name="Connect Vendor")).to_be_visible()
    await fire()
    await eventually(statuses, ["pending", "pending", "success"])
    await expect(page.locator("[data-unread]").first).to_have_text("1")  # told once
    await person.go("/?state=waiting_for_connection")
    card = page.locator(".area-card", has=page.get_by_role("link", name="Tell them"))
    await expect(card).to_contain_text("Needs a connection")
    await card.get_by_role("link", name="Connect Vendor").click()
    await expect(page.get_by_text("Vendor rejected this connection")).to_be_visible()
    await page.get_by_role("link", name="Reconnect Vendor").click()
    await expect(page.get_by_text("Vendor connected.")).to_be_visible()
    await expect(card).to_contain_text("OK")
    await eventually(statuses, ["success"] * 3)
    await fire()
    await eventually(statuses, ["success"] * 4)


async def _statuses(person: Person, area: dict[str, Any]) -> list[str]:
    rows = (await person.api("GET", f"/api/executions?area_id={area['id']}"))["items"]
    return [row["status"] for row in rows]


async def eventually(look: Callable[[], Awaitable[Any]], expected: Any) -> None:
    end = time.monotonic() + 60
    while (value := await look()) != expected:
        assert time.monotonic() < end, value
        await asyncio.sleep(0.1)


async def test_a_service_that_area_is_not_registered_at(world, person, browser):
    page = person.page
    await person.go("/services/stranger")
    await expect(page.locator("#connection")).to_contain_text("Not available on this server")
    await expect(page.locator("#connection")).to_contain_text("Ask an administrator to do this.")
    await expect(page.locator("#connection a.btn")).to_have_count(0)
    await expect(page.get_by_text("STRANGER_CLIENT_ID")).to_have_count(0)
    await person.go("/areas/new?action=webhook.received")
    await expect(page.locator("#found-reaction .tiles li").last).to_contain_text("Not available on this server")
    await person.go("/areas/new?reaction=stranger.say")
    await expect(page.get_by_text("be connected yet")).to_be_visible()
    await page.get_by_role("link", name="See what you can do").click()
    await expect(page.get_by_role("link", name="Back", exact=True)).to_be_visible()
    await page.goto(f"{world.server.url}/api/connections/stranger/authorize?next=/services/stranger")
    await expect(page.get_by_text("Stranger isn't available on this server yet")).to_be_visible()

    root = await arrive(world.server, browser, "root")
    await root.go("/services/stranger")
    for text in (
        f"{world.server.url}/api/auth/stranger/callback",
        "AREA_STRANGER_CLIENT_ID=",
        "AREA_STRANGER_CLIENT_SECRET=",
    ):
        await expect(root.page.locator("#connection")).to_contain_text(text)
    await root.page.get_by_role("link", name="All registrations").click()
    await expect(root.page.locator("#client-vendor")).to_contain_text("Registered")
    stranger = root.page.locator("#client-stranger")
    await expect(stranger).to_contain_text("Not registered")
    await stranger.get_by_text("How to register AREA with Stranger").click()
    await expect(stranger.get_by_text(f"{world.server.url}/api/auth/stranger/callback", exact=True)).to_be_visible()
    await expect(root.page.locator("#client-oidc")).to_contain_text("AREA_OIDC_ISSUER=")
    await root.context.close()
    assert not root.complaints


async def test_what_came_of_it_is_told_in_the_readers_language(world, browser):
    person = await arrive(world.server, browser, locale="fr-FR")
    await world.vendor.set(deny=True)
    await person.go("/services/vendor")
    await person.page.get_by_role("link", name="Connecter Vendor", exact=True).click()
    await expect(person.page.get_by_text("Vous n\u2019avez pas donné à AREA l\u2019accès à Vendor")).to_be_visible()
    await world.vendor.set(deny=False)
    await person.page.get_by_role("link", name="Connecter Vendor", exact=True).click()
    await expect(person.page.get_by_text("connexion établie")).to_be_visible()
    await person.page.reload()
    await expect(person.page.get_by_text("connexion établie")).to_have_count(0)
    await person.context.close()


@pytest.mark.parametrize(
    ("cookie", "shown"),
    [
        ("", None),
        ("Hello", None),
        ("%5B1%2C2%5D", None),
        ("%7B%22a%22%3A1%7D", None),
        (quote('{"key": "%(name)s works.", "values": {"name": "Ann"}}'), "Ann works."),
        (quote('{"key": "%(name)s: 100 %, %(other)s", "values": {"name": "Ann"}}'), "Ann: 100 %, %(other)s"),
        (quote('{"key": "%(name)99999999s", "values": {"name": "Ann"}}'), "%(name)99999999s"),
    ],
)
def test_a_sentence_in_a_cookie_is_read_or_it_is_none_and_does_nothing_else(cookie, shown):
    headers = [(b"cookie", f"{said.SAID}={cookie}".encode())]
    assert said.said(Request({"type": "http", "headers": headers})) == shown


async def test_a_session_that_has_ended_leads_to_signing_in(world, person):
    page = person.page
    await person.go("/services/vendor")
    await person.api("POST", "/api/auth/logout")
    await page.get_by_role("link", name="Connect Vendor", exact=True).click()
    await page.get_by_label("E-mail address or username").fill(person.name)
    await page.locator("[name=password]").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("link", name="Connect Vendor", exact=True)).to_be_visible()
    await expect(page).to_have_url(f"{world.server.url}/services/vendor")
    person.complaints[:] = [complaint for complaint in person.complaints if "status of 401" not in complaint]


async def test_what_a_service_will_sign_with_is_shown_to_administrators_only(world, browser):
    server = world.server
    admin, other = await arrive(server, browser, "root"), await arrive(server, browser)
    response = await other.context.request.post(
        f"{server.url}/webhooks/notion", data={"verification_token": "secret_tMr"}
    )
    assert response.status == 200
    await admin.go("/admin/clients")
    card = admin.page.locator("#client-notion")
    await expect(card).to_contain_text("A request that claims to come from Notion contained this token")
    await expect(card).to_contain_text("AREA_NOTION_SIGNING_SECRET")
    await expect(card.locator("#token-notion-1")).to_have_text("secret_tMr")
    for path in ("/services/notion", "/api/services", "/api/services/notion"):
        answer = await other.context.request.get(f"{server.url}{path}")
        assert answer.status == 200, path
        assert "secret_tMr" not in await answer.text()
    assert "secret_tMr" not in server.log()
    # another's takes nothing away
    await other.context.request.post(f"{server.url}/webhooks/notion", data={"verification_token": "secret_evil"})
    await admin.go("/admin/clients")
    await expect(card.locator("#token-notion-1")).to_have_text("secret_tMr")
    await expect(card.locator("#token-notion-2")).to_have_text("secret_evil")
    await expect(card).to_contain_text("from 127.0.0.1")
    await card.get_by_role("button", name="Clear tokens").click()
    await expect(card.locator("#token-notion-1")).to_have_count(0)
    assert not admin.complaints
    for reader in (admin, other):
        await reader.context.close()
