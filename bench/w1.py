"""W1: 1 KB webhooks to HTTP requests with two placeholders, load by load."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.ports import free_port

from bench.load import Sent
from bench.stack import Area

LOADS = (("-c", "1"), ("-c", "16"), ("-c", "64"), ("-r", "200"), ("-r", "1000"))
PORT = free_port()
SINK = f"http://127.0.0.1:{PORT}"


@contextmanager
def sink() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "bench.sink", str(PORT)])
    try:
        end = time.time() + 20
        while time.time() < end:
            with suppress(OSError), urllib.request.urlopen(f"{SINK}/dump", timeout=2):
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


@dataclass
class Run:
    """The requests of one load, and when each id arrived at the sink."""

    begun: float
    sent: list[Sent]
    unsent: int
    client_cpu: float  # CPU seconds used by the client itself
    arrived: dict[str, list[float]] = field(default_factory=dict)

    @property
    def accepted(self) -> list[Sent]:
        return [request for request in self.sent if 200 <= request.status < 300]

    def collect(self) -> None:
        """Fetch what has arrived since the last call."""
        for key, times in json.load(urllib.request.urlopen(f"{SINK}/dump")).items():
            self.arrived.setdefault(key, []).extend(times)

    def drain(self, seconds: float, each: int = 1) -> None:
        """Wait until everything accepted has arrived, up to a limit; `each` request arrives so many times, under
        different ids.
        """
        end, accepted = time.time() + seconds, len(self.accepted) * each
        self.collect()
        while len(self.arrived) < accepted and time.time() < end:
            time.sleep(0.3)
            self.collect()

    def figures(self) -> dict:
        accepted = self.accepted
        late = sorted(self.arrived[request.id][0] - request.sent for request in accepted if request.id in self.arrived)
        if not late:
            raise RuntimeError(
                f"nothing arrived of {len(accepted)} accepted and {len(self.sent)} sent: {self.sent[:3]}"
            )
        last = max(times[-1] for times in self.arrived.values())
        return {
            "accepted": len(accepted),
            "refused": len(self.sent) - len(accepted) + self.unsent,
            "done_s": round(len(self.arrived) / (last - self.begun)),
            "lost": len({request.id for request in accepted} - set(self.arrived)),
            "double": sum(len(times) > 1 for times in self.arrived.values()),
            "ms": [round(percentile(late, share) * 1000, 1) for share in (0.5, 0.95, 0.99)],
        }


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def start(port: int, path: str, load: tuple[str, ...], seconds: float, out: Path, tag: str) -> subprocess.Popen:
    """The client, in its own process."""
    command = [sys.executable, "-m", "bench.load", str(port), path, *load]
    return subprocess.Popen([*command, "--seconds", str(seconds), "--tag", tag, "--out", str(out)])


def read(out: Path, begun: float) -> Run:
    written = json.loads(out.read_text())
    return Run(begun, [Sent(**fields) for fields in written["sent"]], written["unsent"], written["cpu"])


def measure(port: int, path: str, load: tuple[str, ...], seconds: float, folder: Path, tag: str) -> dict:
    """Run one load: what arrived, when, and how often."""
    urllib.request.urlopen(f"{SINK}/dump").read()
    out, begun = folder / f"load-{tag}.json", time.time()
    if start(port, path, load, seconds, out, tag).wait():
        raise RuntimeError("the client failed")
    run = read(out, begun)
    run.drain(60)
    return run.figures()


def prepare(area: Area) -> str:
    """Create an AREA with a webhook; returns its path."""
    area.register()
    created = area.create(
        "webhook.received", "http.request", url=f"{SINK}/sink", body={"id": "{{body.id}}", "title": "{{body.title}}"}
    )
    return created["webhook_url"].partition(str(area.port))[2]


def measured(area: Area, path: str, load: tuple[str, ...], seconds: float, tag: str) -> dict:
    """`measure`, with its cost."""
    before = area.cost()
    result = measure(area.port, path, load, seconds, area.folder, tag)
    time.sleep(1.5)  # PostgreSQL reports transactions late
    after = area.cost()
    done = max(1, result["accepted"])
    result["cpu_per_1000"] = round((after.cpu - before.cpu) * 1000 / done, 2)
    result["cpu_db_per_1000"] = round((after.cpu_database - before.cpu_database) * 1000 / done, 2)
    result["tx_per_execution"] = round((after.transactions - before.transactions) / done, 2)
    result["memory_mb"] = round(after.memory)
    result["memory_db_mb"] = round(after.memory_database)
    return result


def run(seconds: int = 20, loads=LOADS, workers: int = 1) -> list[dict]:
    lines = []
    with ExitStack() as stack:
        stack.enter_context(sink())
        area = stack.enter_context(Area(workers=workers))
        path = prepare(area)
        measure(area.port, path, ("-c", "16"), 3, area.folder, "warm")
        for load in loads:
            tag = "".join(load).replace("-", "")
            line = {"bench": "w1", "load": " ".join(load)} | measured(area, path, load, seconds, tag)
            lines.append(line)
            print(json.dumps(line), flush=True)
        stuck = area.query("select count(*) as n from area_executions where status <> 'success'")[0]["n"]
        print(json.dumps({"bench": "w1", "not_success": stuck}), flush=True)
    return lines
