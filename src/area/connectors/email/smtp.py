"""Sending over SMTP (RFC 5321)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiosmtplib

from area.connectors.email.server import TIMEOUT, Server, words
from area.sdk import AuthExpired, ConnectorError, Guard, Permanent, Retry, tls_context
from area.sdk.mail import Message


@asynccontextmanager
async def connected(guard: Guard, server: Server, login: str, password: str) -> AsyncIterator[aiosmtplib.SMTP]:
    """An SMTP connection (RFC 5321) that is logged in. What fails inside is raised as one of the three errors."""
    sock = await server.open_socket(guard)
    own = sock.getsockname()[0]
    client = aiosmtplib.SMTP(
        hostname=server.host,
        sock=sock,
        local_hostname=f"[IPv6:{own}]" if ":" in own else f"[{own}]",
        timeout=TIMEOUT,
        use_tls=server.security == "tls",
        start_tls=server.security == "starttls",
        tls_context=tls_context(),
        username=login or None,
        password=password,
    )
    try:
        async with client:
            yield client
    except aiosmtplib.SMTPAuthenticationError as error:
        refusal: type[ConnectorError] = AuthExpired if error.code >= 500 else Retry
        raise refusal(f"{server} refuses the login of {login}: {error.code} {words(error.message)}") from error
    except aiosmtplib.SMTPResponseException as error:
        refusal = Permanent if error.code >= 500 else Retry
        raise refusal(f"{server} refuses the mail: {error.code} {words(error.message)}") from error
    except (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPTimeoutError, aiosmtplib.SMTPServerDisconnected) as error:
        cause = error.__cause__
        raise server.explain(cause if isinstance(cause, OSError) else error) from error
    except aiosmtplib.SMTPException as error:
        raise Permanent(f"{server} can't be used: {words(error.message)}") from error
    except OSError as error:
        raise server.explain(error) from error


async def send(
    client: aiosmtplib.SMTP, message: Message, sender: str, recipients: Sequence[str]
) -> dict[str, aiosmtplib.SMTPResponse]:
    """Send to those whom the server takes; returns what it said of the others, which may be all."""
    utf8 = message.utf8 or not all(address.isascii() for address in (sender, *recipients))
    try:
        refused, _ = await client.sendmail(
            sender, recipients, message.content, mail_options=["SMTPUTF8"] if utf8 else []
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        return {one.recipient: aiosmtplib.SMTPResponse(one.code, one.message) for one in error.recipients}
    except aiosmtplib.SMTPNotSupported as error:
        raise Permanent("This SMTP server takes no addresses with letters beyond ASCII before the @.") from error
    except ValueError as error:
        raise Permanent(f"An address can't be used: {error}") from error
    return refused
