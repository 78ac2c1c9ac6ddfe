"""The mail server in AREA_SMTP_URL (RFC 5321): address, encryption, responses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import override

from area.kit import mime
from area.kit.mime import Mailbox, Message

if TYPE_CHECKING:
    import aiosmtplib

Tls = Literal["starttls", "implicit", "none"]

TIMEOUT = 30.0  # seconds
HOW = {"starttls": "with STARTTLS", "implicit": "with TLS", "none": "without encryption, as tls=none says"}
FORM = "smtp://login:password@mail.example.org:587?from=area@example.org"


class Unusable(Exception):
    """The server can't be used for any mail: unreachable, not trusted, or it rejects the log-in."""


class Refused(Exception):
    """The server rejected this mail, permanently or for now."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


@dataclass(frozen=True)
class MailServer:
    """The parsed AREA_SMTP_URL."""

    host: str
    port: int
    tls: Tls
    sender: Mailbox
    login: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> "MailServer":
        """Parse the URL. Raises `ValueError` with a sentence that doesn't contain the password."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in ("smtp", "smtps"):
            raise ValueError(f"AREA_SMTP_URL must look like {FORM}.")
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        sender, tls = query.pop("from", f"area@{host}"), query.pop("tls", "")
        if query:
            raise ValueError(f"AREA_SMTP_URL takes from= and tls=none, not {min(query)[:50]!r}.")
        if tls not in ("", "none") or (tls and parts.scheme == "smtps"):
            raise ValueError("In AREA_SMTP_URL, tls= can only be none, for smtp:// without encryption.")
        implicit: Tls = "implicit" if parts.scheme == "smtps" else "starttls"
        name, bracket, address = sender.rpartition("<")
        try:
            mailbox = Mailbox(mime.address(address.rstrip("> ") if bracket else sender), name.strip(' "'))
        except ValueError as error:
            raise ValueError(f"AREA_SMTP_URL, from=: {error}") from None
        return cls(
            host=host,
            port=port or (465 if implicit == "implicit" else 587),
            tls="none" if tls else implicit,
            sender=mailbox,
            login=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )

    @override
    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def domain(self) -> str:
        """The sender's domain, for Message-IDs."""
        return self.sender.address.rpartition("@")[2]

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["aiosmtplib.SMTP"]:
        """An encrypted (as configured), logged-in connection. Raises `Unusable` if it can't be opened."""
        import aiosmtplib

        client = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            use_tls=self.tls == "implicit",
            start_tls=self.tls == "starttls",
            timeout=TIMEOUT,
            local_hostname=None,
        )
        try:
            await client.connect()
            if self.login:  # done explicitly, so that a rejection here is known to be about the log-in
                await client.login(self.login, self.password)
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            client.close()
            raise Unusable(self._explain(error)) from error
        try:
            yield client
        finally:
            try:
                await client.quit(timeout=5)
            except (aiosmtplib.SMTPException, OSError, TimeoutError):
                client.close()

    def _explain(self, error: Exception) -> str:
        """What is wrong, and how to fix it."""
        import aiosmtplib

        response = answer(error)
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            return f"{self} refuses the login: {response}. Check the login and password in AREA_SMTP_URL."
        if self.tls == "starttls" and "starttls" in response.lower() and "not supported" in response.lower():
            return (
                f"{self} does not offer STARTTLS, so AREA sends nothing: mail would go in clear text. Use smtps:// if"
                " the server starts with TLS, or add tls=none to AREA_SMTP_URL if the network is safe, as on this"
                " machine."
            )
        return f"{self} can't be used: {response}."


async def send(client: "aiosmtplib.SMTP", message: Message, sender: Mailbox, recipient: str) -> str:
    """Send to one address. Returns the server's response. Raises `Refused`."""
    import aiosmtplib

    try:
        _, response = await client.sendmail(
            sender.address,
            [recipient],
            message.content,
            mail_options=["SMTPUTF8"] if message.utf8 else [],
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        (refusal,) = error.recipients
        raise Refused(answer(refusal), permanent=refusal.code >= 500) from error
    except aiosmtplib.SMTPSenderRefused as error:  # not about the recipient: an administrator may fix it
        raise Refused(answer(error), permanent=False) from error
    except aiosmtplib.SMTPNotSupported as error:
        raise Refused(answer(error), permanent=True) from error
    except aiosmtplib.SMTPResponseException as error:
        raise Refused(answer(error), permanent=error.code >= 500) from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise Refused(answer(error), permanent=False) from error
    return mime.one_line(response)[:300]


def answer(error: BaseException) -> str:
    """The server's response, or the error, as one line."""
    code, text = getattr(error, "code", None), getattr(error, "message", None) or str(error) or type(error).__name__
    return mime.one_line(f"{code} {text}" if isinstance(code, int) and code > 0 else text).rstrip(".")[:300]
