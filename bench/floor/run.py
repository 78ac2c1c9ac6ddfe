"""The floor and AREA under the same loads, one after the other."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import asyncpg
from tests.ports import free_port

from area.db import embedded
from bench import w1
from bench.floor import INTAKE, SCHEMA
from bench.stack import Area

ROOT = Path(__file__).parents[2]


@contextmanager
def floor(dsn: str, sink: str, log: Path) -> Iterator[int]:
    """A running floor on an empty database, which posts to a URL; its port."""
    asyncio.run(_execute(dsn, SCHEMA))
    port = free_port()
    environment = {**os.environ, "FLOOR_DSN": dsn}
    intake = f"granian --interface asgi --loop uvloop --no-ws --port {port} bench.floor.intake:app".split()
    processes = []
    try:
        with log.open("ab") as output:
            for command in (intake, ["bench.floor.worker", sink]):
                process = subprocess.Popen(
                    [sys.executable, "-m", *command], cwd=ROOT, env=environment, stdout=output, stderr=output
                )
                processes.append(process)
        _until_it_answers(port, log)
        yield port
    finally:
        for process in processes:
            process.terminate()
            process.wait()


async def _execute(dsn: str, statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statements)
    await connection.close()


def _until_it_answers(port: int, log: Path) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{INTAKE}", data=b'{"id": "first", "title": "x"}')
    end = time.time() + 60
    while time.time() < end:
        with suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
            if answer.status == 202:
                return
        time.sleep(0.1)
    raise RuntimeError(log.read_text()[-3000:])


def run(seconds: float = 20, loads: tuple[tuple[str, ...], ...] = w1.LOADS) -> list[dict]:
    """One line per load, with AREA's throughput as a fraction of the floor's."""
    lines = []
    with ExitStack() as stack:
        stack.enter_context(w1.sink())
        folder = Path(tempfile.mkdtemp(prefix="area-floor-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        server = embedded.start(folder)
        stack.callback(server.stop)
        port = stack.enter_context(floor(server.dsn, f"{w1.SINK}/sink", folder / "log"))
        area = stack.enter_context(Area())
        path = w1.prepare(area)
        for at in ((port, INTAKE), (area.port, path)):
            w1.measure(*at, ("-c", "16"), min(3, seconds), folder, "warm")
        for load in loads:
            tag = "".join(load).replace("-", "")
            least = w1.measure(port, INTAKE, load, seconds, folder, f"f{tag}")
            ours = w1.measure(area.port, path, load, seconds, folder, f"a{tag}")
            line = {
                "bench": "floor", "load": " ".join(load), "floor": least, "area": ours,
                "done": round(ours["done_s"] / least["done_s"], 3),
                "p50": round(ours["ms"][0] / least["ms"][0], 2),
            }  # fmt: skip
            lines.append(line)
            print(json.dumps(line), flush=True)
    return lines
