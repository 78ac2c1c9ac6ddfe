"""An IMAP mailbox (RFC 9051, RFC 2177) for asyncio: commands run in threads, waiting for mail needs none."""

import asyncio
import imaplib
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from typing import Any, TypeVar

from imap_tools import BaseMailBox, ImapToolsError, MailboxLoginError, UnexpectedCommandStatusError
from imap_tools.errors import MailboxFolderSelectError
from imap_tools.idle import IdleManager
from typing_extensions import override

from area.connectors.email.message import Mail, header, read
from area.connectors.email.server import TIMEOUT, Server, words
from area.sdk import AuthExpired, ConnectorError, Guard, Permanent, Retry, Sentence, tls_context
from area.sdk.credentials import CONTROL
from area.sdk.sockets import Fair, Full

MAX_FETCH = 5_000_000  # bytes of one mail; text comes before the attachments, so this is what is read of a larger one
MAX_LITERAL = MAX_FETCH + 1  # bytes that a server may send in one piece
IDLE = 300.0  # seconds until IDLE is said anew, which also finds out that the line is dead
LAST = 20  # mails whose time and Message-ID tell apart what came since
POLL = 60.0  # seconds between two looks where the server has no IDLE

# Of their own: a mail server that hangs must not hold up what else the process uses threads for, nor other users' mail.
mailboxes = Fair(
    "mailboxes",
    "AREA is waiting for other mail servers of yours. It tries again.",
    slots=32,
    per_key=4,
    waiting=2000,
    waiting_per_key=200,
    patience=60,
)

# Codes of RFC 5530 that say that the login was not even looked at.
_FOR_NOW = ("[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[SERVERBUG]")

_UID = re.compile(rb"\bUID (\d+)")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)")

Result = TypeVar("Result")


class _Client(imaplib.IMAP4):
    """An imaplib client on a connected socket that shows what has been read ahead."""

    def __init__(self, sock: socket.socket, server: Server) -> None:
        self._given = sock
        self._server = server
        self._reader: tuple[socket.socket, BufferedReader] | None = None
        super().__init__(server.host, server.port)

    def _create_socket(self, _timeout: float | None) -> socket.socket:
        if self._server.security != "tls":
            return self._given
        return tls_context().wrap_socket(self._given, server_hostname=self._server.host)

    @property
    def reader(self) -> BufferedReader:
        """The server's buffered stream; replaced after STARTTLS, so that plaintext read before it is dropped."""
        sock = self.socket()
        if self._reader is None or self._reader[0] is not sock:
            self._reader = (sock, sock.makefile("rb"))
        return self._reader[1]

    @override
    def read(self, size: int) -> bytes:
        if size > MAX_LITERAL:
            raise self.abort(f"{size} bytes at once are more than was asked for")
        return self.reader.read(size)

    @override
    def readline(self) -> bytes:
        line = self.reader.readline(MAX_LITERAL)
        if len(line) >= MAX_LITERAL:
            raise self.abort("a line without end")
        return line

    @override
    def shutdown(self) -> None:
        with suppress(OSError):
            self.reader.close()
        super().shutdown()

    def read_ahead(self) -> bool:
        """Whether a response is already buffered, so the socket may not become readable."""
        sock = self.socket()
        sock.setblocking(False)
        try:
            return bool(self.reader.peek(1))
        except OSError:  # nothing there: what TLS calls wanting to read
            return False
        finally:
            sock.settimeout(TIMEOUT)


class _Idle(IdleManager):
    """IDLE that may be answered by news first. `heard`: it was."""

    heard = False

    @override
    def start(self) -> None:
        client = self.mailbox.client
        self._idle_tag = client._command("IDLE")  # noqa: SLF001 - as in the class above
        self.heard = False
        while client._get_response() is not None:  # noqa: SLF001
            if client.tagged_commands[self._idle_tag]:
                raise client.error(f"IDLE: {client.tagged_commands.pop(self._idle_tag)}")
            self.heard = True


class _MailBox(BaseMailBox):
    client: _Client
    idle: _Idle

    def __init__(self, sock: socket.socket, server: Server) -> None:
        self._given = sock
        self._server = server
        super().__init__()
        self.idle = _Idle(self)

    @override
    def _get_mailbox_client(self) -> _Client:
        client = _Client(self._given, self._server)
        if self._server.security == "starttls":
            try:
                if "STARTTLS" not in client.capabilities:
                    raise self._server.without_starttls(993)
                client.starttls(tls_context())
            except BaseException:
                with suppress(OSError):
                    client.shutdown()
                raise
        return client


class Unfetchable(Retry):
    """The server can't return one mail."""


class Mailbox:
    """One connection. Methods must not be called concurrently."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        # Shutting a second handle of the socket down ends whatever a thread is waiting for on the first, TLS or not.
        self._cord = sock.dup()
        self._box: _MailBox | None = None
        self._capabilities: set[str] = set()
        self._folder = ""
        self._mails = 0

    async def log_in(self, login: str, password: str) -> None:
        """Read the greeting, switch to TLS and log in. Raises `AuthExpired` if the server rejects the login."""
        if CONTROL.search(login + password):  # imaplib sends it as it is, and the server reads on after the line break
            raise Permanent("The username or password contains a line break or another control character.")
        self._sock.settimeout(TIMEOUT)
        self._box = await self._run(_MailBox, self._sock, self._server)
        if self._server.security == "none" and "LOGINDISABLED" in self._box.client.capabilities:
            raise Permanent(
                Sentence(
                    "%(server)s requires encryption. Choose starttls or tls as its encryption.", server=self._server
                )
            )
        plain = (login + password).isascii()
        try:
            await self._run(self._box.login if plain else self._box.login_utf8, login, password, None)
        except imaplib.IMAP4.abort:
            raise
        except (MailboxLoginError, imaplib.IMAP4.error) as error:
            said = words(error.command_result[1][0] if isinstance(error, MailboxLoginError) else error)
            if any(code in said for code in _FOR_NOW):
                raise Retry(
                    Sentence("%(server)s isn't accepting sign-ins right now: %(said)s", server=self._server, said=said)
                ) from error
            raise AuthExpired(
                Sentence(
                    "%(server)s rejected the sign-in of %(login)s: %(said)s",
                    server=self._server,
                    login=login,
                    said=said,
                )
            ) from error
        _, capabilities = await self._run(self._box.client.capability)
        self._capabilities = set(capabilities[0].decode("ascii", "replace").upper().split())

    async def open(self, folder: str) -> tuple[int, int]:
        """Open a folder read-only, or once more: one that was made anew under its name is found by that. Returns its
        UIDVALIDITY and the lowest UID the next mail can get.
        """
        await self.select(folder, readonly=True)
        client = self._opened().client
        validity, following = (client.response(name)[1][0] for name in ("UIDVALIDITY", "UIDNEXT"))
        if following is None:  # old servers leave it out
            following = 1 + max(await self.newer(0), default=0)
        return int(validity or 0), int(following)

    def has(self, capability: str) -> bool:
        """Whether the server has it."""
        return capability in self._capabilities

    async def uid(self, command: str, *arguments: str | bytes) -> list[Any]:
        """What the server returns for a command about UIDs of the open folder. Raises `Permanent` if it refuses."""
        client = self._opened().client
        client.untagged_responses.clear()
        status, data = await self._run(client.uid, command, *arguments)
        if status != "OK":
            raise Permanent(
                Sentence(
                    "%(server)s refused the command %(command)s: %(said)s",
                    server=self._server,
                    command=command,
                    said=words(data[0]),
                )
            )
        return list(data)

    async def select(self, folder: str, *, readonly: bool = False) -> None:
        """Open a folder, to change it unless it is `readonly`."""
        box = self._opened()
        try:
            _, (mails, *_) = await self._run(box.folder.set, folder, readonly)
        except imaplib.IMAP4.readonly as error:
            raise Permanent(
                Sentence('%(server)s only lets you read the folder "%(folder)s".', server=self._server, folder=folder)
            ) from error
        except MailboxFolderSelectError as error:
            said = words(error.command_result[1][0])
            named = [name for name in await self.folders() if re.split(r"[./]", name)[-1] == folder]
            sentence = Sentence(
                '%(server)s can\'t open the folder "%(folder)s": %(said)s.',
                server=self._server,
                folder=folder,
                said=said.rstrip("."),
            )
            if named:
                sentence = Sentence('%(error)s Did you mean "%(folder)s"?', error=sentence, folder=named[0])
            raise Permanent(sentence) from error
        self._folder, self._mails = folder, int(mails or 0)

    async def folders(self) -> list[str]:
        """The names of the folders that hold mail."""
        every = await self._run(self._opened().folder.list)
        closed = {"\\noselect", "\\nonexistent"}
        return [folder.name for folder in every if not closed & {flag.lower() for flag in folder.flags}]

    async def newest(self) -> list[tuple[datetime, str]]:
        """When each of the folder's last mails arrived, and its Message-ID."""
        if not self._mails:
            return []
        last = f"{max(1, self._mails - LAST + 1)}:*"
        asked = "(UID INTERNALDATE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"
        status, data = await self._run(self._opened().client.fetch, last, asked)
        found = []
        for place, item in enumerate(data if status == "OK" else []):
            if isinstance(item, tuple):
                after = data[place + 1] if place + 1 < len(data) else b""
                arrived = _arrived(item[0] + b" " + (after if isinstance(after, bytes) else b""))
                found.append((arrived or datetime.now(UTC), header(item[1], "message-id")))
        return found

    async def since(self, moment: datetime) -> list[int]:
        """UIDs of the mails that arrived on the day of `moment` or later, in some time zone; ascending."""
        day = imaplib.Time2Internaldate(moment - timedelta(days=1))[1:12].strip()
        found = await self._run(self._opened().uids, f"SINCE {day}", None)
        return sorted(map(int, found))

    async def newer(self, uid: int) -> list[int]:
        """UIDs above `uid`, ascending."""
        box = self._opened()
        box.client.untagged_responses.clear()  # what the server mentioned meanwhile is of no use and would pile up
        found = await self._run(box.uids, f"UID {uid + 1}:*", None)
        # the range's end is the last mail even when that lies before its start
        return sorted(number for number in map(int, found) if number > uid)

    async def fetch(self, uid: int, headers: Sequence[str] = ()) -> tuple[Mail | None, datetime]:
        """A mail with these other headers, without marking it as read, and its arrival time; None if it is gone."""
        box = self._opened()
        parts = f"(UID INTERNALDATE RFC822.SIZE BODY.PEEK[]<0.{MAX_FETCH}>)"
        status, data = await self._run(box.client.uid, "FETCH", str(uid), parts)
        if status != "OK":
            raise Unfetchable(
                Sentence(
                    "%(server)s couldn't return e-mail %(uid)s: %(said)s",
                    server=self._server,
                    uid=uid,
                    said=words(data[0]),
                )
            )
        for place, item in enumerate(data):
            if not isinstance(item, tuple):
                continue
            after = data[place + 1] if place + 1 < len(data) else b""
            about = item[0] + b" " + (after if isinstance(after, bytes) else b"")  # some servers name the UID last
            if (found := _UID.search(about)) and int(found[1]) == uid:
                size, arrived = _SIZE.search(about), _arrived(about) or datetime.now(UTC)
                total = int(size[1]) if size else 0
                return await read(item[1], total, arrived, self._folder, uid, headers), arrived
        return None, datetime.now(UTC)

    async def wait(self) -> None:
        """Wait until mail may have arrived."""
        box = self._opened()
        if not self.has("IDLE"):
            await asyncio.sleep(POLL)
            await self._run(box.client.noop)
            return
        await self._run(box.idle.start)
        if not box.idle.heard and not box.client.read_ahead():
            await self._readable(box.client.socket(), IDLE)
        await self._run(box.idle.stop)

    def close(self) -> None:
        """Disconnect immediately."""
        self._hang_up()
        if self._box:
            with suppress(OSError):
                self._box.client.shutdown()
        self._sock.close()
        self._cord.close()

    def _opened(self) -> _MailBox:
        if self._box is None:
            raise RuntimeError("log_in() comes first")
        return self._box

    async def _run(self, function: Callable[..., Result], *args: object) -> Result:
        """Run in a thread. On cancellation, close the connection so that the thread ends, and wait for it."""
        begun = False

        def call() -> Result:
            nonlocal begun
            begun = True
            return function(*args)

        work = asyncio.ensure_future(mailboxes.run(call))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self._hang_up()
            if not begun:
                work.cancel()
            await asyncio.wait([work])
            raise

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._cord.shutdown(socket.SHUT_RDWR)

    @staticmethod
    async def _readable(sock: socket.socket, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(sock.fileno(), ready.cancel)
        try:
            await asyncio.wait([ready], timeout=timeout)
        finally:
            loop.remove_reader(sock.fileno())


def _arrived(about: bytes) -> datetime | None:
    stamp = imaplib.Internaldate2tuple(about)
    return datetime.fromtimestamp(time.mktime(stamp), UTC) if stamp else None


@asynccontextmanager
async def connected(guard: Guard, server: Server, login: str, password: str) -> AsyncIterator[Mailbox]:
    """A logged-in mailbox. Errors inside are raised as `Retry`, `Permanent` or `AuthExpired`."""
    mailbox = Mailbox(server, await server.open_socket(guard))
    try:
        await mailbox.log_in(login, password)
        yield mailbox
    except ConnectorError:
        raise
    except Full as error:
        raise Retry(str(error)) from error
    except UnexpectedCommandStatusError as error:
        said = words(error.command_result[1][0])
        raise Retry(Sentence("%(server)s refused a command: %(said)s", server=server, said=said)) from error
    except (imaplib.IMAP4.error, ImapToolsError) as error:
        raise Retry(
            Sentence("%(server)s sent an invalid response: %(said)s", server=server, said=words(error))
        ) from error
    except OSError as error:
        raise server.explain(error) from error
    finally:
        mailbox.close()
