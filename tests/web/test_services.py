"""The gallery, connecting and disconnecting, and the help pages."""

import re
import subprocess

import pytest
from playwright.async_api import expect

from area.web.help import rendered
from tests.peers import mosquitto
from tests.ports import free_port
from tests.web.conftest import NARROW


async def fits(page, *paths):
    """At 390 px, nothing is wider than the page."""
    await page.set_viewport_size(NARROW)
    for path in paths:
        await page.goto(path)
        over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert over <= 0, (path, over)


async def test_the_gallery_says_what_each_service_can_do(person):
    page = person.page
    await person.go("/services")
    offered = (await person.api("GET", "/api/services"))["items"]
    await expect(page.locator(".service-card")).to_have_count(len(offered))
    timer = page.locator(".service-card", has=page.get_by_role("link", name="Timer", exact=True))
    await expect(timer).to_contain_text("8 actions")
    await expect(timer).to_contain_text("Verified")
    await expect(timer).to_contain_text("Ready, no account needed")
    await page.get_by_role("searchbox").fill("send e-mail with any")
    await expect(page.locator(".service-card")).to_have_count(1)
    await expect(page.locator(".service-card")).to_contain_text("Not connected")
    await page.get_by_role("searchbox").fill("")
    await expect(page.locator(".service-card")).to_have_count(len(offered))
    await page.get_by_label("Filter services").select_option("connected")
    await expect(page.get_by_role("heading", name="Nothing connected yet")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Nothing connected yet")).to_be_visible()


async def test_a_wrong_server_is_told_and_what_was_typed_stays(person):
    page = person.page
    await person.go("/services/mqtt")
    await page.get_by_label("Host name or IP address of the broker").fill("127.0.0.1")
    await page.get_by_label("Port", exact=True).fill("many")
    await page.get_by_label("Password", exact=True).fill("do not show me")
    await page.get_by_role("button", name="Connect", exact=True).click()
    await expect(page.locator("#d-port .field-error")).to_have_text("Enter a number.")
    await expect(page.get_by_label("Host name or IP address of the broker")).to_have_value("127.0.0.1")
    await page.get_by_label("Port", exact=True).fill(str(free_port()))
    await page.get_by_label("Encryption").select_option("none")
    await page.get_by_label("Username").fill("ann")
    await page.get_by_label("Password", exact=True).fill("do not show me")
    await page.get_by_role("button", name="Connect", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Nothing was saved.")
    await expect(page.get_by_role("alert")).to_contain_text("127.0.0.1")
    await expect(page.get_by_label("Username")).to_have_value("ann")
    await expect(page.get_by_label("Encryption")).to_have_value("none")
    await expect(page.get_by_label("Password", exact=True)).to_have_value("")
    assert "do not show me" not in await page.content()
    assert (await person.api("GET", "/api/connections/mqtt"))["connected"] is False
    person.complaints[:] = [
        complaint for complaint in person.complaints if "status of 422" not in complaint
    ]  # as it was to be


async def test_a_connection_is_made_tested_and_forgotten(person):
    page = person.page
    with mosquitto() as broker:
        await person.go("/services/mqtt?next=/profile")
        await page.get_by_label("Host name or IP address of the broker").fill(broker.host)
        await page.get_by_label("Port", exact=True).fill(str(broker.port))
        await page.get_by_label("Encryption").select_option("none")
        await page.get_by_label("Username").fill(broker.login)
        await page.get_by_label("Password", exact=True).fill(broker.password)
        await page.get_by_role("button", name="Connect", exact=True).click()
        await expect(page).to_have_url(re.compile(r"/profile$"))
        await expect(page.get_by_text("MQTT connected.")).to_be_visible()
        assert (await person.api("GET", "/api/connections/mqtt"))["status"] == "works"
        for name, is_active in (("Kitchen lamp", True), ("Old lamp", False)):
            parameters = {"topic": "lamp", "payload": "on"}
            await person.make(
                "webhook.received", "mqtt.publish", name, reaction_parameters=parameters, is_active=is_active
            )
        await person.go("/services?show=connected")
        await expect(page.locator(".service-card")).to_have_count(1)
        await page.get_by_role("link", name="MQTT", exact=True).click()
        await page.get_by_role("button", name="Test now").click()
        await expect(page.get_by_text("MQTT works.")).to_be_visible()
    await page.get_by_role("button", name="Test now").click()  # the broker is gone
    await expect(page.get_by_text("The last test failed")).to_be_visible()
    assert (await person.api("GET", "/api/connections/mqtt"))["status"] == "works"  # away is not refused
    await page.get_by_role("button", name="Disconnect").click()
    await expect(page.locator("#confirm")).to_contain_text("Kitchen lamp")
    await expect(page.locator("#confirm")).not_to_contain_text("Old lamp")
    await page.locator("#confirm").get_by_role("button", name="Disconnect").click()
    await expect(page.get_by_text("These AREAs wait until you reconnect: Kitchen lamp.")).to_be_visible()
    assert (await person.api("GET", "/api/connections/mqtt"))["connected"] is False


async def test_a_connection_that_is_no_longer_taken_says_so_and_is_renewed(person):
    page = person.page
    with mosquitto() as broker:
        form = {"host": broker.host, "port": broker.port, "security": "none", "login": broker.login}
        await person.api("POST", "/api/connections/mqtt", form | {"password": broker.password})
        broker.stop()
        passwords = broker.folder / "passwords"
        passwords.write_text(f"{broker.login}:changed\n")
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
        broker.start()
        await person.go("/services/mqtt")
        await page.get_by_role("button", name="Test now").click()
        await expect(page.get_by_role("alert")).to_contain_text("rejected this connection")
        await person.go("/services?show=connected")
        await expect(page.locator(".service-card")).to_contain_text("Reconnect")
        await person.go("/services/mqtt")
        await page.get_by_label("Host name or IP address of the broker").fill(broker.host)
        await page.get_by_label("Port", exact=True).fill(str(broker.port))
        await page.get_by_label("Encryption").select_option("none")
        await page.get_by_label("Username").fill(broker.login)
        await page.get_by_label("Password", exact=True).fill("changed")
        await page.get_by_role("button", name="Connect", exact=True).click()
        await expect(page.get_by_text("MQTT connected.")).to_be_visible()
        assert (await person.api("GET", "/api/connections/mqtt"))["status"] == "works"


async def test_another_account_is_added_under_a_name_and_removed(person):
    page = person.page
    with mosquitto() as broker:
        form = {"host": broker.host, "port": broker.port, "security": "none", "login": broker.login}
        await person.api("POST", "/api/connections/mqtt", form | {"password": broker.password})
        await person.go("/services/mqtt")
        await page.get_by_role("link", name="Add another account").click()
        accounts = page.get_by_role("region", name="Other accounts")
        await page.locator("#account-name").fill("Attic")
        await accounts.get_by_label("Host name or IP address of the broker").fill(broker.host)
        await accounts.get_by_label("Port", exact=True).fill(str(broker.port))
        await accounts.get_by_label("Encryption").select_option("none")
        await accounts.get_by_label("Username").fill(broker.login)
        await accounts.get_by_label("Password", exact=True).fill(broker.password)
        await accounts.get_by_role("button", name="Connect", exact=True).click()
        await expect(page.get_by_text("Attic connected.")).to_be_visible()
        await page.get_by_role("button", name="Test Attic").click()
        await expect(page.get_by_text("Attic works.")).to_be_visible()
        views = [
            connection
            for connection in (await person.api("GET", "/api/connections"))["items"]
            if connection["service"] == "mqtt"
        ]
        assert [(connection["connection"], connection["status"]) for connection in views] == [
            (None, "works"),
            ("Attic", "works"),
        ]


async def test_next_leads_nowhere_else(person):
    await person.go("/services/mqtt?next=https://example.org/")
    assert await person.page.locator("[name=next]").count() == 0


async def test_every_component_has_its_place_in_the_help(person):
    for service in (await person.api("GET", "/api/services"))["items"]:
        await person.go(f"/help/{service['slug']}")
        for component in service["actions"] + service["reactions"]:
            await expect(person.page.locator(f"#{component['name']}")).to_have_count(1)
        ids = await person.page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
        assert len(ids) == len(set(ids))
    await person.go("/help")
    await expect(person.page.get_by_role("heading", name="How AREA works")).to_be_visible()
    await person.page.get_by_role("link", name="API reference").click()
    await expect(person.page).to_have_url(re.compile(r"/api/docs"))


@pytest.mark.parametrize(
    ("text", "there", "not_there"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;", "<script"),
        ("a <b onclick=x>b</b>", "&lt;b onclick", "<b "),
        ("[x](javascript:alert(1))", "javascript", "href"),
        ("![x](https://example.org/x.png)", "", "<img"),
        ("[x](https://example.org)", 'rel="noopener noreferrer"', "javascript"),
        ("| a | |\n|:--|--:|\n| 1 | 2 |", "<table>", "style="),
        ("# Title\n\n## `one`: first", '<span id="one"></span>', "Title"),
    ],
)
def test_markdown_is_harmless(text, there, not_there):
    html, _ = rendered(text, ("one",), "Table")
    assert there in html
    assert not_there not in html


async def test_nothing_is_cut_off_on_a_phone(person):
    url = person.server.url
    await fits(person.page, *(f"{url}{path}" for path in ("/services", "/services/email", "/help", "/help/email")))


async def test_a_service_that_there_is_not_is_not_found(person):
    answer = await person.context.request.get(f"{person.server.url}/services/nothing")
    assert answer.status == 404
    answer = await person.context.request.get(f"{person.server.url}/help/nothing")
    assert answer.status == 404
