"""The process that decoders of untrusted files are forked from. `area.kit.sandbox` starts it and talks to it.

It imports a decoder once and forks for each file, which takes milliseconds where a new interpreter takes hundreds. It
has one thread, none of AREA's secrets in its memory or environment, and imports little, so that it stays small.

A decoder is a Python file with `decode(content: bytes, **options) -> bytes | JSON`. It is loaded by its path, without
the package around it, and raises `Unreadable`.
"""

import contextlib
import gc
import importlib.util
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypedDict

LENGTH = struct.Struct("!I")
STATUS = struct.Struct("!i")

NO_MEMORY, BROKEN = 3, 4  # exit codes
NICE = 5  # a third of others' CPU share
FILES = 64  # open descriptors per decoder

Decode = Callable[..., Any]


class Order(TypedDict):
    """What the parent sends with a job's two sockets: one for the work, one for the exit status."""

    path: str
    seconds: int  # of CPU
    patience: int  # seconds by the clock
    memory: int  # bytes beyond the decoder's code


class Unreadable(Exception):
    """The file can't be used. The message says why, for its sender: an English sentence whose `%(name)s` are filled in
    from `values`.
    """

    def __init__(self, message: str, /, **values: str | int) -> None:
        grouped = {name: f"{value:,}" if isinstance(value, int) else value for name, value in values.items()}
        super().__init__(message % grouped if values else message)
        self.key = message
        self.values = values


class TooLong(Exception):
    """A part of the file takes more time than it may."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise `TooLong` in what takes more CPU, so that a decoder can go on with other parts of its file."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def main() -> None:
    """Take orders from standard input, a socket, until its other end is closed."""
    os.nice(NICE)
    warnings.simplefilter("ignore")
    with socket.socket(fileno=os.dup(0)) as control:
        _Zygote(control).serve()


class _Zygote:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._decoders: dict[str, Decode] = {}
        self._jobs: dict[
            int, tuple[int, socket.socket]
        ] = {}  # process and socket, by the descriptor of the status socket
        self._poll = select.poll()

    def serve(self) -> None:
        awake, wake = os.pipe()
        os.set_blocking(awake, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(awake, select.POLLIN)
        while True:
            for number, _ in self._poll.poll():
                if number == awake:
                    os.read(awake, 4096)
                    self._reap()
                elif number in self._jobs:  # the parent closed it: nobody waits for the result
                    self._poll.unregister(number)
                    os.kill(self._jobs[number][0], signal.SIGKILL)
                elif number == self._control.fileno():
                    message, descriptors, _, _ = socket.recv_fds(self._control, 65536, 2)
                    if not message:
                        for process, _ in self._jobs.values():
                            os.kill(process, signal.SIGKILL)
                        return
                    work, status = (socket.socket(fileno=descriptor) for descriptor in descriptors)
                    self._begin(json.loads(message), work, status)

    def _begin(self, order: Order, work: socket.socket, status: socket.socket) -> None:
        try:
            decode = self._decoder(order["path"])
        except Exception:  # noqa: BLE001 - a bug in the decoder, which must not affect others
            traceback.print_exc()
            status.sendall(b"+" + STATUS.pack(BROKEN))
            work.close()
            status.close()
            return
        process = os.fork()
        if process:
            work.close()
            with contextlib.suppress(OSError):  # it may have exited already
                status.sendall(b"+")
            self._jobs[status.fileno()] = (process, status)
            self._poll.register(status, 0)  # only reports that the other end was closed
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for sock in (self._control, status, *(status for _, status in self._jobs.values())):
            sock.close()
        _work(decode, order, work)

    def _decoder(self, path: str) -> Decode:
        if path not in self._decoders:
            spec = importlib.util.spec_from_file_location(f"area_decoder_{len(self._decoders)}", path)
            if spec is None or spec.loader is None:
                raise ImportError(f"{path} is no file of Python.")
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            self._decoders[path] = module.decode
            gc.collect()
            gc.freeze()  # share what exists with all forked processes
        return self._decoders[path]

    def _reap(self) -> None:
        while self._jobs:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            number, sock = next((number, sock) for number, (pid, sock) in self._jobs.items() if pid == process)
            with contextlib.suppress(KeyError):
                self._poll.unregister(number)
            with contextlib.suppress(OSError):
                sock.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))
            sock.close()
            del self._jobs[number]


def _work(decode: Decode, order: Order, work: socket.socket) -> None:
    """Do one job and exit: read options and content, and respond with a kind and bytes."""
    code = BROKEN
    try:
        _limit(order)
        with work.makefile("rb") as incoming:
            options = json.loads(incoming.read(LENGTH.unpack(incoming.read(LENGTH.size))[0]))
            content = incoming.read()
        try:
            result = decode(content, **options)
            kind, answer = (b"B", result) if isinstance(result, bytes) else (b"J", _json(result))
        except Unreadable as error:
            kind, answer = b"U", _json({"key": error.key, "values": error.values})
        work.sendall(kind + answer)
        code = 0
    except MemoryError:
        code = NO_MEMORY
    except BaseException as error:  # noqa: BLE001 - decoders may raise anything for nonsense
        with contextlib.suppress(OSError, MemoryError):
            work.sendall(b"X" + type(error).__name__.encode())
    finally:
        os._exit(code)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _limit(order: Order) -> None:
    signal.alarm(order["patience"])
    limits = {
        resource.RLIMIT_CPU: order["seconds"],  # kills it with SIGXCPU
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_AS: _size() + order["memory"],
    }
    for name, most in limits.items():
        with contextlib.suppress(OSError, ValueError):  # not every system has all of them
            resource.setrlimit(name, (most, most + 1 if name == resource.RLIMIT_CPU else most))


def _size() -> int:
    """The size of this process's address space in bytes; 0 if /proc doesn't tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - pathlib would be one more import
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
