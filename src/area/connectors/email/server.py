"""A mail server's address, and how to explain connection errors."""

import socket
from dataclasses import dataclass
from typing import Literal

from typing_extensions import override

from area.sdk import Blocked, ConnectorError, Guard, Permanent, explain

Security = Literal["tls", "starttls", "none"]

TIMEOUT = 30.0


@dataclass(frozen=True)
class Server:
    """A configured server; `protocol` is IMAP or SMTP."""

    protocol: str
    host: str
    port: int
    security: Security

    @override
    def __str__(self) -> str:
        return f"The {self.protocol} server {self.host}:{self.port}"

    async def open_socket(self, guard: Guard) -> socket.socket:
        """A connected non-blocking socket to an address the guard allows."""
        try:
            return await guard.open_socket(self.host, self.port, TIMEOUT)
        except Blocked as error:
            raise Permanent(str(error)) from error
        except OSError as error:
            raise self.explain(error) from error

    def explain(self, error: OSError) -> ConnectorError:
        """Explain a failed connection: the address, the certificate or the network."""
        no_tls = "does not speak TLS from the start; ports 143 and 587 usually want starttls."
        return explain(error, str(self), self.host, timeout=TIMEOUT, no_tls=no_tls)


def words(said: object, limit: int = 300) -> str:
    """A server's message as one printable line."""
    if isinstance(said, Exception) and said.args:
        said = said.args[0]
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
