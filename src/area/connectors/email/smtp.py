"""Sending over SMTP (RFC 5321)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiosmtplib

from area.connectors.email.server import TIMEOUT, Server, words
from area.sdk import AuthExpired, ConnectorError, Guard, Permanent, Retry, tls_context
from area.sdk.mail import Message


@asynccontextmanager
async def connected(guard: Guard, server: Server, login: str, password: str) -> AsyncIterator[aiosmtplib.SMTP]:
    """A logged-in SMTP connection. Errors inside are raised as `Retry`, `Permanent` or `AuthExpired`."""
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
        raise refusal(f"{server} rejected the sign-in of {login}: {error.code} {words(error.message)}") from error
    except aiosmtplib.SMTPResponseException as error:
        refusal = Permanent if error.code >= 500 else Retry
        raise refusal(f"{server} refused the e-mail: {error.code} {words(error.message)}") from error
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
    """Send to the recipients the server accepts. Returns its replies for the others, which may be all."""
    utf8 = message.utf8 or not all(address.isascii() for address in (sender, *recipients))
    try:
        refused, _ = await client.sendmail(
            sender, recipients, message.content, mail_options=["SMTPUTF8"] if utf8 else []
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        return {one.recipient: aiosmtplib.SMTPResponse(one.code, one.message) for one in error.recipients}
    except aiosmtplib.SMTPNotSupported as error:
        raise Permanent("This SMTP server doesn't support addresses with non-ASCII letters before the @.") from error
    except ValueError as error:
        raise Permanent(f"An address can't be used: {error}") from error
    return refused
