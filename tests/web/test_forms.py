"""Forms, dialogs and the frame: a refused form loses nothing, and nothing behind a dialog is replaced."""

import re

from playwright.async_api import expect

from tests.web.acting import forgiven


async def with_service_worker(person):
    """Have the service worker see every navigation from now on."""
    await person.go("/")
    await person.page.evaluate("navigator.serviceWorker.ready")
    await person.page.wait_for_function("navigator.serviceWorker.controller !== null")


async def test_back_after_a_refused_connection_brings_what_was_typed(person):
    page = person.page
    await with_service_worker(person)
    await person.go("/services/email?next=/areas/new")
    form = page.locator("form.connect-form")
    await form.locator("[name=imap_host]").fill("127.0.0.1")
    await form.locator("[name=imap_port]").fill("9")
    await form.locator("[name=imap_security]").select_option("none")
    await form.locator("[name=login]").fill("ann")
    await form.locator("[name=password]").fill("a secret")
    await form.get_by_role("button", name="Connect").click()
    await expect(page.get_by_text("Nothing was saved.")).to_be_visible()
    forgiven(person, 422)
    await page.get_by_role("link", name=re.compile("How to connect")).first.click()
    await expect(page).to_have_url(re.compile("/help/"))
    await page.go_back()
    await expect(page).to_have_url(re.compile(r"/services/email\?next="))
    await expect(form.locator("[name=imap_host]")).to_have_value("127.0.0.1")
    await expect(form.locator("[name=imap_security]")).to_have_value("none")
    await expect(form.locator("[name=login]")).to_have_value("ann")
    await expect(form.locator("[name=password]")).to_have_value("")


async def test_back_after_a_refused_password_shows_the_form(person):
    page = person.page
    await with_service_worker(person)
    await person.go("/profile/security")
    form = page.locator("form[action='/profile/password']")
    await form.get_by_label("Current password").fill("not my password")
    await form.get_by_label("New password").fill("a long new one, of many words")
    await form.get_by_role("button").last.click()
    await expect(page.get_by_text("Incorrect password.")).to_be_visible()
    forgiven(person, 422)
    await expect(page).to_have_url(re.compile("/profile/security$"))
    sent = []
    page.on("request", lambda request: sent.append(request.method) if request.is_navigation_request() else None)
    await page.reload()
    await expect(form).to_be_visible()
    await page.get_by_role("link", name="Your data").click()
    await page.go_back()
    await expect(form).to_be_visible()
    assert set(sent) == {"GET"}


async def test_typed_and_not_sent_is_there_after_going_back(person):
    page = person.page
    await person.go("/profile")
    await page.get_by_label("Username").fill("somebody else")
    await page.get_by_label("Language").select_option("fr")
    await page.get_by_role("link", name="Help").last.click()
    await expect(page).to_have_url(re.compile("/help$"))
    await page.go_back()
    await expect(page.get_by_label("Username")).to_have_value("somebody else")
    await expect(page.get_by_label("Language")).to_have_value("fr")


async def test_the_address_of_a_form_leads_to_its_page(person):
    for path, page in {"/profile/password": "/profile", "/areas/bulk": "/", "/sign-out": "/"}.items():
        await person.go(path)
        await expect(person.page).to_have_url(person.server.url + page)


async def test_an_error_page_keeps_the_navigation(person):
    page = person.page
    for path in ("/nothing/here", "/areas/999999", "/areas/abc"):
        await person.go(path)
        await expect(page.get_by_role("heading", name="Not found")).to_be_visible()
        await expect(page.get_by_label("Your account")).to_be_visible()
        await expect(page.get_by_role("link", name="Runs").first).to_be_visible()
    forgiven(person, 404)


async def test_copy_falls_back_where_the_clipboard_is_missing_or_forbidden(person):
    page = person.page
    area = await person.make("webhook.received", "inbox.post", "Copied", reaction_parameters={"title": "x"})
    missing, forbidden = "undefined", "{ writeText: async () => { throw new DOMException('', 'NotAllowedError') } }"
    for clipboard in (missing, forbidden):  # plain http has none
        await person.go(f"/areas/{area['id']}")
        await page.evaluate(f"Object.defineProperty(navigator, 'clipboard', {{ value: {clipboard} }})")
        await page.evaluate(
            "document.addEventListener('copy', () => { window.copiedText = document.activeElement.value })"
        )
        await page.locator("[data-copy='#webhook-url']").click()
        await expect(page.locator("#page-status")).to_have_text("Copied.")
        assert await page.evaluate("window.copiedText") == area["webhook_url"]
        await page.evaluate("document.execCommand = () => false")
        await page.locator("[data-copy='#webhook-url']").click()
        await expect(page.locator("#page-status")).to_have_text("The text is selected. Copy it with Ctrl+C or ⌘C.")
        await expect(page.locator("#page-status")).to_be_in_viewport()
        assert await page.evaluate("getSelection().toString()") == area["webhook_url"]


async def test_the_header_stays_however_far_one_scrolls(person):
    page = person.page
    await person.go("/services")
    for y in (400, 1000, 2500):
        await page.evaluate("y => window.scrollTo(0, y)", y)
        await page.wait_for_function("y => Math.abs(scrollY - y) < 2", arg=y)
        assert await page.evaluate("document.querySelector('.topbar').getBoundingClientRect().top") == 0


async def test_what_comes_while_a_dialog_asks_waits_for_its_answer(person):
    page = person.page
    for name in ("Kept", "Dropped"):
        await person.make("webhook.received", "inbox.post", name, reaction_parameters={"title": name})
    await person.go("/")
    await page.get_by_label("Select Dropped").check()
    await page.locator(".bulk").get_by_role("button", name="Delete").click()
    dialog = page.locator("#confirm")
    await expect(dialog).to_be_visible()
    # an answer that was on its way, and a change that is told meanwhile
    await page.evaluate(
        """async () => {
            document.querySelectorAll('.bulk button').forEach((button) => (button.dataset.was = 'here'));
            const form = document.getElementById('areas');
            await htmx.ajax('GET', '/?q=', { source: form, target: '#areas', swap: 'outerHTML' });
            tell('runs-changed');
        }"""
    )
    assert await page.locator(".bulk [data-was=here]").count() == 3
    await dialog.get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("1 deleted.")).to_be_visible()
    await expect(page.locator(".area-card")).to_have_count(1)


async def test_what_came_while_a_dialog_asked_is_shown_when_it_is_closed(person):
    page = person.page
    await person.make("webhook.received", "inbox.post", "First", reaction_parameters={"title": "x"})
    await person.go("/")
    await page.get_by_label("Select First").check()
    await page.locator(".bulk").get_by_role("button", name="Delete").click()
    await person.make("webhook.received", "inbox.post", "Second", reaction_parameters={"title": "x"})
    await page.evaluate("tell('runs-changed')")
    await expect(page.locator(".area-card")).to_have_count(1)
    await page.locator("#confirm").get_by_role("button", name="Cancel").click()
    await expect(page.locator(".area-card")).to_have_count(2)
