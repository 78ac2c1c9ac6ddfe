"""Where a mail server is, and what to tell the user when the way to it fails."""

import socket
import ssl
from dataclasses import dataclass
from functools import cache
from typing import Literal

from typing_extensions import override

from area.kit.net import Blocked, Guard
from area.sdk import ConnectorError, Permanent, Retry

Security = Literal["tls", "starttls", "none"]

TIMEOUT = 30.0

_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


@dataclass(frozen=True)
class Server:
    """A server as the connection names it; `protocol` is IMAP or SMTP."""

    protocol: str
    host: str
    port: int
    security: Security

    @override
    def __str__(self) -> str:
        return f"The {self.protocol} server {self.host}:{self.port}"

    async def open_socket(self, guard: Guard) -> socket.socket:
        """Return a non-blocking socket that is connected to an address that the guard allows."""
        try:
            return await guard.open_socket(self.host, self.port, TIMEOUT)
        except Blocked as error:
            raise Permanent(str(error)) from error
        except OSError as error:
            raise self.explain(error) from error

    def explain(self, error: OSError) -> ConnectorError:
        """Say what a failed connection means: the address, the certificate, or the line."""
        if isinstance(error, socket.gaierror):
            return Retry(f"{self} can't be found: there is no host named {self.host!r}, or the name lookup failed.")
        if isinstance(error, ssl.SSLCertVerificationError):
            said = f"{self} shows a certificate that can't be trusted: {error.verify_message.rstrip('.')}."
            return Retry(said) if error.verify_code == _EXPIRED else Permanent(said)
        if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return Permanent(f"{self} does not speak TLS from the start; ports 143 and 587 usually want starttls.")
        if isinstance(error, ConnectionRefusedError):
            return Retry(f"{self} refuses connections: nothing listens on that port, or a firewall forbids it.")
        if isinstance(error, TimeoutError):
            return Retry(f"{self} did not answer within {TIMEOUT:g} seconds.")
        return Retry(f"{self} broke the connection off: {error.strerror or error}.")


@cache
def tls_context() -> ssl.SSLContext:
    """The system's certificate authorities, or those of the file that SSL_CERT_FILE names."""
    return ssl.create_default_context()


def words(said: object, limit: int = 300) -> str:
    """What a server said, as one printable line."""
    if isinstance(said, Exception) and said.args:
        said = said.args[0]
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
