"""W1: 1 KB webhooks to HTTP requests with two placeholders, AREA and the floor in one run, load by load."""

import json
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.floor import FOLDER, PORT, Floor
from bench.stack import Area

LOADS = (("-c", "1"), ("-c", "16"), ("-c", "64"), ("-r", "200"), ("-r", "1000"))
SINK = "http://127.0.0.1:9912"


@contextmanager
def sink():
    process = subprocess.Popen([sys.executable, str(FOLDER / "sink.py")])
    try:
        time.sleep(0.5)
        yield
    finally:
        process.terminate()
        process.wait()


def measure(port: int, path: str, load: tuple[str, ...], seconds: int, folder: Path, tag: str) -> dict:
    """One load from a client process of its own; what arrived, when, and how often."""
    urllib.request.urlopen(f"{SINK}/dump").read()
    out = folder / f"load-{tag}.json"
    begun = time.time()
    command = [sys.executable, str(FOLDER / "load.py"), "--port", str(port), "--url-path", path]
    subprocess.run([*command, *load, "-d", str(seconds), "--tag", tag, "-o", str(out)], check=True)
    sent = json.loads(out.read_text())
    accepted = [one for one in sent if 200 <= one[3] < 300]
    arrived: dict = {}
    while len(arrived) < len(accepted) and time.time() - begun < seconds + 60:
        time.sleep(0.3)
        for key, times in json.load(urllib.request.urlopen(f"{SINK}/dump")).items():
            arrived.setdefault(key, []).extend(times)
    late = sorted(arrived[one[0]][0] - one[1] for one in accepted if one[0] in arrived)
    if not late:
        raise RuntimeError(f"nothing arrived of {len(accepted)} accepted and {len(sent)} sent: {sent[:3]}")
    last = max(times[-1] for times in arrived.values()) / 1e6

    def percentile(share: float) -> float:
        return round(late[min(len(late) - 1, int(len(late) * share))] / 1000, 1)

    return {
        "accepted": len(accepted),
        "refused": len(sent) - len(accepted),
        "done_s": round(len(arrived) / (last - begun)),
        "lost": len(accepted) - len(arrived),
        "double": sum(len(times) > 1 for times in arrived.values()),
        "ms": [percentile(0.5), percentile(0.95), percentile(0.99)],
    }


def prepare(area: Area) -> str:
    """An AREA that answers to webhooks; returns its path."""
    area.register()
    made = area.create(
        "webhook.received", "http.request", url=f"{SINK}/sink", body={"id": "{{body.id}}", "title": "{{body.title}}"}
    )
    return made["webhook_url"].partition(str(area.port))[2]


def measured(area: Area, path: str, load: tuple[str, ...], seconds: int, tag: str) -> dict:
    """`measure`, with what it cost."""
    before = area.cost()
    result = measure(area.port, path, load, seconds, area.folder, tag)
    time.sleep(1.5)  # PostgreSQL tells its transactions late
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
        bare = stack.enter_context(Floor())
        area = stack.enter_context(Area(workers=workers))
        path = prepare(area)
        measure(area.port, path, ("-c", "16"), 3, area.folder, "warm")
        measure(PORT, "/hook", ("-c", "16"), 3, area.folder, "warmf")
        for load in loads:
            name = " ".join(load)
            tag = "".join(load).replace("-", "")
            before = bare.cpu()
            floor = measure(PORT, "/hook", load, seconds, area.folder, f"f{tag}")
            floor["cpu_per_1000"] = round((bare.cpu() - before) * 1000 / max(1, floor["accepted"]), 2)
            ours = measured(area, path, load, seconds, f"a{tag}")
            ratio = {
                "done": round(ours["done_s"] / floor["done_s"], 2),
                "p50": round(ours["ms"][0] / floor["ms"][0], 2),
                "p99": round(ours["ms"][2] / floor["ms"][2], 2),
                "cpu": round((ours["cpu_per_1000"] + ours["cpu_db_per_1000"]) / floor["cpu_per_1000"], 2),
            }
            line = {"bench": "w1", "load": name, "area": ours, "floor": floor, "ratio": ratio}
            lines.append(line)
            print(json.dumps(line), flush=True)
        stuck = area.query("select count(*) as n from area_executions where status <> 'success'")[0]["n"]
        print(json.dumps({"bench": "w1", "not_success": stuck}), flush=True)
    return lines


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
