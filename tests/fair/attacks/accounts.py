"""Passwords, tokens and what answers give away."""

import asyncio
import contextlib
from email import message_from_bytes

from tests.fair.stage import PASSWORD, Stage

from . import attack
from .mail import MAIL

GUESSES = 12  # more than an account takes in 15 minutes


@attack(alone=False)
async def owner_locked_out(stage: Stage) -> None:
    """Wrong passwords for the victim's account, from several addresses; then the owner, from where they always log in."""
    owner = stage.victim
    at_home = "127.0.2.1"
    assert (await stage.log_in(owner.name, source=at_home)).status == 200
    statuses = [(await stage.log_in(owner.name, "wrong", source=f"127.0.3.{n + 1}")).status for n in range(GUESSES)]
    stage.table.is_so(stage.attack, "the guesses are stopped", statuses[-1], 429 in statuses)
    answer = await stage.log_in(owner.name, source=at_home)
    stage.table.is_so(stage.attack, "the owner logs in", answer.status, answer.status == 200)
    body = {"current_password": PASSWORD, "new_password": PASSWORD + "!"}
    answer = await owner.ask("POST", "/api/me/password", body)
    stage.table.is_so(stage.attack, "the owner changes the password", answer.status, answer.status in (200, 204))


@attack(alone=False)
async def stolen_session(stage: Stage) -> None:
    """A token made with a stolen session, and whether it outlives what the owner does about it."""
    owner = await stage.register("olive")
    stolen = (await stage.log_in(owner.name)).body["token"]
    headers = {"Authorization": f"Bearer {stolen}"}
    for name, body in (
        ("without the password", {"name": "mine"}),
        ("with a wrong one", {"name": "mine", "password": "no"}),
    ):
        answer = await stage.request("POST", "/api/me/tokens", json_body=body, headers=headers)
        stage.table.is_so(stage.attack, f"a token {name} is refused", answer.status, answer.status in (401, 403, 422))
    created = await owner.ask("POST", "/api/me/tokens", {"name": "old", "password": PASSWORD})
    token = created.body.get("token", "") if created.status == 201 else ""
    answer = await owner.ask("POST", "/api/me/sign-out-everywhere", {"tokens": True})
    seen = await stage.request("GET", "/api/me", headers={"Authorization": f"Bearer {token}"})
    stage.table.is_so(
        stage.attack, "sign out everywhere ends tokens too", f"{answer.status}, {seen.status}", seen.status == 401
    )


@attack(**MAIL, AREA_REGISTRATION="confirm")
async def enumeration(stage: Stage) -> None:
    """Whether registering and resetting a password tell a known address from an unknown one."""
    addresses = (stage.victim.email, "nobody@example.org")

    async def both(path: str, *bodies: dict[str, str], form: bool = False) -> tuple[list[int], bool]:
        """The answers for the known address and for the other, and whether they are alike but for the address."""
        answers = []
        for address, body in zip(addresses, bodies, strict=True):
            provided = {"data" if form else "json_body": {"email": address} | body}
            answers.append(await stage.request("POST", path, headers={"Origin": stage.area.url}, **provided))
        known, unknown = (
            str(answer.body).replace(address, "") for answer, address in zip(answers, addresses, strict=True)
        )
        statuses = [answer.status for answer in answers]
        return statuses, statuses[0] == statuses[1] < 400 and known == unknown

    new = [{"username": f"somebody-{number}", "password": PASSWORD} for number in range(4)]
    seen, alike = await both("/api/auth/register", *new[:2])
    stage.table.is_so(stage.attack, "register answers both alike", seen, alike)
    seen, alike = await both("/sign-up", *new[2:], form=True)
    stage.table.is_so(stage.attack, "the page answers both alike", seen, alike)
    taken = {"username": stage.victim.name, "password": PASSWORD}
    seen, _ = await both("/api/auth/register", taken, taken)
    stage.table.is_so(stage.attack, "so it does for a name that is taken", seen, seen[0] == seen[1])
    await stage.until("select count(*) = 0 from outgoing_mail where sent_at is null", seconds=30)
    subjects = [str(message_from_bytes(stage.mail.to(address)[-1])["subject"]) for address in addresses]
    answer = subjects == ["You already have an account", "Finish signing up"]
    stage.table.is_so(stage.attack, "only the mailbox's owner learns", subjects, answer)
    seen, alike = await both("/api/auth/password/forgot", {}, {})
    stage.table.is_so(stage.attack, "a reset answers both alike", seen, alike)
    for number in range(GUESSES):
        await stage.log_in(stage.victim.email, "wrong", source=f"127.0.4.{number + 1}")
    by_name = await stage.log_in(stage.victim.name, "wrong", source="127.0.4.100")
    other = await stage.log_in("nobody-there", "wrong", source="127.0.4.101")
    shown = f"{by_name.status} {other.status}"
    stage.table.is_so(stage.attack, "guesses at an address don't tell its name", shown, by_name.status == other.status)


@attack(alone=False)
async def imap_password(stage: Stage) -> None:
    """A line break in the password of a mail account."""
    heard: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                heard.append(line)
                tag = line.split(b" ")[0]
                writer.write(b"* CAPABILITY IMAP4rev1\r\n" + tag + b" OK\r\n")
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        body = {
            "imap_host": "127.0.0.1", "imap_port": server.sockets[0].getsockname()[1], "imap_security": "none",
            "login": "ann", "password": "x\r\nX NOOP",
        }  # fmt: skip
        answer = await stage.attacker.ask("POST", "/api/connections/email", body)
    injected = [line for line in heard if line.startswith(b"X NOOP")]
    stage.table.is_so(stage.attack, "no command of its own", answer.status, not injected)


CANARY = "canary-9f3c1e7b5d"


@attack(alone=False)
async def exported_secrets(stage: Stage) -> None:
    """Secrets that a user wrote into a request's headers, address and query, in what they export."""
    headers = f"Authorization: Bearer {CANARY}-1\nX-Api-Key: {CANARY}-2"
    url = f"http://ann:{CANARY}-3@127.0.0.1:9/?api_key={CANARY}-4&q=1"
    created = await stage.attacker.try_area("webhook.received", {}, "http.request", "secret", url=url, headers=headers)
    if created.status != 201:
        created = await stage.attacker.try_area(
            "webhook.received", {}, "http.request", "secret", url="http://127.0.0.1:9/", headers=headers
        )
    stage.table.is_so(stage.attack, "made or refused with a reason", created.status, created.status in (201, 422))
    exported = await stage.attacker.ask("GET", "/api/areas/export")
    results = [n for n in range(1, 5) if f"{CANARY}-{n}" in str(exported.body)]
    stage.table.is_so(stage.attack, "none of them is exported", f"found: {results}", not results)
