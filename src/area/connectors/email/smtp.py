"""Sending over SMTP (RFC 5321)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosmtplib

from area.connectors.email.server import TIMEOUT, Server, words
from area.kit.net import Guard
from area.sdk import AuthExpired, ConnectorError, Permanent, Retry, tls_context


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
    except aiosmtplib.SMTPRecipientsRefused as error:
        said = "; ".join(f"{one.recipient}: {one.code} {words(one.message)}" for one in error.recipients)
        refusal = Permanent if all(one.code >= 500 for one in error.recipients) else Retry
        raise refusal(f"{server} refuses every recipient. {said}") from error
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
