"""Sending over SMTP (RFC 5321), and addresses as they are written for it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiosmtplib

from area.connectors.email.server import TIMEOUT, Server, words
from area.kit.net import Guard
from area.sdk import AuthExpired, ConnectorError, Permanent, Retry, tls_context

_PIECE = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,;"])+')
_NAMED = re.compile(r"([^<>]*)<\s*([^<>\s]*)\s*>\s*")
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+")


def addresses(given: Any) -> Any:
    """Addresses separated by commas, as they stand in a header; semicolons and a list of them are taken too."""
    text = ", ".join(map(str, given)) if isinstance(given, list | tuple) else given
    if not isinstance(text, str):
        return text
    written = []
    for piece in filter(str.strip, _PIECE.findall(text)):
        match = _NAMED.fullmatch(piece)
        name, address = match.groups() if match else ("", piece.strip())
        if not _ADDRESS.fullmatch(address):
            raise ValueError(f"{piece.strip()!r} is no e-mail address; write name@example.com.")
        name = " ".join("".join(c if c.isprintable() and c not in '"\\' else " " for c in name).split())
        written.append(f'"{name}" <{ascii_domain(address)}>' if name else ascii_domain(address))
    return ", ".join(written)


def ascii_domain(address: str) -> str:
    """The address with its domain as the name servers know it (RFC 3492)."""
    local, at, domain = address.rpartition("@")
    try:
        return f"{local}{at}{domain if domain.isascii() else domain.encode('idna').decode()}"
    except UnicodeError:
        return address


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
