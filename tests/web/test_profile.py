"""The profile: picture, address, password, sessions, tokens, language, and leaving."""

import asyncio
import io
import re
import struct
import zlib
from uuid import uuid4

import pytest
from PIL import Image
from playwright.async_api import expect

from area.accounts import pictures
from area.kit.problems import Invalid
from tests.web.acting import forgiven
from tests.web.conftest import NARROW, PASSWORD, arrive


def picture(size=(600, 400), kind="PNG", **options):
    file = io.BytesIO()
    Image.new("RGB", size, "#c0392b").save(file, kind, **options)
    return file.getvalue()


def bomb(side=50_000):
    """A PNG of a few kilobytes that would be 7.5 GB."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


async def test_a_picture_is_made_small_shown_and_removed(person):
    page = person.page
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "where it was taken"  # to be turned by 90°, and a description
    await person.go("/profile")
    await page.get_by_label("New picture").set_input_files(
        {"name": "me.jpg", "mimeType": "image/jpeg", "buffer": picture(kind="JPEG", exif=exif.tobytes())}
    )
    await page.get_by_role("button", name="Upload").click()
    await expect(page.get_by_text("Picture updated.")).to_be_visible()
    path = (await person.api("GET", "/api/me"))["icon_path"]
    assert re.fullmatch(r"/avatars/[0-9a-f]{32}\.webp", path)
    await expect(page.locator(".topbar img.avatar-round")).to_have_attribute("src", path)
    answer = await person.context.request.get(person.server.url + path)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"] == "image/webp"
    content = await answer.body()
    assert b"where it was taken" not in content
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size, dict(image.getexif())) == ("WEBP", (256, 256), {})
    await page.get_by_role("button", name="Remove").click()
    await expect(page.get_by_text("Picture removed.")).to_be_visible()
    assert (await person.api("GET", "/api/me"))["icon_path"] is None
    assert (await person.context.request.get(person.server.url + path)).status == 404


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (bomb(), "has too many pixels"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "can't read this picture"),
        (b"<html><script>alert(1)</script></html>", "can't read this picture"),
        (picture()[:200], "can't read this picture"),
        (picture(kind="BMP"), "can't read this picture"),
    ],
    ids=["bomb", "svg", "html", "broken", "bmp"],
)
async def test_what_is_no_picture_is_refused(person, content, sentence):
    with pytest.raises(Invalid, match=sentence):
        await pictures.shrink(content)
    await person.go("/profile")
    await person.page.get_by_label("New picture").set_input_files(
        {"name": "me.png", "mimeType": "image/png", "buffer": content}
    )
    await person.page.get_by_role("button", name="Upload").click()
    await expect(person.page.get_by_role("alert")).to_contain_text(sentence)
    assert (await person.api("GET", "/api/me"))["icon_path"] is None
    forgiven(person, 422)


async def test_a_file_that_is_too_large_is_refused(person):
    files = {"picture": {"name": "me.png", "mimeType": "image/png", "buffer": b"x" * 6_000_000}}
    answer = await person.context.request.post(
        f"{person.server.url}/profile/picture", multipart=files, headers={"Origin": person.server.url}
    )
    assert answer.status == 413
    assert "larger than 5 MB" in await answer.text()


async def test_somebody_elses_picture_survives(person, browser):
    other = await arrive(person.server, browser)
    files = {"picture": {"name": "me.png", "mimeType": "image/png", "buffer": picture()}}
    headers = {"Origin": person.server.url}
    await other.context.request.post(f"{person.server.url}/profile/picture", multipart=files, headers=headers)
    path = (await other.api("GET", "/api/me"))["icon_path"]
    await person.api("PATCH", "/api/me", {"icon_path": path})
    await person.context.request.post(f"{person.server.url}/profile/picture/remove", headers=headers)
    await asyncio.sleep(0.2)
    assert (await other.context.request.get(person.server.url + path)).ok
    await other.context.close()


async def test_a_new_address_needs_the_password(person):
    page = person.page
    new = f"{person.name}-new@example.org"
    await person.go("/profile")
    await page.get_by_role("textbox", name="E-mail address").fill(new)
    await page.get_by_label("Current password").fill("something else")
    await page.get_by_role("button", name="Change address").click()
    await expect(page.locator("#h-password")).to_contain_text("Incorrect password")
    await expect(page.get_by_role("textbox", name="E-mail address")).to_have_value(new)
    assert (await person.api("GET", "/api/me"))["email"] != new
    await page.get_by_label("Current password").fill(PASSWORD)
    await page.get_by_role("button", name="Change address").click()
    await expect(page.get_by_text("E-mail address changed.")).to_be_visible()
    assert (await person.api("GET", "/api/me"))["email"] == new
    forgiven(person, 422)


async def test_a_taken_name_is_told_and_a_language_is_spoken(person):
    page = person.page
    await person.go("/profile")
    await page.get_by_label("Username").fill("root")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#h-username")).to_contain_text("taken")
    forgiven(person, 409)
    await page.get_by_label("Username").fill(person.name)
    await page.get_by_label("Time zone").select_option("Europe/Paris")
    await page.get_by_label("Language").select_option("fr")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("html")).to_have_attribute("lang", "fr")
    me = await person.api("GET", "/api/me")
    assert (me["language"], me["timezone"]) == ("fr", "Europe/Paris")
    await page.locator("#f-language").select_option("")
    await page.locator("form[action='/profile'] [type=submit]").click()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    assert (await person.api("GET", "/api/me"))["language"] is None


async def test_a_new_password_ends_the_other_sessions(person, browser):
    elsewhere = await arrive(person.server, browser, person.name)
    page = person.page
    await person.go("/profile/security")
    await expect(page.locator(".row-list > li")).to_have_count(2)
    await expect(page.locator(".row-list > li").first).to_contain_text("This session")
    await expect(page.locator(".row-list > li").first).to_contain_text("Chrome on Linux")
    await page.get_by_label("Current password").fill("something else")
    await page.get_by_role("textbox", name="New password").fill("another horse battery")
    await page.get_by_role("button", name="Change password").click()
    await expect(page.locator("#h-current_password")).to_contain_text("Incorrect password")
    forgiven(person, 422)
    await page.get_by_label("Current password").fill(PASSWORD)
    await page.get_by_role("textbox", name="New password").fill("another horse battery")
    await page.get_by_role("button", name="Change password").click()
    await expect(page.get_by_text("You are signed out everywhere else.")).to_be_visible()
    await expect(page.locator(".row-list > li")).to_have_count(1)
    await elsewhere.page.goto(f"{person.server.url}/profile")
    await expect(elsewhere.page).to_have_url(re.compile(r"/sign-in"))
    await elsewhere.context.close()


async def test_one_session_is_ended(person, browser):
    elsewhere = await arrive(person.server, browser, person.name)
    await person.go("/profile/security")
    await person.page.get_by_role("button", name="Sign out Chrome on Linux").click()
    await expect(person.page.get_by_text("Session ended.")).to_be_visible()
    answer = await elsewhere.context.request.get(f"{person.server.url}/api/me")
    assert answer.status == 401
    await elsewhere.context.close()


async def test_a_token_is_shown_once_and_is_no_session(person, browser):
    page = person.page
    await person.go("/profile/tokens")
    await page.get_by_label("What is it for?").fill("Backup script")
    await page.get_by_label("Your password").fill("wrong password")
    await page.get_by_role("button", name="Create token").click()
    await expect(page.get_by_text("Incorrect password.")).to_be_visible()
    await expect(page.get_by_role("radio", name="Administer")).to_have_count(0)
    forgiven(person, 422)
    await page.get_by_role("radio", name="Run Also").check()
    await page.get_by_label("Your password").fill(PASSWORD)
    await page.get_by_role("button", name="Create token").click()
    token = await page.locator("#made-token").text_content()
    assert token.startswith("area_t_")
    headers = {"Authorization": f"Bearer {token}"}
    bare = await browser.new_context()
    assert (await bare.request.get(f"{person.server.url}/api/me", headers=headers)).ok
    listed = await (await bare.request.get(f"{person.server.url}/api/me/tokens", headers=headers)).json()
    assert listed["items"][0]["scope"] == "run"
    await bare.add_cookies([{"name": "area_session", "value": token, "url": person.server.url}])
    answer = await bare.request.get(f"{person.server.url}/profile", max_redirects=0)
    assert answer.status == 303  # a token is for programs, and opens no page
    await page.reload()
    await expect(page.get_by_text("Backup script")).to_be_visible()
    assert token not in await page.content()
    await page.get_by_role("button", name="Revoke Backup script").click()
    await page.locator("#confirm").get_by_role("button", name="Revoke").click()
    await expect(page.get_by_text("No tokens yet")).to_be_visible()
    assert (await bare.request.get(f"{person.server.url}/api/me", headers=headers)).status == 401
    await bare.close()


async def test_signing_out_everywhere_may_take_the_tokens_along(person, browser):
    elsewhere = await arrive(person.server, browser, person.name)
    await person.api("POST", "/api/me/tokens", {"name": "Backup script", "password": PASSWORD})
    await person.go("/profile/security")
    form = person.page.locator("form[action='/profile/sessions/end']")
    await form.get_by_label("Revoke my API tokens too").check()
    await form.get_by_role("button", name="Sign out everywhere else").click()
    await person.page.locator("#confirm").get_by_role("button", name="Sign out").click()
    await expect(person.page.get_by_text(re.compile("API tokens revoked: [1-9]"))).to_be_visible()
    assert (await elsewhere.context.request.get(f"{person.server.url}/api/me")).status == 401
    assert (await person.api("GET", "/api/me/tokens"))["items"] == []
    await elsewhere.context.close()


async def test_an_account_is_taken_along_and_deleted(server, browser, person):
    leaver = await arrive(server, browser, f"leaving{uuid4().hex[:6]}")
    await leaver.make("webhook.received", "inbox.post", "To take along", reaction_parameters={"title": "hi"})
    page = leaver.page
    await leaver.go("/profile/data")
    exported = await (await leaver.context.request.get(f"{server.url}/profile/export")).json()
    assert [area["name"] for area in exported["areas"]] == ["To take along"]
    for typed, password, status in (
        ("somebody", PASSWORD, 422),
        (leaver.name, "wrong", 422),
        (leaver.name, PASSWORD, 303),
    ):
        await page.get_by_label("Type your username").fill(typed)
        await page.get_by_label("Current password").fill(password)
        await page.get_by_role("button", name="Delete my account").first.click()
        await page.locator("#confirm").get_by_role("button", name="Delete my account").click()
        if status == 422:
            await expect(page.locator(".field-error")).to_have_count(1)
            assert (await leaver.api("GET", "/api/me"))["username"] == leaver.name
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    form = {"login": leaver.name, "password": PASSWORD}
    answer = await leaver.context.request.post(
        f"{server.url}/api/auth/login", data=form, headers={"Origin": server.url}
    )
    assert answer.status == 401
    await leaver.context.close()


async def test_nothing_is_cut_off_on_a_phone(person):
    await person.page.set_viewport_size(NARROW)
    for path in ("/profile", "/profile/security", "/profile/tokens", "/profile/data"):
        await person.go(path)
        assert await person.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
