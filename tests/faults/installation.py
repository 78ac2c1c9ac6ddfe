"""A whole AREA as its users run it: `area up` with the embedded PostgreSQL, in a process of its own."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import quote

import asyncpg
import psutil

from tests.ports import free_port


class NotThere(Exception):
    """The process that was looked for does not run just now."""


class Installation:
    """`area up` on a data dir of its own, and the pids of what it consists of."""

    def __init__(self, where: Path | None = None, *, workers: int = 1, through: Sequence[str] = (), **environment: str):
        self.directory = Path(tempfile.mkdtemp(prefix="area-faults-", dir=where))
        self.directory.chmod(0o755)  # the embedded PostgreSQL runs as another user when we are root
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.port = int(environment.get("AREA_PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self._workers = workers
        self._through = through  # a command that starts another one, such as `nice`
        self.environment = {
            "AREA_DATA_DIR": str(self.data),
            "AREA_PORT": str(self.port),
            "AREA_ALLOW_PRIVATE_NETWORK": "127.0.0.1",
            "AREA_LOG_FORMAT": "json",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it answers a few seconds later."""
        stored = {name: value for name, value in os.environ.items() if not name.startswith(("AREA_", "PG"))}
        environment = {
            **stored,
            # compiled modules, wherever the tests run: a restart takes as long as it does when installed
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / f"area-tests-pycache-{os.geteuid()}"),
            "PYTHONUNBUFFERED": "1",
            **self.environment,
        }
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._through, sys.executable, "-m", "area.cli", "up", "--workers", str(self._workers)],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def ready(self, seconds: float = 60) -> None:
        """Wait until it can take work."""
        end = time.monotonic() + seconds
        while not await self._is_ready():
            assert self._process is not None
            assert self._process.poll() is None, f"`area up` ended with {self._process.returncode}:\n{self.tail()}"
            assert time.monotonic() < end, f"`area up` did not answer in {seconds} s:\n{self.tail()}"
            await asyncio.sleep(0.1)

    async def _is_ready(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return b" 200 " in await asyncio.wait_for(reader.readline(), 5)
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()

    def stop(self) -> float:
        """Stop it as an operator does, and end what is left; returns how long it took. May be called again."""
        if self._process is None:
            return 0.0
        begun = time.monotonic()
        family = self.family()
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        took = time.monotonic() - begun
        for process in family:
            try:
                if process.is_running():
                    process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, 5)
        self._process = None
        return took

    def kill_supervisor(self) -> None:
        """Kill `area up` itself, and nothing else."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def everybody(self) -> list[psutil.Process]:
        """Every process that belongs to this data dir, whoever its parent is."""
        results = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("AREA_DATA_DIR") == str(self.data) or str(self.data) in " ".join(
                    process.cmdline()
                )
                if process.status() != psutil.STATUS_ZOMBIE and (ours or Path(process.cwd()).is_relative_to(self.data)):
                    results.append(process)
            except psutil.Error:
                continue
        return results

    def remove(self) -> None:
        """Stop it and delete its files."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    # Processes

    def family(self) -> list[psutil.Process]:
        """All processes below `area up`."""
        assert self._process is not None
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def role(self, name: str) -> psutil.Process:
        """The process of a role."""
        assert self._process is not None
        for child in psutil.Process(self._process.pid).children():
            try:
                if child.name() == f"area {name}" and child.status() != psutil.STATUS_ZOMBIE:
                    return child
            except psutil.Error:
                continue
        raise NotThere(name)

    @property
    def web(self) -> psutil.Process:
        """The web process."""
        return self.role("web")

    @property
    def worker(self) -> psutil.Process:
        """A worker."""
        return self.role("worker-1")

    @property
    def postmaster(self) -> psutil.Process:
        """PostgreSQL's first process."""
        try:
            return psutil.Process(int(self._postmaster_lines()[0]))
        except (psutil.NoSuchProcess, OSError, IndexError, ValueError) as error:
            raise NotThere("postmaster") from error

    def backends(self) -> list[psutil.Process]:
        """PostgreSQL's processes that serve a connection."""
        results = []
        for child in self.postmaster.children():
            try:
                if "[local]" in " ".join(child.cmdline()):
                    results.append(child)
            except psutil.Error:
                continue
        return results

    def owners(self) -> list[str]:
        """The names that workers lease sources by, from the log, the present one last."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if '"worker.started"' in line]
        return [json.loads(line)["owner"] for line in lines]

    def logged(self, *, least: str = "error") -> list[dict[str, object]]:
        """What was logged as bad as `least`, and what is no log line at all (a traceback, say)."""
        levels = ("debug", "info", "warning", "error", "critical")
        results: list[dict[str, object]] = []
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
                level = levels.index(entry["level"])
            except (ValueError, KeyError, TypeError):
                results.append({"line": line})
                continue
            if level >= levels.index(least):
                results.append(entry)
        return results

    def tail(self, lines: int = 40) -> str:
        """The end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    # Database

    def _postmaster_lines(self) -> list[str]:
        return (self.data / "postgres" / "postmaster.pid").read_text().splitlines()

    @property
    def dsn(self) -> str:
        """The database's address, while it runs."""
        lines = self._postmaster_lines()
        return f"postgresql://postgres@/area?host={quote(lines[4])}&port={lines[3]}"


class Patient:
    """A connection that is opened anew, and a query that is asked again, while PostgreSQL is away."""

    def __init__(self, installation: Installation):
        self._installation = installation
        self._conn: asyncpg.Connection | None = None
        self._lock = asyncio.Lock()

    async def fetch(self, query: str, *values: object, seconds: float = 30) -> list[asyncpg.Record]:
        """The rows; raises the last error when the database stays away."""
        end = time.monotonic() + seconds
        async with self._lock:
            while True:
                try:
                    async with asyncio.timeout(max(1, end - time.monotonic())):
                        if self._conn is None or self._conn.is_closed():
                            self._conn = await asyncpg.connect(self._installation.dsn, timeout=5)
                        return await self._conn.fetch(query, *values)
                except (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InterfaceError,
                        asyncpg.InternalClientError, OSError, IndexError) as error:  # fmt: skip
                    self.close()
                    if time.monotonic() > end:
                        raise TimeoutError("PostgreSQL stayed away.") from error
                await asyncio.sleep(0.1)

    async def value(self, query: str, *values: object) -> object:
        """The first column of the first row."""
        return (await self.fetch(query, *values))[0][0]

    def close(self) -> None:
        """Let go of the connection."""
        if self._conn is not None:
            self._conn.terminate()
            self._conn = None
