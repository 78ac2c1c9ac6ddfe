"""Mail that AREA sends: to whom, in which order, and what becomes of a mail that can't be sent."""

import email
import re
from email import policy

import pytest
from pydantic import SecretStr

from area import mail
from area.accounts import alerts
from area.engine.delivery import MAX_ATTEMPTS, Delivery
from area.engine.platform import UserPlatform
from area.kit import crypto
from area.kit.sentences import Sentence
from area.notices import notice
from area.sdk import Permanent
from area.settings import Settings
from tests.kit import hostile_mail
from tests.peers import smtp_server

from .conftest import make_user, rows

QUEUE = "select * from outgoing_mail order by id"


@pytest.fixture(scope="module")
def post():
    with smtp_server(auth=False) as peer:
        yield peer


@pytest.fixture(autouse=True)
def _clean(post):
    post.refuse.clear()
    post.mails.clear()


@pytest.fixture
def delivery(state, post, tmp_path):
    use(state, f"smtp://127.0.0.1:{post.port}?from=AREA <area@x.org>&tls=none")
    return Delivery(state)


def use(state, url, **more):
    state.settings = Settings(_env_file=None, data_dir=state.settings.data_dir, smtp_url=SecretStr(url), **more)


async def confirmed(state, name):
    user = await make_user(state, name)
    pool = await state.database.pool()
    await pool.execute("insert into confirmed_emails (user_id, email) select id, email from users where id = $1", user)
    return user


async def put(state, user, title="It broke", body="Because.", level="error", **more):
    pool = await state.database.pool()
    async with pool.acquire() as conn, conn.transaction():
        return await notice(conn, state.settings, user, level, title, body, **more)


async def all_sent(delivery):
    while await delivery.deliver():
        pass


async def later(state):
    pool = await state.database.pool()
    await pool.execute("update outgoing_mail set next_attempt_at = now()")


def read(received):
    return email.message_from_bytes(received.content, policy=policy.default)


async def test_a_warning_is_mailed_once_and_information_is_not(state, delivery, post):
    user = await confirmed(state, "ann")
    await put(state, user)
    await put(state, user, "Hello", level="info")
    await all_sent(delivery)
    await all_sent(delivery)
    (received,) = post.mails
    assert (received.sender, received.recipients) == ("area@x.org", ["ann@example.org"])
    assert hostile_mail.names(received.content) == [
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "List-Unsubscribe", "MIME-Version", "Content-Type",
        "Content-Transfer-Encoding",
    ]  # fmt: skip
    message = read(received)
    assert (message["From"], message["Subject"]) == ("AREA <area@x.org>", "It broke")
    assert (message["Auto-Submitted"], message["Date"].datetime.tzinfo is not None) == ("auto-generated", True)
    assert message["Message-ID"].endswith("@x.org>")
    assert "Because." in message.get_content()
    (row,) = await rows(state, QUEUE)
    assert row["sent_at"] is not None
    assert all(
        told_notice["mailed_at"]
        for told_notice in await rows(state, "select mailed_at from notices where level = 'error'")
    )


async def test_an_area_mails_its_owner_once_at_the_confirmed_address(state, delivery, post):
    user = await confirmed(state, "ann")
    platform = UserPlatform(state, user, 0, key="7")
    number = await platform.mail_notice("Invoice", "It is due.")
    assert await platform.mail_notice("Invoice", "It is due.") == number, "another attempt of the same run"
    await all_sent(delivery)
    (received,) = post.mails
    assert received.recipients == ["ann@example.org"]
    message = read(received)
    assert message["Subject"] == "Invoice"
    assert "It is due." in message.get_content()
    (row,) = await rows(state, "select * from notices")
    assert (row["id"], row["level"]) == (number, "info")
    assert row["mailed_at"] is not None


async def test_who_can_not_be_mailed_is_told_why_and_nothing_is_posted(state, delivery, post):
    pool = await state.database.pool()
    user = await make_user(state, "ann")
    platform = UserPlatform(state, user, 0, key="7")
    with pytest.raises(Permanent, match=r"isn't confirmed\. Confirm it in your profile"):
        await platform.mail_notice("Invoice", "It is due.")
    await pool.execute("insert into confirmed_emails (user_id, email) select id, email from users where id = $1", user)
    use(state, f"smtp://127.0.0.1:{post.port}?tls=none", mail_per_day=1)
    first = await platform.mail_notice("Invoice", "It is due.")
    with pytest.raises(Permanent, match=r"got 1 e-mails in a day"):
        await UserPlatform(state, user, 0, key="8").mail_notice("Invoice", "It is due.")
    assert await platform.mail_notice("Invoice", "It is due.") == first, "what was sent is not refused afterwards"
    await pool.execute("delete from outgoing_mail")
    await pool.execute(
        "insert into user_settings (user_id, mail_notices) values ($1, false)"
        " on conflict (user_id) do update set mail_notices = false",
        user,
    )
    with pytest.raises(Permanent, match="don't receive notices by e-mail"):
        await UserPlatform(state, user, 0, key="9").mail_notice("Invoice", "It is due.")
    state.settings = Settings(_env_file=None, data_dir=state.settings.data_dir)
    with pytest.raises(Permanent, match="can't send e-mail"):
        await UserPlatform(state, user, 0, key="9").mail_notice("Invoice", "It is due.")
    assert len(await rows(state, "select * from notices where level = 'info' and title = 'Invoice'")) == 1


async def test_one_click_unsubscribe_is_offered_where_it_can_be_had(state, delivery, post):
    use(state, f"smtp://127.0.0.1:{post.port}?tls=none", public_url="https://area.example.org")
    await put(state, await confirmed(state, "ann"))
    await all_sent(delivery)
    message = read(post.mails[0])
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    (link,) = re.findall(r"<https://area\.example\.org/unsubscribe\?token=([\w.-]+)>", message["List-Unsubscribe"])
    assert state.keyring.unsign(link, mail.UNSUBSCRIBE)


async def test_nothing_but_the_confirmation_goes_to_an_unconfirmed_address(state, delivery, post):
    user = await make_user(state, "victim")
    for number in range(5):
        await put(state, user, "Your bank account is locked", "Pay here", key=f"execution:{number}")
    await all_sent(delivery)
    (received,) = post.mails
    assert read(received)["Subject"] == "Confirm your e-mail address"
    assert not {"bank", "Pay here", "victim"} & set(re.findall(r"bank|Pay here|victim", read(received).get_content()))
    assert [row["kind"] for row in await rows(state, QUEUE)] == ["confirm"]


async def test_what_changes_how_one_signs_in_is_mailed_too(state, delivery, post):
    known, unknown = await confirmed(state, "ann"), await make_user(state, "bob")
    async with state.database.transaction() as session:
        for user in (known, unknown):
            await alerts.alert(session, user, "A passkey was added to your account")
    await all_sent(delivery)
    assert [letter.recipients for letter in post.mails] == [["ann@example.org"]]


async def test_an_address_that_was_changed_is_no_longer_confirmed(state, delivery, post):
    user = await confirmed(state, "ann")
    await put(state, user)
    pool = await state.database.pool()
    await pool.execute("update users set email = 'other@example.org' where id = $1", user)
    await all_sent(delivery)
    assert post.mails == []


async def test_who_wants_no_mail_gets_none(state, delivery, post):
    user = await confirmed(state, "ann")
    await put(state, user)
    pool = await state.database.pool()
    await pool.execute("insert into user_settings (user_id, mail_notices) values ($1, false)", user)
    await put(state, user, "Another")
    await all_sent(delivery)
    assert post.mails == []
    assert len(await rows(state, "select * from notices")) == 2


async def test_mails_of_one_user_are_limited(state, delivery, post):
    use(state, f"smtp://127.0.0.1:{post.port}?tls=none", mail_per_day=3)
    user, other = await confirmed(state, "ann"), await confirmed(state, "bob")
    for number in range(10):
        await put(state, user, f"Notice {number}")
    await put(state, other)
    await all_sent(delivery)
    assert sorted(received.recipients[0] for received in post.mails) == ["ann@example.org"] * 3 + ["bob@example.org"]
    titles = [
        row["title"]
        for row in await rows(state, "select title from notices order by id")
        if "Notice" not in row["title"]
    ]
    assert titles == ["Daily limit for e-mailed notices reached", "It broke"]


async def test_a_mail_that_is_refused_stops_no_other_and_is_told(state, delivery, post):
    post.refuse["bounce@example.org"] = "550 5.1.1 No such user"
    bad, good = await confirmed(state, "bounce"), await confirmed(state, "ann")
    await put(state, bad)
    await put(state, good)
    await all_sent(delivery)
    assert [received.recipients for received in post.mails] == [["ann@example.org"]]
    refused, _ = await rows(state, QUEUE)
    assert refused["given_up_at"] is not None
    assert refused["last_error"] == "550 5.1.1 No such user"
    notices = await rows(
        state, "select level, title, body from notices where user_id = $1 order by id desc limit 1", bad
    )
    assert notices[0]["body"].startswith("The mail server rejected bounce@example.org: 550 5.1.1 No such user")
    assert len(await rows(state, QUEUE)) == 2, "what tells of it is not mailed"


async def test_what_is_refused_for_now_is_tried_again_and_at_last_given_up(state, delivery, post):
    post.refuse["ann@example.org"] = "451 4.7.1 Greylisted"
    slow, good = await confirmed(state, "ann"), await confirmed(state, "bob")
    await put(state, slow)
    await put(state, good)
    await all_sent(delivery)
    assert [received.recipients for received in post.mails] == [["bob@example.org"]]
    waits = []
    for _ in range(MAX_ATTEMPTS - 1):
        row, *_ = await rows(state, QUEUE)
        assert (row["given_up_at"], row["sent_at"]) == (None, None)
        waits.append(round((row["next_attempt_at"] - row["attempted_at"]).total_seconds() / 60))
        await later(state)
        await all_sent(delivery)
    assert waits == [1, 4, 16, 64] + [240] * (MAX_ATTEMPTS - 5)
    row, *_ = await rows(state, QUEUE)
    assert (row["attempts"], row["last_error"]) == (MAX_ATTEMPTS, "451 4.7.1 Greylisted")
    assert row["given_up_at"] is not None


async def test_a_server_that_is_away_costs_no_attempts(state, delivery, post):
    user = await confirmed(state, "ann")
    use(state, "smtp://127.0.0.1:1?tls=none")
    await put(state, user)
    for _ in range(MAX_ATTEMPTS + 1):
        assert await delivery.deliver() == 0
    (row,) = await rows(state, QUEUE)
    assert (row["attempts"], row["lease_until"], row["given_up_at"]) == (0, None, None)
    use(state, f"smtp://127.0.0.1:{post.port}?tls=none")
    await all_sent(delivery)
    assert len(post.mails) == 1


async def test_nothing_goes_out_in_clear_text_unless_it_is_allowed(state, delivery, post):
    user = await confirmed(state, "ann")
    use(state, f"smtp://login:secret@127.0.0.1:{post.port}")
    await put(state, user)
    await all_sent(delivery)
    assert post.mails == []
    (row,) = await rows(state, QUEUE)
    assert row["attempts"] == 0


async def test_users_have_their_turns(state, delivery, post):
    many = [await confirmed(state, f"many{number}") for number in range(25)]
    for user in many:
        for number in range(4):
            await put(state, user, f"Notice {number}")
    late = await confirmed(state, "late")
    assert await delivery.deliver() == 20
    assert await delivery.deliver() == 20
    await put(state, late)
    await delivery.deliver()
    assert "late@example.org" in [received.recipients[0] for received in post.mails[40:]], "not behind 60 older ones"
    await all_sent(delivery)
    assert len(post.mails) == 101


async def test_a_mail_whose_worker_died_is_sent_once_more_and_never_a_third_time(state, delivery, post):
    await put(state, await confirmed(state, "ann"))
    pool = await state.database.pool()
    for _ in range(2):
        assert len(await delivery._claim(pool)) == 1  # and then the worker dies
        assert await delivery._claim(pool) == []
        await pool.execute("update outgoing_mail set lease_until = now() - interval '1 second'")
    await all_sent(delivery)
    assert post.mails == []
    (row,) = await rows(state, QUEUE)
    assert row["given_up_at"] is not None


async def test_two_workers_send_nothing_twice(state, delivery, post):
    user = await confirmed(state, "ann")
    for number in range(3):
        await put(state, user, f"Notice {number}")
    pool = await state.database.pool()
    (first,) = await delivery._claim(pool)
    assert await Delivery(state)._claim(pool) == [], "one mail of a user at a time"
    await delivery._refused(pool, first, "451 later", permanent=False)
    await all_sent(Delivery(state))
    assert len(post.mails) == 2


async def test_titles_are_lines_and_no_headers(state, delivery, post):
    user = await confirmed(state, "ann")
    for text in hostile_mail.TEXTS:
        await put(state, user, text)
    await all_sent(delivery)
    known = {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "List-Unsubscribe", "MIME-Version", "Content-Type",
        "Content-Transfer-Encoding",
    }  # fmt: skip
    assert [set(hostile_mail.names(received.content)) for received in post.mails] == [known] * len(hostile_mail.TEXTS)
    for row in await rows(state, "select title from notices"):
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202e]", row["title"])


async def test_mails_are_in_the_users_language_and_what_an_area_posts_in_the_users_words(state, delivery, post):
    user = await confirmed(state, "ann")
    pool = await state.database.pool()
    await pool.execute("insert into user_settings (user_id, language) values ($1, 'fr')", user)
    await put(state, user, "Notes must be reconnected")  # by an older version
    why = Sentence("%(host)s refused the connection.", host="example.org")
    last = Sentence("Failed %(number)s times in a row. Last error: %(error)s", number=3, error=why)
    await put(state, user, Sentence("%(name)s was switched off", name="Porte"), last)
    await put(state, user, "My lamp must be reconnected", key="execution:1")
    await all_sent(delivery)
    assert [read(letter)["Subject"] for letter in post.mails] == [
        "Notes must be reconnected", "Porte a été désactivée", "My lamp must be reconnected"
    ]  # fmt: skip
    text = read(post.mails[1]).get_content().replace("\u00a0", " ")
    assert "la dernière fois : example.org a refusé la connexion." in text


async def test_a_reset_is_mailed_to_whom_there_is_and_looks_the_same_in_the_queue(state, delivery, post):
    user = await make_user(state, "ann")
    async with state.database.transaction() as session:
        for address in ("ann@example.org", "nobody@example.org"):
            await mail.enqueue(session, "reset", address, source="192.0.2.1")
    before = [{k: v for k, v in row.items() if k not in ("id", "recipient")} for row in await rows(state, QUEUE)]
    assert before[0] == before[1]
    await all_sent(delivery)
    (received,) = post.mails
    (token,) = re.findall(r"/reset-password\?token=([\w-]{43})\s", read(received).get_content())
    (link,) = await rows(state, "select * from email_links")
    assert (link["token_hash"], link["user_id"], link["purpose"]) == (crypto.hash_token(token), user, "reset")
    assert 29 < (link["expires_at"] - link["created_at"]).total_seconds() / 60 <= 30
