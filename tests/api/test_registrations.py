"""Registrations whose address is confirmed first: nothing that a stranger sees tells whether an address has an account."""

import asyncio
from collections import Counter

import pytest
import pytest_asyncio

from area.accounts import sessions
from area.kit import crypto

from .conftest import PASSWORD, Client

REGISTER, FINISH, LOGIN = "/api/auth/register", "/api/auth/register/confirm", "/api/auth/login"


def form(name: str, **more: object) -> dict[str, object]:
    return {"email": f"{name}@example.org", "username": name, "password": PASSWORD, **more}


@pytest_asyncio.fixture
async def confirming(mailing):
    """An installation with an administrator, where whoever registers confirms the address."""
    mailing.state.settings = mailing.state.settings.model_copy(update={"registration": "confirm"})
    mailing.admin = await mailing.register("ann")
    await mailing.deliver()
    return mailing


async def test_the_first_account_does_not_wait_for_mail(mailing):
    mailing.state.settings = mailing.state.settings.model_copy(update={"registration": "confirm"})
    answer = await mailing.nobody.post(REGISTER, form("ann"))
    assert (answer.status, answer.json()["user"]["is_admin"]) == (201, True)


async def test_the_account_exists_once_the_link_was_followed(confirming):
    answer = await confirming.nobody.post(REGISTER, form("bob", email="Bob@Example.org"))
    assert (answer.status, answer.json()) == (202, {"email": "Bob@Example.org"})
    assert answer.header("set-cookie") is None
    assert not await confirming.rows("select from users where username = 'bob'")
    assert (await confirming.nobody.post(LOGIN, {"login": "bob", "password": PASSWORD})).status == 401
    ((recipient, subject, token),) = await confirming.deliver()
    assert (recipient, subject) == ("bob@example.org", "Finish signing up")
    stored = str(await confirming.rows("select p::text from pending_registrations p"))
    assert token not in stored
    assert PASSWORD not in stored
    wrong = await confirming.nobody.post(FINISH, {"token": token, "password": "not the one"})
    assert [error["field"] for error in wrong.json()["errors"]] == ["password"], "somebody else's address can't be used"
    answer = await confirming.nobody.post(FINISH, {"token": token, "password": PASSWORD})
    assert (answer.status, answer.json()["user"]["username"], answer.json()["user"]["is_admin"]) == (201, "bob", False)
    bob = confirming.nobody.as_(answer.json()["token"])
    assert (await bob.get("/api/me/email")).json()["confirmed"]
    assert (await confirming.nobody.post(LOGIN, {"login": "bob", "password": PASSWORD})).status == 200
    assert (await confirming.nobody.post(FINISH, {"token": token, "password": PASSWORD})).status == 410, "it works once"
    assert not await confirming.rows("select from pending_registrations")
    (entry,) = await confirming.rows("select detail from audit where action = 'account.registered' and user_id <> 1"
                                     " order by id desc limit 1")  # fmt: skip
    assert "confirmed" in str(entry["detail"])


async def test_of_links_followed_at_once_one_makes_the_account(confirming):
    for _ in range(2):
        await confirming.nobody.post(REGISTER, form("bob"))
    tokens = [token for _, _, token in await confirming.deliver()]
    assert len(set(tokens)) == 2
    answers = await asyncio.gather(
        *(confirming.nobody.post(FINISH, {"token": token, "password": PASSWORD}) for token in tokens * 3)
    )
    counted = Counter(answer.status for answer in answers)
    assert counted[201] == 1
    assert set(counted) <= {201, 410}


async def test_a_known_address_is_answered_as_an_unknown_one_and_its_owner_is_told(confirming, monkeypatch):
    hashed = []
    monkeypatch.setattr(
        crypto, "hash_password", lambda password, before=crypto.hash_password: (hashed.append(1), before(password))[1]
    )
    known = await confirming.nobody.post(REGISTER, form("somebody", email="ANN@example.org"))
    unknown = await confirming.nobody.post(REGISTER, form("anybody", email="BEN@example.org"))
    assert (known.status, known.body.replace(b"ANN", b"BEN")) == (unknown.status, unknown.body)
    headers = [dict(answer.headers) | {"x-request-id": ""} for answer in (known, unknown)]
    assert headers[0] == headers[1]
    assert len(hashed) == 2, "the same work"
    counted = await confirming.rows("select count(*) n from login_attempts where login = 'register'")
    assert counted[0]["n"] == 3
    mails = await confirming.deliver()
    assert [mail[:2] for mail in mails] == [
        ("ann@example.org", "You already have an account"),
        ("ben@example.org", "Finish signing up"),
    ]
    assert mails[0][2] == ""
    assert "/sign-in" in confirming.post.mails[0].content.decode()
    assert await confirming.rows(
        "select from pending_registrations where email = 'ann@example.org' and token_hash is null"
    )
    pages = [
        await confirming.submit("/sign-up", email=f"{name}@example.org", username=f"{name}-2", password=PASSWORD)
        for name in ("ann", "cat")
    ]
    assert [page.status for page in pages] == [202, 202]
    assert pages[0].body.replace(b"ann", b"cat") == pages[1].body
    assert b"Check your mail" in pages[0].body
    assert [page.header("set-cookie") for page in pages] == [None, None]


async def test_a_taken_username_is_told_whatever_the_address(confirming):
    for address in ("ann@example.org", "new@example.org"):
        answer = await confirming.nobody.post(REGISTER, form("ANN", email=address))
        assert (answer.status, answer.json()["detail"]) == (409, "This username is taken. Choose another one.")
    assert not await confirming.deliver()


async def test_a_username_that_was_taken_meanwhile_gives_way_to_another(confirming):
    await confirming.nobody.post(REGISTER, form("bob"))
    await confirming.nobody.post(REGISTER, form("bob", email="bea@example.org"))
    tokens = {recipient: token for recipient, _, token in await confirming.deliver()}
    first = {"token": tokens["bob@example.org"], "password": PASSWORD}
    second = {"token": tokens["bea@example.org"], "password": PASSWORD}
    assert (await confirming.nobody.post(FINISH, first)).status == 201
    assert (await confirming.nobody.post(FINISH, second)).status == 409
    page = await confirming.submit("/finish-sign-up", **second, username="bob")
    assert page.status == 409
    assert b"This username is taken" in page.body
    page = await confirming.submit("/finish-sign-up", **second, username="bea")
    assert page.status == 303
    assert "area_session=" in str(page.all("set-cookie"))


async def test_pages_of_the_link(confirming):
    page = await confirming.pages.get("/sign-up")
    assert b"invitation" not in page.body
    await confirming.submit("/sign-up", email="bob@example.org", username="bob", password=PASSWORD)
    ((_, _, token),) = await confirming.deliver()
    for _ in range(2):
        page = await confirming.pages.get("/finish-sign-up", params={"token": token})
        assert page.status == 200, "mail scanners follow links"
        assert b"bob@example.org" in page.body
    page = await confirming.submit("/finish-sign-up", token=token, username="bob", password="not this one")
    assert (page.status, b"Incorrect password" in page.body) == (422, True)
    page = await confirming.submit("/finish-sign-up", token=token, username="bob", password=PASSWORD)
    assert (page.status, page.header("location")) == (303, "/")
    for page in (
        await confirming.pages.get("/finish-sign-up", params={"token": token}),
        await confirming.submit("/finish-sign-up", token=token, username="bob", password=PASSWORD),
    ):
        assert page.status == 410
        assert b'href="/sign-up"' in page.body


async def test_a_link_expires_and_is_cleaned_up(confirming):
    await confirming.nobody.post(REGISTER, form("bob"))
    ((_, _, token),) = await confirming.deliver()
    ((left,),) = await confirming.rows(
        "select extract(epoch from expires_at - now())::int / 60 from pending_registrations"
    )
    assert 24 * 60 - 5 < left < 24 * 60 + 1
    await confirming.rows("update pending_registrations set expires_at = now() - interval '1 second'")
    assert (await confirming.nobody.post(FINISH, {"token": token, "password": PASSWORD})).status == 410
    async with confirming.state.database.transaction() as session:
        await sessions.purge(session)
    assert not await confirming.rows("select from pending_registrations")
    await confirming.nobody.post(REGISTER, form("bob"))
    await confirming.rows("update pending_registrations set expires_at = now() - interval '1 second'")
    assert not await confirming.deliver(), "a mail that waited too long is not sent"


async def test_a_mail_that_is_sent_again_has_a_link_that_works(confirming):
    await confirming.nobody.post(REGISTER, form("bob"))
    ((_, _, first),) = await confirming.deliver()
    await confirming.rows("update outgoing_mail set sent_at = null, repeated = false, lease_until = null")
    (*_, (_, _, second)) = await confirming.deliver()
    assert (await confirming.nobody.post(FINISH, {"token": first, "password": PASSWORD})).status == 410
    assert (await confirming.nobody.post(FINISH, {"token": second, "password": PASSWORD})).status == 201


async def test_mails_are_limited_for_the_address_and_for_who_asks(confirming):
    for number in range(5):
        answer = await confirming.nobody.post(REGISTER, form(f"bob{number}", email="bob@example.org"))
        assert answer.status == 202
    assert len(await confirming.deliver()) == 3
    for number in range(17):
        assert (await confirming.nobody.post(REGISTER, form(f"x{number}"))).status == 202
    for address in ("ann@example.org", "new@example.org"):
        assert (await confirming.nobody.post(REGISTER, form("y", email=address))).status == 422
        assert (await confirming.nobody.post(REGISTER, form("yet", email=address))).status == 429
    elsewhere = Client(confirming.nobody.app, address="198.51.100.7")
    assert (await elsewhere.post(REGISTER, form("new"))).status == 202
    await confirming.rows("update outgoing_mail set created_at = now() - interval '2 hours'")
    await confirming.rows(
        "insert into outgoing_mail (kind, recipient, share, created_at)"
        " select 'register', 'bob@example.org', 's', now() - interval '5 hours' from generate_series(1, 7)"
    )
    assert (await elsewhere.post(REGISTER, form("bob9", email="bob@example.org"))).status == 202
    assert {mail[0] for mail in await confirming.deliver()}.isdisjoint({"bob@example.org"})


async def test_passwords_are_not_guessed_at_a_link(confirming):
    await confirming.nobody.post(REGISTER, form("bob"))
    ((_, _, token),) = await confirming.deliver()
    answers = await asyncio.gather(
        *(confirming.nobody.post(FINISH, {"token": token, "password": f"guess {number}"}) for number in range(12))
    )
    assert Counter(answer.status for answer in answers) == {422: 10, 429: 2}


async def test_an_invitation_gives_an_account_at_once(confirming):
    answer = (await confirming.admin.post("/api/admin/invitations", {})).json()
    assert (await confirming.nobody.post(REGISTER, form("bob", invitation=answer["token"]))).status == 201
    assert (await confirming.nobody.post(REGISTER, form("cat", invitation=answer["token"]))).status == 202, (
        "it was for one"
    )
    page = await confirming.pages.get("/sign-up", params={"invitation": "area_i_x"})
    assert b'name="invitation" value="area_i_x"' in page.body


async def test_a_link_is_worth_nothing_once_registration_is_closed(confirming):
    await confirming.nobody.post(REGISTER, form("bob"))
    ((_, _, token),) = await confirming.deliver()
    confirming.state.settings = confirming.state.settings.model_copy(update={"registration": "closed"})
    answer = await confirming.nobody.post(FINISH, {"token": token, "password": PASSWORD})
    assert (answer.status, answer.json()["code"]) == (403, "forbidden")


async def test_the_mail_speaks_the_language_of_the_page(confirming):
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "sec-fetch-site": "same-origin",
        "accept-language": "fr",
    }
    body = b"email=bob%40example.org&username=bob&password=" + PASSWORD.replace(" ", "+").encode()
    page = await confirming.pages.request("POST", "/sign-up", body=body, headers=headers)
    assert page.status == 202
    assert b'lang="fr"' in page.body
    ((_, subject, token),) = await confirming.deliver()
    assert subject != "Finish signing up"
    assert token


@pytest.mark.parametrize("mode", ["open", "invite", "closed"])
async def test_other_modes_answer_as_before(mailing, mode):
    mailing.state.settings = mailing.state.settings.model_copy(update={"registration": mode})
    admin = await mailing.register("ann")
    token = (await admin.post("/api/admin/invitations", {})).json()["token"]
    seen = [
        (await mailing.nobody.post(REGISTER, form(name, **more))).status
        for name, more in (("bob", {}), ("ann", {}), ("cat", {"invitation": token}), ("dan", {"invitation": token}))
    ]
    assert seen == {"open": [201, 409, 201, 201], "invite": [403, 403, 201, 403], "closed": [403] * 4}[mode]
