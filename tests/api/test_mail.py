"""A forgotten password, the confirmation of an e-mail address and a change of it: from the request to the link in the
mail.
"""

from area import mail

from .conftest import PASSWORD, Client
from .mailing import CONFIRM

NEW = "another good password"
FORGOT, RESET, UNDO = "/api/auth/password/forgot", "/api/auth/password/reset", "/api/auth/email/undo"


async def test_an_address_is_confirmed_by_the_link_in_the_mail(mailing):
    person = await mailing.register("ann")
    before = (await person.get("/api/me/email")).json()
    assert before == {
        "email": "ann@example.org",
        "confirmed": False,
        "pending": None,
        "mail_notices": True,
        "mail": True,
    }
    ((recipient, subject, token),) = await mailing.deliver()
    assert (recipient, subject) == ("ann@example.org", "Confirm your e-mail address")
    page = await mailing.pages.get("/confirm-email", params={"token": token})
    assert page.status == 200
    assert not (await person.get("/api/me/email")).json()["confirmed"], "mail scanners follow links"
    assert (await mailing.submit("/confirm-email", token=token)).status == 200
    assert (await person.get("/api/me/email")).json()["confirmed"]
    assert (await mailing.nobody.post(CONFIRM, {"token": token})).status == 410
    assert (await person.post("/api/me/email/confirmation")).status == 409


async def test_confirmations_are_limited_for_the_address_and_for_who_asks(mailing):
    person = await mailing.register("ann")
    assert [(await person.post("/api/me/email/confirmation")).status for _ in range(3)] == [202, 202, 429]
    for number in range(25):
        await mailing.register(f"victim{number}")
    assert len(await mailing.rows("select from outgoing_mail where kind = 'confirm'")) == 20
    elsewhere = Client(mailing.nobody.app, address="198.51.100.7")
    form = {"email": "other@example.org", "username": "other", "password": PASSWORD}
    assert (await elsewhere.post("/api/auth/register", form)).status == 201
    assert len(await mailing.rows("select from outgoing_mail where kind = 'confirm'")) == 21


async def test_a_forgotten_password_is_set_anew_once(mailing):
    person = await mailing.confirmed("ann")
    created = await person.post("/api/me/tokens", {"name": "script", "password": PASSWORD})
    assert created.status == 201, created.body
    script = mailing.nobody.as_(created.json()["token"])
    assert [mail[0] for mail in await mailing.deliver()] == ["ann@example.org"], "a new token is told to its owner"
    known = await mailing.nobody.post(FORGOT, {"email": "Ann@example.org"})
    unknown = await mailing.nobody.post(FORGOT, {"email": "nobody@example.org"})
    assert (known.status, known.body) == (unknown.status, unknown.body) == (202, b"null")
    ((recipient, subject, token),) = await mailing.deliver()
    assert (recipient, subject) == ("ann@example.org", "Reset your password")
    assert (await mailing.nobody.post(RESET, {"token": token, "new_password": "short"})).status == 422
    assert (await mailing.nobody.post(RESET, {"token": token, "new_password": NEW})).status == 204
    assert (await person.get("/api/me")).status == 401, "sessions end"
    assert (await script.get("/api/me")).status == 200, "API tokens stay unless it is asked for"
    assert (await mailing.nobody.post("/api/auth/login", {"login": "ann", "password": PASSWORD})).status == 401
    assert (await mailing.nobody.post("/api/auth/login", {"login": "ann", "password": NEW})).status == 200
    assert (await mailing.nobody.post(RESET, {"token": token, "new_password": PASSWORD})).status == 410
    assert [letter[:2] for letter in await mailing.deliver()] == [("ann@example.org", "Your password was changed")]
    (entry,) = await mailing.rows("select user_id from audit where action = 'account.password_reset'")
    assert entry["user_id"] is not None


async def test_a_reset_may_end_api_tokens_and_lets_a_locked_out_owner_in(mailing):
    person = await mailing.confirmed("ann")
    script = mailing.nobody.as_(
        (await person.post("/api/me/tokens", {"name": "script", "password": PASSWORD})).json()["token"]
    )
    await mailing.deliver()
    for _ in range(11):
        await mailing.nobody.post("/api/auth/login", {"login": "ann", "password": "wrong password"})
    await mailing.nobody.post(FORGOT, {"email": "ann@example.org"})
    ((*_, token),) = await mailing.deliver()
    page = await mailing.pages.get("/reset-password", params={"token": token})
    assert token in page.body.decode()
    assert (await mailing.submit("/reset-password", token=token, new_password="x")).status == 422
    assert (await mailing.submit("/reset-password", token=token, new_password=NEW, revoke_tokens="on")).status == 303
    assert (await script.get("/api/me")).status == 401
    assert (await mailing.nobody.post("/api/auth/login", {"login": "ann", "password": NEW})).status == 200


async def test_a_reset_confirms_an_address_that_was_not(mailing):
    person = await mailing.register("ann")
    await mailing.deliver()
    await mailing.nobody.post(FORGOT, {"email": "ann@example.org"})
    ((*_, token),) = await mailing.deliver()
    await mailing.nobody.post(RESET, {"token": token, "new_password": NEW})
    answer = await mailing.nobody.post("/api/auth/login", {"login": "ann", "password": NEW})
    person = mailing.nobody.as_(answer.json()["token"])
    assert (await person.get("/api/me/email")).json()["confirmed"]


async def test_a_link_ends_after_half_an_hour_and_with_a_change_of_address(mailing):
    await mailing.confirmed("ann")
    for change in (
        "update email_links set expires_at = now()",
        "update users set email = 'other@example.org'",
    ):
        await mailing.rows("delete from outgoing_mail")
        await mailing.nobody.post(FORGOT, {"email": "ann@example.org"})
        ((*_, token),) = await mailing.deliver()
        await mailing.rows(change)
        assert (await mailing.nobody.post(RESET, {"token": token, "new_password": NEW})).status == 410
        assert (await mailing.pages.get("/reset-password", params={"token": "x" * 600})).status == 410


async def test_resets_are_limited_and_lock_nobody_out(mailing):
    await mailing.confirmed("ann")
    for _ in range(5):  # whoever asks: the mail goes to the owner
        assert (await mailing.nobody.post(FORGOT, {"email": "ann@example.org"})).status == 202
    assert len(await mailing.deliver()) == 3
    for number in range(17):
        await mailing.nobody.post(FORGOT, {"email": f"nobody{number}@example.org"})
    assert (await mailing.nobody.post(FORGOT, {"email": "bob@example.org"})).status == 429
    elsewhere = Client(mailing.nobody.app, address="198.51.100.7")
    assert (await elsewhere.post(FORGOT, {"email": "bob@example.org"})).status == 202
    assert (await mailing.nobody.post("/api/auth/login", {"login": "ann", "password": PASSWORD})).status == 200


async def test_a_change_of_address_is_confirmed_at_the_new_one_and_told_at_the_old_one(mailing):
    person = await mailing.confirmed("ann")
    expected = {"email": "New@example.org", "password": PASSWORD}
    assert (await person.patch("/api/me", expected)).json()["email"] == "ann@example.org"
    assert (await person.get("/api/me/email")).json()["pending"] == "new@example.org"
    letter, request = await mailing.deliver()
    assert letter[:2] == ("ann@example.org", "Your e-mail address is about to change")
    assert request[:2] == ("new@example.org", "Confirm your new e-mail address")
    assert (await mailing.submit("/confirm-email", token=request[2])).status == 200
    now = (await person.get("/api/me/email")).json()
    assert (now["email"], now["confirmed"], now["pending"]) == ("new@example.org", True, None)
    assert (await mailing.pages.get("/undo-email-change", params={"token": letter[2]})).status == 200
    assert (await person.get("/api/me")).status == 200, "to open the link changes nothing"
    assert (await mailing.nobody.post(UNDO, {"token": letter[2]})).json() == {"email": "ann@example.org"}
    assert (await person.get("/api/me")).status == 401, "whoever changed it is out"
    (user,) = await mailing.rows("select email from users")
    assert user["email"] == "ann@example.org"


async def test_a_change_can_be_stopped_before_it_is_done(mailing):
    person = await mailing.confirmed("ann")
    expected = {"email": "new@example.org", "password": PASSWORD}
    for stop in ("undo", "keep"):
        await mailing.rows("delete from outgoing_mail")
        answer = await mailing.nobody.post("/api/auth/login", {"login": "ann", "password": PASSWORD})
        person = mailing.nobody.as_(answer.json()["token"])
        await person.patch("/api/me", expected)
        letter, request = await mailing.deliver()
        if stop == "undo":
            assert (await mailing.submit("/undo-email-change", token=letter[2])).status == 200
        else:
            assert (await person.delete("/api/me/email/change")).status == 204
        assert (await mailing.nobody.post(CONFIRM, {"token": request[2]})).status == 410
        (user,) = await mailing.rows("select email from users")
        assert user["email"] == "ann@example.org"


async def test_a_change_tells_nobody_who_has_an_address(mailing):
    await mailing.confirmed("bob")
    person = await mailing.confirmed("ann")
    assert (await person.patch("/api/me", {"email": "bob@example.org", "password": PASSWORD})).status == 200
    _, request = await mailing.deliver()
    assert (await mailing.nobody.post(CONFIRM, {"token": request[2]})).status == 409


async def test_an_unconfirmed_address_is_not_told_of_its_change(mailing):
    person = await mailing.register("victim")
    await mailing.deliver()
    await person.patch("/api/me", {"email": "new@example.org", "password": PASSWORD})
    assert [letter[0] for letter in await mailing.deliver()] == ["new@example.org"]


async def test_the_link_of_a_mail_ends_notices(mailing):
    person = await mailing.confirmed("ann")
    (row,) = await mailing.rows("select id from users")
    token = mailing.state.keyring.sign(str(row["id"]), mail.UNSUBSCRIBE, 60)
    assert (await mailing.pages.get("/unsubscribe", params={"token": token})).status == 200
    assert (await person.get("/api/me/email")).json()["mail_notices"]
    one_click = {"content-type": "application/x-www-form-urlencoded", "origin": "https://mail.example.com"}
    answer = await mailing.pages.request(
        "POST", "/unsubscribe", params={"token": token}, body=b"List-Unsubscribe=One-Click", headers=one_click
    )
    assert answer.status == 200
    assert not (await person.get("/api/me/email")).json()["mail_notices"]
    assert (await person.patch("/api/me/email", {"mail_notices": True})).json()["mail_notices"]
    assert (await mailing.pages.get("/unsubscribe", params={"token": f"{token}x"})).status == 410
    assert (await mailing.submit("/unsubscribe", token="x")).status == 410


async def test_pages_without_a_mail_server_say_whom_to_ask(mailing):
    mailing.state.settings = mailing.state.settings.model_copy(update={"smtp_url": None})
    assert "Ask an administrator" in (await mailing.pages.get("/forgot-password")).body.decode()
    assert (await mailing.nobody.post(FORGOT, {"email": "ann@example.org"})).status == 403
