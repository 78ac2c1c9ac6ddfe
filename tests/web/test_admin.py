"""Administration: accounts, invitations, switches, health, the audit."""

import re

from playwright.async_api import expect

from tests.web.acting import forgiven
from tests.web.conftest import NARROW, PASSWORD, arrive


async def confirm(page, name):
    await page.locator("#confirm").get_by_role("button", name=name).click()


async def test_others_are_not_let_in(person):
    for path in ("", "/users", "/services", "/clients", "/health", "/audit", "/users/1"):
        answer = await person.context.request.get(f"{person.server.url}/admin{path}")
        assert answer.status == 403, path
    await person.go("/admin")
    await expect(person.page.get_by_role("heading", name="Not allowed")).to_be_visible()
    forgiven(person, 403)


async def test_who_is_disabled_is_out_at_once(root, browser):
    other = await arrive(root.server, browser)
    page = root.page
    await root.go("/admin/users")
    await page.get_by_role("searchbox").fill(other.name)
    await expect(page.locator(".user-row")).to_have_count(1)
    await page.get_by_role("link", name=other.name).click()
    await page.get_by_role("button", name="Disable").click()
    await confirm(page, "Disable")
    await expect(page.get_by_text("is signed out and can no longer sign in")).to_be_visible()
    await other.page.goto(f"{root.server.url}/profile")
    await expect(other.page).to_have_url(re.compile(r"/sign-in"))
    await other.page.get_by_label("E-mail address or username").fill(other.name)
    await other.page.get_by_label("Password", exact=False).fill(PASSWORD)
    await other.page.get_by_role("button", name="Sign in").click()
    await expect(other.page.get_by_role("alert")).to_contain_text("disabled")
    await page.get_by_role("button", name="Enable").click()
    await expect(page.get_by_text("can sign in again")).to_be_visible()
    await page.get_by_role("textbox", name="New password").fill("given by root")
    await page.get_by_role("button", name="Set password").click()
    await expect(page.get_by_text("has a new password")).to_be_visible()
    form = {"login": other.name, "password": "given by root"}
    answer = await other.context.request.post(
        f"{root.server.url}/api/auth/login", data=form, headers={"Origin": root.server.url}
    )
    assert answer.ok
    await root.go(f"/admin/audit?user={other.name}")
    await expect(page.locator("#audit tbody tr").first).to_contain_text("login.succeeded")
    await root.go("/admin/audit?action=admin.")
    await expect(page.locator("#audit tbody tr").first).to_contain_text("admin.user_changed")
    await expect(page.locator("#audit tbody")).not_to_contain_text("login.")
    await other.context.close()


async def test_the_last_administrator_stays(root):
    page = root.page
    me = await root.api("GET", "/api/me")
    await root.go(f"/admin/users/{me['id']}")
    await page.get_by_role("button", name="Remove administrator role").click()
    await confirm(page, "Remove")
    await expect(page.get_by_role("alert")).to_contain_text("one active administrator must remain")
    assert (await root.api("GET", "/api/me"))["is_admin"] is True
    forgiven(root, 409)


async def test_an_account_is_deleted_once_its_name_is_typed(root, browser):
    other = await arrive(root.server, browser)
    await other.make("webhook.received", "inbox.post", "Theirs", reaction_parameters={"title": "hi"})
    me, page = await other.api("GET", "/api/me"), root.page
    await root.go(f"/admin/users/{me['id']}")
    await expect(page.get_by_role("region", name="Delete the account")).to_contain_text("their AREAs (1)")
    await page.get_by_label("Type the username").fill("somebody")
    await page.get_by_role("button", name="Delete the account").click()
    await confirm(page, "Delete the account")
    await expect(page.get_by_text("Type the username exactly as shown.")).to_be_visible()
    await page.get_by_label("Type the username").fill(other.name)
    await page.get_by_role("button", name="Delete the account").click()
    await confirm(page, "Delete the account")
    await expect(page.get_by_text(f"{other.name} was deleted.")).to_be_visible()
    await root.api("PATCH", f"/api/admin/users/{me['id']}", {"is_active": True}, status=404)
    await other.context.close()
    forgiven(root, 422)
    forgiven(root, 404)


async def test_a_service_that_is_switched_off_is_offered_to_nobody(root, person):
    await person.make("calendar.event_starts", "inbox.post", "Meetings", action_parameters={
        "url": "https://calendar.example.org/a.ics"
    }, reaction_parameters={"title": "hi"}, is_active=True)  # fmt: skip
    page = root.page
    card = page.locator(".switch-service", has=page.get_by_role("heading", name="Calendar (ICS)"))
    await root.go("/admin/services")
    await expect(card).to_contain_text("In use by 1 AREA")
    switch = card.get_by_role("switch", name="Calendar (ICS) is on")
    await switch.click()
    await expect(page.locator("#confirm")).to_contain_text("1 AREA is paused")
    await confirm(page, "Switch off")
    await expect(switch).to_have_attribute("aria-checked", "false")
    try:
        await person.go("/services")
        await expect(person.page.get_by_role("link", name="Timer", exact=True)).to_be_visible()
        await expect(person.page.get_by_role("link", name="Calendar (ICS)")).to_have_count(0)
        answer = await person.context.request.get(f"{person.server.url}/services/calendar")
        assert answer.status == 404
        await page.reload()
        await expect(switch).to_have_attribute("aria-checked", "false")
    finally:
        await switch.click()
    await expect(switch).to_have_attribute("aria-checked", "true")
    await person.go("/services")
    await expect(person.page.get_by_role("link", name="Calendar (ICS)")).to_be_visible()


async def test_one_component_is_switched_off(root, person):
    page = root.page
    await root.go("/admin/services")
    card = page.locator(".switch-service", has=page.get_by_role("heading", name="Timer"))
    await card.locator("summary").click()
    switch = card.get_by_role("switch", name="At sunset is on")
    await switch.click()
    await expect(switch).to_have_attribute("aria-checked", "false")
    try:
        await person.go("/services/timer")
        await expect(person.page.get_by_role("heading", name="At sunrise")).to_be_visible()
        await expect(person.page.get_by_role("heading", name="At sunset")).to_have_count(0)
    finally:
        await switch.click()
    await expect(switch).to_have_attribute("aria-checked", "true")


async def test_an_invitation_is_shown_once_and_withdrawn(root):
    page = root.page
    await root.go("/admin/users")
    await page.get_by_role("button", name="Create invitation").click()
    link = await page.locator("#made-invitation").text_content()
    assert re.fullmatch(re.escape(root.server.url) + r"/sign-up\?invitation=area_i_\S+", link)
    await page.reload()
    assert link not in await page.content()
    count = await page.get_by_role("button", name="Revoke").count()
    await page.get_by_role("button", name="Revoke").first.click()
    await expect(page.get_by_text("Invitation revoked.")).to_be_visible()
    await expect(page.get_by_role("button", name="Revoke")).to_have_count(count - 1)


async def test_health_tells_of_the_workers_and_asks_anew(root):
    page = root.page
    await root.go("/admin/health")
    workers = page.locator("section", has=page.get_by_role("heading", name="Workers"))
    await expect(workers.locator("li")).to_have_count(1)
    await expect(workers).to_contain_text("OK")
    await expect(page.locator("#health")).to_contain_text("Due now")
    async with page.expect_response(re.compile("/admin/health"), timeout=40_000) as answer:
        pass
    assert (await answer.value).ok


async def test_nothing_is_cut_off_on_a_phone(root):
    await root.page.set_viewport_size(NARROW)
    me = await root.api("GET", "/api/me")
    for path in ("", "/users", f"/users/{me['id']}", "/services", "/clients", "/health", "/audit"):
        await root.go(f"/admin{path}")
        assert await root.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
