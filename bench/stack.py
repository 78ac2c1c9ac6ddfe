"""AREA started as a user would, in its own folder and on its own port, and its resource usage."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
from tests.ports import free_port

PASSWORD = "correct horse battery staple"


@dataclass
class Cost:
    """CPU seconds and memory (PSS, MB) of a process tree, the database separately, and transactions."""

    cpu: float
    cpu_database: float
    memory: float
    memory_database: float
    transactions: int


@dataclass
class Area:
    """A running AREA."""

    workers: int = 1
    sources: Path | None = None  # the `src` to run; None: this checkout's
    python: str = sys.executable
    settings: dict = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="area-bench-")))
    process: subprocess.Popen | None = None
    token: str = ""
    started_in: float = 0.0

    def start(self) -> "Area":
        self.folder.chmod(0o755)
        environment = {
            **os.environ,
            "AREA_DATA_DIR": str(self.folder / "data"),
            "AREA_PORT": str(self.port),
            "AREA_ALLOW_PRIVATE_NETWORK": "127.0.0.1",
            "AREA_WEBHOOK_RATE": "100000",
            "AREA_MAX_AREAS": "20000",
            "AREA_LOG_FORMAT": "json",
            **({"PYTHONPATH": str(self.sources)} if self.sources else {}),
            **self.settings,
        }
        begun = time.time()
        command = [self.python, "-m", "area.cli", "up", "--workers", str(self.workers)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.folder)
        self.until_ready()
        self.started_in = time.time() - begun
        return self

    def until_ready(self, seconds: float = 90) -> None:
        end = time.time() + seconds
        while time.time() < end:
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url("/readyz"), timeout=2) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.1)
        raise RuntimeError((self.folder / "log").read_text()[-3000:])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def call(self, method: str, path: str, body=None):
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url(path), data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def register(self) -> None:
        body = {"email": "bench@example.org", "username": "bench", "password": PASSWORD}
        self.token = self.call("POST", "/api/auth/register", body)["token"]

    def create(self, action, reaction, action_parameters=None, **reaction_parameters):
        body = {
            "name": f"{action} to {reaction}",
            "action": {"component": action, "parameters": action_parameters or {}},
            "reaction": {"component": reaction, "parameters": reaction_parameters},
        }
        return self.call("POST", "/api/areas", body)

    @property
    def dsn(self) -> str:
        pid_file = (self.folder / "data" / "postgres" / "postmaster.pid").read_text().splitlines()
        return f"postgresql://postgres@/area?host={pid_file[4]}"

    def query(self, sql: str, *values):
        """One statement, in a process-wide event loop."""
        import asyncio

        import asyncpg

        async def ask():
            connection = await asyncpg.connect(self.dsn)
            try:
                return [dict(row) for row in await connection.fetch(sql, *values)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def cost(self) -> Cost:
        own, database = [], []
        root = psutil.Process(self.process.pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                (database if process.name().startswith("postgres") else own).append(process)
        with contextlib.suppress(OSError, psutil.Error):
            postmaster = psutil.Process(int((self.folder / "data/postgres/postmaster.pid").read_text().split()[0]))
            database = [postmaster, *postmaster.children(recursive=True)]
        transactions = self.query(
            "select xact_commit + xact_rollback as n from pg_stat_database where datname = 'area'"
        )
        return Cost(
            cpu=cpu(own),
            cpu_database=cpu(database),
            memory=memory(own),
            memory_database=memory(database),
            transactions=transactions[0]["n"],
        )

    def end(self) -> None:
        """End it, and keep its data for another start."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(40)

    def stop(self) -> None:
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def cpu(processes) -> float:
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            # including ended children, since PostgreSQL's backends come and go
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory(processes) -> float:
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / 1e6
