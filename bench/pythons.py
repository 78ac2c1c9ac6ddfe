"""The same load under several Pythons, in turns: `python -m bench pythons --python .venv/bin/python --python …`.

Each is the Python of an environment in which AREA and its requirements are installed. Client and sink run under the
same one always.
"""

import json
import statistics
import subprocess
from contextlib import ExitStack
from pathlib import Path

from bench.stack import Area
from bench.w1 import measure, measured, prepare, sink

ABOUT = "import sys; print(sys.version.split()[0], sys.base_prefix)"


def pythons(paths: list[str], rounds: int, seconds: float) -> None:
    """Print, for each Python, the medians at 64 connections, and their ratios to those of the first."""
    paths = [str(Path(path).absolute()) for path in paths]  # not resolved: a link leads out of its environment
    figures: dict[str, list[tuple[float, float, float]]] = {path: [] for path in paths}
    with ExitStack() as stack:
        stack.enter_context(sink())
        for _ in range(rounds):
            for path in paths:
                with Area(python=path) as area:
                    hook = prepare(area)
                    measure(area.port, hook, ("-c", "16"), 3, area.folder, "warm")
                    line = measured(area, hook, ("-c", "64"), seconds, "c64")
                    cost = line["cpu_per_1000"] + line["cpu_db_per_1000"]
                    figures[path].append((line["done_s"], cost, line["ms"][2]))
    base: list[float] = []
    for path, rows in figures.items():
        done, cost, late = (statistics.median(column) for column in zip(*rows, strict=True))
        base = base or [done, cost, late]
        about = subprocess.run([path, "-c", ABOUT], capture_output=True, text=True, check=True).stdout.strip()
        ratios = [round(value / first, 3) for value, first in zip((done, cost, late), base, strict=True)]
        line = {"bench": "pythons", "python": about, "done_s": done, "cpu_per_1000": round(cost, 3), "p99_ms": late}
        print(json.dumps(line | {"ratios": ratios}), flush=True)
