"""A mail server's address, and how to explain connection errors."""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import Literal

from typing_extensions import override

from area.sdk import Blocked, ConnectorError, Guard, Permanent, Sentence, explain

Security = Literal["tls", "starttls", "none"]

TIMEOUT = 30.0
SILENCE = 8.0  # seconds without a greeting, after which the server may be waiting for TLS
HANDSHAKE = 5.0  # seconds


@dataclass(frozen=True)
class Server:
    """A configured server; `protocol` is IMAP or SMTP."""

    protocol: str
    host: str
    port: int
    security: Security

    @override
    def __str__(self) -> str:
        return Sentence(
            "The %(protocol)s server %(address)s", protocol=self.protocol, address=f"{self.host}:{self.port}"
        )

    async def open_socket(self, guard: Guard) -> socket.socket:
        """A connected non-blocking socket to an address the guard allows; unless it is for TLS, the server has begun to
        talk there in its protocol.
        """
        sock = await self._connect(guard)
        if self.security == "tls":
            return sock
        try:
            begins = await _first_byte(sock, min(SILENCE, TIMEOUT))
            if begins in ("", "\x15") and await self._speaks_tls(guard):
                raise Permanent(
                    Sentence("%(server)s speaks TLS from the start. Choose tls as its encryption.", server=self)
                )
            if begins and not (begins == "*" if self.protocol == "IMAP" else begins.isdigit()):
                raise Permanent(
                    Sentence(
                        "%(address)s is not an %(protocol)s server. Check the address and the port.",
                        address=f"{self.host}:{self.port}",
                        protocol=self.protocol,
                    )
                )
        except BaseException:
            sock.close()
            raise
        return sock

    async def _connect(self, guard: Guard) -> socket.socket:
        try:
            return await guard.open_socket(self.host, self.port, TIMEOUT)
        except Blocked as error:
            raise Permanent(str(error)) from error
        except OSError as error:
            raise self.explain(error) from error

    async def _speaks_tls(self, guard: Guard) -> bool:
        """Whether a new connection takes TLS, whatever its certificate."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # nothing is sent
        sock = await self._connect(guard)
        try:
            async with asyncio.timeout(min(HANDSHAKE, TIMEOUT)):
                _, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=self.host)
        except (OSError, TimeoutError):
            sock.close()
            return False
        writer.transport.abort()
        return True

    def without_starttls(self, port: int) -> Permanent:
        """The error to raise if the server has no STARTTLS, and TLS is usually spoken on `port`."""
        return Permanent(
            Sentence("%(server)s doesn't offer STARTTLS. Choose tls, usually on port %(port)s.", server=self, port=port)
        )

    def explain(self, error: OSError) -> ConnectorError:
        """Explain a failed connection: the address, the certificate or the network."""
        no_tls = Sentence("doesn't speak TLS from the start. Ports 143 and 587 usually need starttls.")
        return explain(error, str(self), self.host, timeout=TIMEOUT, no_tls=no_tls)


async def _first_byte(sock: socket.socket, timeout: float) -> str:
    """What the server's greeting begins with, left in place; empty if it says nothing or hangs up."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock.fileno(), ready.set)
    try:
        async with asyncio.timeout(timeout):
            await ready.wait()
        return sock.recv(1, socket.MSG_PEEK).decode("latin-1")
    except (TimeoutError, OSError):
        return ""
    finally:
        loop.remove_reader(sock.fileno())


def words(said: object, limit: int = 300) -> str:
    """A server's message as one printable line."""
    if isinstance(said, Exception) and said.args:
        said = said.args[0]
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
