"""Start and memory at rest: `area up` on a new data directory, started again, and commands that need no connector."""

import json
import os
import statistics
import subprocess
import sys
import time

from bench.stack import Area

MOST_MEMORY = 200  # MB in sum (PSS) but for PostgreSQL, with one worker
MOST_SECONDS = 2.0  # from the command to an answer of /readyz, on two cores that do nothing else
SETTLED = 6.0  # seconds until a process has done what it does once
COMMANDS = (("--help",), ("db", "url"), ("user", "list"))
TIMES = 5


def rest() -> bool:
    """Print the figures; return whether the bounds hold."""
    area = Area()
    try:
        lines = []
        for start in ("first", "again"):
            area.start()
            time.sleep(SETTLED)
            lines.append(
                {"start": start, "seconds": round(area.started_in, 2), "memory_mb": round(area.cost().memory, 1)}
            )
            print(json.dumps(lines[-1]), flush=True)
            if start == "first":
                area.end()
        for command in COMMANDS:
            print(json.dumps({"command": " ".join(command), "seconds": _seconds(area, command)}), flush=True)
    finally:
        area.stop()
    again = lines[-1]
    return bool(again["memory_mb"] <= MOST_MEMORY and again["seconds"] <= MOST_SECONDS)


def _seconds(area: Area, command: tuple[str, ...]) -> float:
    """The median of several runs."""
    environment = {**os.environ, "AREA_DATA_DIR": str(area.folder / "data")}
    spent = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "area.cli", *command], env=environment, capture_output=True, check=True)
        spent.append(time.perf_counter() - begun)
    return round(statistics.median(spent), 2)
