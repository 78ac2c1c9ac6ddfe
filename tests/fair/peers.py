"""What the attacker owns: a web server, in a process of its own, a name server and a mail server."""

import argparse
import asyncio
import contextlib
import itertools
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from aiohttp import web

from tests.peers import Received
from tests.ports import free_port

SLOW_POLL = 28.0  # seconds: within what AREA waits, so that it counts as success and nothing backs off
LIST = b"[" + b"1," * 4_900_000 + b"1]"  # just below what AREA reads
CALENDAR = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//fair//EN\r\n{events}END:VCALENDAR\r\n"
)  # fmt: skip
OLD_EVENT = (
    "BEGIN:VEVENT\r\nUID:{n}@example.org\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:00010101T000000\r\n"
    "RRULE:FREQ=DAILY\r\nSUMMARY:Since year one\r\nEND:VEVENT\r\n"
)
ITEM = "<item><guid>{n}</guid><title>Item {n} of many</title><description>&lt;p&gt;Text&lt;/p&gt;</description></item>"
SLOW_NAME = 10.0  # seconds that a name below slow.test takes


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    """One request of AREA's."""
    number = request.path.rpartition("/")[2]
    if request.path.startswith("/slow/"):
        await asyncio.sleep(SLOW_POLL)
        return web.json_response({"value": time.time()})
    if request.path.startswith("/list/"):
        return web.Response(body=LIST, content_type="application/json")
    if request.path.startswith("/calendar/"):
        text = CALENDAR.format(events=OLD_EVENT.format(n=number))
        return web.Response(text=text, content_type="text/calendar")
    if request.path.startswith("/feed/"):
        items = "".join(ITEM.format(n=f"{number}-{n}") for n in range(60_000))
        text = f'<rss version="2.0"><channel><title>Many</title>{items}</channel></rss>'
        return web.Response(text=text, content_type="application/rss+xml")
    if request.path == "/small-calendar":
        return web.Response(text=CALENDAR.format(events=""), content_type="text/calendar")
    if request.path == "/small-feed":
        text = f'<rss version="2.0"><channel><title>Few</title>{ITEM.format(n=1)}</channel></rss>'
        return web.Response(text=text, content_type="application/rss+xml")
    if request.path.startswith("/token/"):  # an OAuth 2.0 token endpoint: the token is the path's last part, backwards
        return web.json_response({"access_token": number[::-1], "token_type": "Bearer", "expires_in": 3600})
    if request.path == "/refused":
        return web.json_response({"error": f"this key is unknown: {request.headers.get('Authorization')}"}, status=403)
    if request.path == "/headers":
        seen = request.headers
        return web.json_response({name.lower(): seen.getall(name) for name in seen})
    await request.read()
    return web.json_response({})


async def _serve(port: int) -> None:
    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
    await asyncio.Event().wait()


@contextlib.contextmanager
def website() -> Iterator[str]:
    """The web server's address."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.fair.peers", str(port)])
    try:
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None and time.monotonic() < end, "The web server did not start."  # noqa: PT018
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


class Nameserver(socketserver.ThreadingUDPServer):
    """Answers every name with 127.0.0.1, names below slow.test after `SLOW_NAME` seconds (RFC 1035, section 4)."""

    daemon_threads = True
    address = "127.0.0.53"

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__((self.address, 53), _Question)


class _Question(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode("latin-1"))
            at += 1 + data[at]
        name, question = ".".join(labels), data[12 : at + 5]
        kind = struct.unpack("!H", data[at + 1 : at + 3])[0]
        self.server.asked.append(name)  # type: ignore[attr-defined]
        if name.endswith("slow.test"):
            time.sleep(SLOW_NAME)
        result = kind == 1
        head = data[:2] + struct.pack("!HHHHH", 0x8180, 1, int(result), 0, 0)
        row = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton("127.0.0.1") if result else b""
        with contextlib.suppress(OSError):
            sock.sendto(head + question + row, self.client_address)


@contextlib.contextmanager
def nameserver() -> Iterator[Nameserver]:
    """On port 53 of an address of its own."""
    with Nameserver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@dataclass
class MailSink:
    """An SMTP server that keeps each mail byte for byte. Recipients whose name begins with `bounce` are refused with
    550.
    """

    port: int = field(default_factory=free_port)
    mails: list[Received] = field(default_factory=list)
    count = itertools.count(1)

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address.startswith("bounce"):
            return "550 5.1.1 No such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.mails.append(Received(envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return f"250 OK: {next(self.count)}"

    def to(self, address: str) -> list[bytes]:
        """The mails to an address."""
        return [mail.content for mail in self.mails if address in mail.recipients]


@contextlib.contextmanager
def mail_server() -> Iterator[MailSink]:
    """On a port of loopback, in clear; every login is right."""
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    sink = MailSink()
    controller = Controller(
        sink,
        hostname="127.0.0.1",
        port=sink.port,
        enable_SMTPUTF8=True,
        auth_require_tls=False,
        authenticator=lambda *_: AuthResult(success=True),
    )
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    asyncio.run(_serve(parser.parse_args().port))
