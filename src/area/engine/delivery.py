"""Sends the mails in `outgoing_mail`. A mail that can't be sent blocks no other, and a user's mails only wait for each
other.

A batch is delivered like this:

1. Give up mails that two workers died with (`LOST`), and claim up to `BATCH` others, one per user, for `LEASE`
   (`CLAIM`).
2. Connect to the server. If it can't be used, release the mails and pause, longer each time.
3. Write each letter (`_letter`); a mail that nobody needs any more is given up. Its link is committed before it is
   sent.
4. Send it, and record that. A refused mail is retried after a growing pause, or given up with a notice to the user.
5. Release what is left when the connection breaks or the batch takes longer than `BATCH_SECONDS`.

A worker that dies between sending a mail and recording that causes one repetition, never two.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import asyncpg
import orjson
import structlog

from area.accounts import signups
from area.db.away import is_away
from area.db.locks import Lock
from area.db.session import Conn
from area.engine.state import State
from area.kit import crypto, mime
from area.kit.clock import now
from area.kit.sentences import Sentence, gettext, local_time
from area.mail import CONFIRMED, UNSUBSCRIBE, UNSUBSCRIBE_FOR, Kind, Purpose, letters, server
from area.mail.letters import Letter
from area.mail.server import MailServer, Refused, Unusable
from area.notices import in_words, notice

log = structlog.get_logger()

LOOK_EVERY = 15.0  # seconds, without a notification of a new mail
BATCH = 20  # mails, each of another user
LEASE = timedelta(minutes=5)
BATCH_SECONDS = 120.0  # start no mail later, since the lease must last until it is sent
LONGEST_AWAY = 900.0  # seconds
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=4)
MAX_ATTEMPTS = 12
TOO_OLD = timedelta(days=2)
SOON_OLD = timedelta(hours=1)  # for mails that somebody waits for in front of a screen
UNCONFIRMED_RESETS = 3  # per day, to an unconfirmed address
LASTS: dict[Purpose, timedelta] = {
    "confirm": timedelta(days=3),
    "reset": timedelta(minutes=30),
    "change": timedelta(days=3),
    "undo": timedelta(days=7),
}

LOST = """
update outgoing_mail set given_up_at = now(), lease_until = null,
       last_error = 'Two workers stopped while they sent it; whether it was sent is not known.'
where sent_at is null and given_up_at is null and repeated and lease_until < now()
"""
CLAIM = """
with heads as (
    select distinct on (m.share) m.id, m.share from outgoing_mail m
    where m.sent_at is null and m.given_up_at is null and m.next_attempt_at <= now()
      and (m.lease_until is null or m.lease_until < now())
      and not exists (select from outgoing_mail o where o.share = m.share and o.attempted_at > now() - $2::interval
                      and o.lease_until >= now())
    order by m.share, m.kind = 'notice', m.id
), turns as (
    select h.id from heads h
    order by (select max(o.attempted_at) from outgoing_mail o where o.share = h.share) nulls first, h.id limit $1
)
update outgoing_mail m set repeated = m.lease_until is not null, lease_until = now() + $2::interval,
       attempted_at = clock_timestamp(), attempts = m.attempts + 1
from turns where m.id = turns.id
returning m.id, m.user_id, m.kind, m.recipient, m.notice_id, m.registration_id, m.attempts, m.created_at
"""
RELEASE = (
    "update outgoing_mail set lease_until = null, repeated = false, attempts = attempts - 1"
    " where id = any($1::bigint[])"
)
SENT = "update outgoing_mail set sent_at = now(), lease_until = null, last_error = null where id = $1"
LATER = (
    "update outgoing_mail set next_attempt_at = $2, lease_until = null, repeated = false, last_error = $3 where id = $1"
)
GIVEN_UP = "update outgoing_mail set given_up_at = now(), lease_until = null, last_error = $2 where id = $1"
MAILED = "update notices set mailed_at = now() where id = (select notice_id from outgoing_mail where id = $1)"
LINK = (
    "insert into email_links (token_hash, purpose, user_id, email, expires_at)"
    " values ($1, $2, $3, $4, now() + $5::interval)"
)

# the account is looked up here, not in the request, whose timing would reveal whether there is one
REGISTRATION = """
select p.language, u.id is not null as known, s.language as chosen from pending_registrations p
left join users u on u.email = p.email left join user_settings s on s.user_id = u.id
where p.id = $1 and p.expires_at > now()
"""
REGISTER = "update pending_registrations set token_hash = $2, expires_at = now() + $3::interval where id = $1"

OF_NOTICE = f"""
select n.title, n.body, n.said, n.area_id, u.id, s.language, s.timezone from notices n join users u on u.id = n.user_id
left join user_settings s on s.user_id = u.id
where n.id = $1 and n.created_at > now() - interval '2 days' and u.is_active and u.email = $2
  and coalesce(s.mail_notices, true) and {CONFIRMED}
  and (select count(*) from outgoing_mail m where m.user_id = u.id and m.kind = 'notice'
       and m.sent_at > now() - interval '1 day') < $3
"""  # noqa: S608 - constants
BY_KIND = {
    "confirm": f"u.id = $1 and u.email = $2 and not {CONFIRMED}",
    "change": "u.id = $1 and exists (select from email_changes e where e.user_id = u.id and e.email = $2)",
    "changing": "u.id = $1 and coalesce((select email from email_changes e where e.user_id = u.id), u.email) <> $2",
    "password": "u.id = $1",
    # the account is looked up here, not in the request, whose timing would reveal whether there is one
    "reset": f"u.email = $1 and ({CONFIRMED} or (select count(*) from outgoing_mail m where m.recipient = $1"  # noqa: S608 - constants
    f" and m.kind = 'reset' and m.sent_at > now() - interval '1 day') < {UNCONFIRMED_RESETS})",
}
OWNER = (
    "select u.id, s.language, s.timezone,"
    " coalesce((select email from email_changes e where e.user_id = u.id), u.email) as new_email"
    " from users u left join user_settings s on s.user_id = u.id where u.is_active and {}"
)
PURPOSES: dict[Kind, tuple[Purpose, str]] = {
    "confirm": ("confirm", "/confirm-email"),
    "reset": ("reset", "/reset-password"),
    "change": ("change", "/confirm-email"),
    "changing": ("undo", "/undo-email-change"),
}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A mail that this worker has claimed until its lease expires."""

    id: int
    user_id: int | None
    kind: Kind
    recipient: str
    notice_id: int | None
    registration_id: int | None
    attempts: int
    created_at: Any


class Delivery:
    """Runs on every worker. Mails are in their recipient's language."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._wake = asyncio.Event()
        self._away = 0.0  # seconds before the next try of the server

    def wake(self) -> None:
        """There is a new mail."""
        self._wake.set()

    async def run(self) -> None:
        """Send mails, forever."""
        while True:
            pause = LOOK_EVERY
            try:
                while await self.deliver():
                    pass
                pause = self._away or LOOK_EVERY
            except Exception as error:  # this loop must not end: nothing else sends mails
                if not is_away(error):
                    log.exception("mail.bug")
                log.warning("mail.waiting", error=str(error))
            if self._away:
                await asyncio.sleep(self._away)  # new mails don't bring the server back
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
            self._wake.clear()

    async def deliver(self) -> int:
        """Try one batch: at most one mail per user. Returns how many were tried; 0 if the server can't be used."""
        url = self._state.settings.smtp_url
        if url is None:
            return 0
        pool = await self._state.database.pool()
        try:
            mail_server = MailServer.parse(url.get_secret_value())
        except ValueError as error:
            self._unusable(error)
            return 0
        left = await self._claim(pool)
        tried, end = 0, time.monotonic() + BATCH_SECONDS
        try:
            while left:
                async with mail_server.connected() as client:
                    self._away = 0.0
                    while left and client.is_connected:
                        if time.monotonic() > end:
                            return tried
                        mail = left.pop(0)
                        await self._try(pool, mail, lambda letter: self._send(mail_server, client, mail, letter))  # noqa: B023
                        tried += 1
        except Unusable as error:
            self._unusable(error)
            tried = 0
        finally:
            if left:
                await pool.execute(RELEASE, [mail.id for mail in left])
        return tried

    async def _claim(self, pool: "asyncpg.Pool[asyncpg.Record]") -> list[Claimed]:
        async with pool.acquire() as conn, conn.transaction():
            await conn.execute("select pg_advisory_xact_lock($1)", Lock.DELIVERY)
            await conn.execute(LOST)
            return [Claimed(**row) for row in await conn.fetch(CLAIM, BATCH, LEASE)]

    def _unusable(self, error: Exception) -> None:
        self._away = min(LONGEST_AWAY, max(LOOK_EVERY, self._away * 2))
        log.warning("mail.server_unusable", error=str(error), again_in=self._away)

    async def _try(self, pool: Any, mail: Claimed, send: Callable[[Letter], Awaitable[str]]) -> None:
        """Send one mail, and record the result."""
        try:
            async with pool.acquire() as conn, conn.transaction():
                letter = await self._letter(conn, mail)
            if letter is None:
                await pool.execute(GIVEN_UP, mail.id, "No longer needed.")
                return
            answer = await send(letter)
        except Refused as error:
            await self._refused(pool, mail, str(error), permanent=error.permanent)
        except ValueError as error:
            await self._refused(pool, mail, str(error), permanent=True)
        except Exception as error:
            if is_away(error):
                raise
            log.exception("mail.bug", mail=mail.id)
            await self._refused(pool, mail, f"AREA had an internal error ({type(error).__name__}).", permanent=False)
        else:
            async with pool.acquire() as conn, conn.transaction():
                await conn.execute(SENT, mail.id)
                await conn.execute(MAILED, mail.id)
            log.info("mail.sent", mail=mail.id, kind=mail.kind, answer=answer)

    async def _send(self, mail_server: MailServer, client: Any, mail: Claimed, letter: Letter) -> str:
        token = f"{mail.id}.{self._state.instance}"
        message = letters.write(
            letter, sender=mail_server.sender, message_id=mime.message_id(token, mail_server.domain), date=now()
        )
        return await server.send(client, message, mail_server.sender, letter.recipient)

    async def _refused(self, pool: Any, mail: Claimed, error: str, *, permanent: bool) -> None:
        age = now() - mail.created_at
        over = permanent or mail.attempts >= MAX_ATTEMPTS or age > (SOON_OLD if mail.kind == "reset" else TOO_OLD)
        log.warning("mail.refused", mail=mail.id, kind=mail.kind, attempts=mail.attempts, given_up=over, error=error)
        if not over:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 4 ** (mail.attempts - 1))
            await pool.execute(LATER, mail.id, now() + pause, error)
            return
        async with pool.acquire() as conn, conn.transaction():
            await conn.execute(GIVEN_UP, mail.id, error)
            if mail.user_id is not None:
                await notice(
                    conn,
                    self._state.settings,
                    mail.user_id,
                    "warning",
                    Sentence("An e-mail to you could not be sent"),
                    Sentence(
                        "The mail server rejected %(name)s: %(error)s\n\nCheck the e-mail address in your profile.",
                        name=mail.recipient,
                        error=error,
                    ),
                    key=f"mail:{now():%Y-%m-%d}",
                    mailed=False,
                )

    # Letters

    async def _letter(self, conn: Conn, mail: Claimed) -> Letter | None:
        """The letter, with a new link if it has one; None if nobody should get it any more."""
        base = self._state.settings.base_url
        if mail.kind == "notice":
            return await self._notice(conn, mail, base)
        if mail.kind == "register":
            return await self._registration(conn, mail, base)
        owner = await conn.fetchrow(OWNER.format(BY_KIND[mail.kind]), *self._arguments(mail))
        if owner is None:
            return None
        language = owner["language"] or "en"
        if mail.kind in PURPOSES:
            purpose, path = PURPOSES[mail.kind]
            token = crypto.new_token()
            await conn.execute(LINK, crypto.hash_token(token), purpose, owner["id"], mail.recipient, LASTS[purpose])
            link = f"{base}{path}?token={token}"
        else:
            link = f"{base}/forgot-password"
        values = {
            "site": base,
            "link": link,
            "email": owner["new_email"],
            "moment": local_time(mail.created_at, language, owner["timezone"] or "UTC"),
        }
        subject, text = map(gettext(language), letters.TEXTS[mail.kind])
        return Letter(mail.recipient, subject, text % values)

    def _arguments(self, mail: Claimed) -> list[Any]:
        match mail.kind:
            case "confirm" | "change" | "changing":
                return [mail.user_id, mail.recipient]
            case "reset":
                return [mail.recipient]
            case _:
                return [mail.user_id]

    async def _registration(self, conn: Conn, mail: Claimed, base: str) -> Letter | None:
        row = await conn.fetchrow(REGISTRATION, mail.registration_id)
        if row is None:
            return None
        kind: letters.Text = "register"
        language, token = row["language"], crypto.new_token()
        link = f"{base}/finish-sign-up?token={token}"
        if row["known"]:
            kind, language, link = "known", row["chosen"] or language, f"{base}/sign-in"
        else:
            await conn.execute(REGISTER, mail.registration_id, crypto.hash_token(token), signups.GOOD_FOR)
        subject, text = map(gettext(language), letters.TEXTS[kind])
        values = {"site": base, "link": link, "reset": f"{base}/forgot-password"}
        return Letter(mail.recipient, subject, text % values)

    async def _notice(self, conn: Conn, mail: Claimed, base: str) -> Letter | None:
        row = await conn.fetchrow(OF_NOTICE, mail.notice_id, mail.recipient, self._state.settings.mail_per_day)
        if row is None:
            return None
        texts = [row["title"], row["body"]]
        language = row["language"] or "en"
        if words := in_words(orjson.loads(row["said"] or "null"), language, row["timezone"] or "UTC"):
            texts = list(words)
        signed = self._state.keyring.sign(str(row["id"]), UNSUBSCRIBE, UNSUBSCRIBE_FOR.total_seconds())
        link = f"{base}/unsubscribe?token={quote(signed)}"
        page = f"{base}/areas/{row['area_id']}" if row["area_id"] else f"{base}/inbox"
        text = gettext(language)(letters.TEXTS["notice"][1]) % {"text": texts[1], "page": page, "link": link}
        return Letter(mail.recipient, texts[0], text, unsubscribe=link)
