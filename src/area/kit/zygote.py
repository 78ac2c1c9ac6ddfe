"""The process that decoders of strangers' files are forked from. `area.kit.sandbox` starts it and talks to it.

It imports a decoder once and forks for each file, which costs some milliseconds where a new interpreter costs hundreds. It has
one thread, none of AREA's secrets in its memory or environment, and imports little: it is to stay small.

A decoder is a file of Python with `decode(content: bytes, **options) -> bytes | JSON`. It is loaded by its path, so that the
package around it is not, and raises `Unreadable`.
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
from collections.abc import Callable
from typing import Any, TypedDict

LENGTH = struct.Struct("!I")
STATUS = struct.Struct("!i")

NO_MEMORY, BROKEN = 3, 4  # exit codes
NICE = 5  # a third of the computing of others
FILES = 64  # descriptors that a decoder may have open

Decode = Callable[..., Any]


class Order(TypedDict):
    """What the parent sends with a job's two sockets: for the work, and for what becomes of it."""

    path: str
    seconds: int  # of computing
    patience: int  # seconds by the clock
    memory: int  # bytes beyond what the decoder's code takes


class Unreadable(Exception):
    """The file can't be used; the message says why to whoever sent it."""


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
        ] = {}  # by the descriptor of the status socket: process and socket
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
                elif number in self._jobs:  # nobody waits for it any more
                    self._poll.unregister(number)
                    os.kill(self._jobs[number][0], signal.SIGKILL)
                elif number == self._control.fileno():
                    message, descriptors, _, _ = socket.recv_fds(self._control, 65536, 2)
                    if not message:
                        for process, _ in self._jobs.values():
                            os.kill(process, signal.SIGKILL)
                        return
                    work, status = (socket.socket(fileno=one) for one in descriptors)
                    self._begin(json.loads(message), work, status)

    def _begin(self, order: Order, work: socket.socket, status: socket.socket) -> None:
        try:
            decode = self._decoder(order["path"])
        except Exception:  # noqa: BLE001 - the decoder's own mistake; the others are not to suffer for it
            traceback.print_exc()
            status.sendall(b"+" + STATUS.pack(BROKEN))
            work.close()
            status.close()
            return
        process = os.fork()
        if process:
            work.close()
            with contextlib.suppress(OSError):  # it may be gone already
                status.sendall(b"+")
            self._jobs[status.fileno()] = (process, status)
            self._poll.register(status, 0)  # tells of nothing but the other end's going away
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for one in (self._control, status, *(status for _, status in self._jobs.values())):
            one.close()
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
            gc.freeze()  # what is here is shared with all that is forked
        return self._decoders[path]

    def _reap(self) -> None:
        while self._jobs:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            number, sock = next((number, sock) for number, (one, sock) in self._jobs.items() if one == process)
            with contextlib.suppress(KeyError):
                self._poll.unregister(number)
            with contextlib.suppress(OSError):
                sock.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))
            sock.close()
            del self._jobs[number]


def _work(decode: Decode, order: Order, work: socket.socket) -> None:
    """Do one job and end the process: read options and content, and answer with a kind and bytes."""
    code = BROKEN
    try:
        _limit(order)
        with work.makefile("rb") as incoming:
            options = json.loads(incoming.read(LENGTH.unpack(incoming.read(LENGTH.size))[0]))
            content = incoming.read()
        try:
            made = decode(content, **options)
            kind, answer = (b"B", made) if isinstance(made, bytes) else (b"J", _json(made))
        except Unreadable as error:
            kind, answer = b"U", str(error).encode(errors="replace")
        work.sendall(kind + answer)
        code = 0
    except MemoryError:
        code = NO_MEMORY
    except BaseException as error:  # noqa: BLE001 - whatever a decoder raises at nonsense
        with contextlib.suppress(OSError, MemoryError):
            work.sendall(b"X" + type(error).__name__.encode())
    finally:
        os._exit(code)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _limit(order: Order) -> None:
    signal.alarm(order["patience"])
    limits = {
        resource.RLIMIT_CPU: order["seconds"],  # ends it by SIGXCPU
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_AS: _size() + order["memory"],
    }
    for name, most in limits.items():
        with contextlib.suppress(OSError, ValueError):  # not every system has each of them
            resource.setrlimit(name, (most, most + 1 if name == resource.RLIMIT_CPU else most))


def _size() -> int:
    """Bytes of address space that this process has; 0 where /proc does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - pathlib would be one more import
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
