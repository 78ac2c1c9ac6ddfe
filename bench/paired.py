"""Paired runs: alternate between this checkout and another commit, so that noise of the machine cancels out."""

import json
import statistics
from contextlib import ExitStack

from bench.checkout import checked_out
from bench.stack import Area
from bench.w1 import measure, measured, prepare, sink

LOAD = ("-c", "64")
LEAST_DONE = 0.95  # of the other commit's median
FIGURES = ("done/s", "p99", "CPU per 1,000")


def w1(against: str, pairs: int = 5, seconds: float = 8) -> bool:
    """W1 at 64 connections. Whether throughput is no worse than before. Both stay up; only one is under load."""
    ratios: dict[str, list[float]] = {name: [] for name in FIGURES}
    with ExitStack() as stack:
        stack.enter_context(sink())
        before = stack.enter_context(Area(sources=stack.enter_context(checked_out(against))))
        after = stack.enter_context(Area())
        paths = {id(area): prepare(area) for area in (before, after)}
        for area in (before, after):
            measure(area.port, paths[id(area)], ("-c", "16"), 3, area.folder, "warm")
        for number in range(pairs):
            order = (before, after) if number % 2 == 0 else (after, before)
            seen = {id(area): measured(area, paths[id(area)], LOAD, seconds, f"p{number}") for area in order}
            old, new = seen[id(before)], seen[id(after)]
            ratios["done/s"].append(new["done_s"] / old["done_s"])
            ratios["p99"].append(new["ms"][2] / old["ms"][2])
            ratios["CPU per 1,000"].append(_cpu(new) / _cpu(old))
            print(json.dumps({"bench": "w1 paired", "pair": number, "before": old, "after": new}), flush=True)
    print(f"W1, this checkout against {against}: ratios of {pairs} pairs of {seconds:g} s")
    print(f"{'':>16}{'min':>8}{'median':>8}{'max':>8}")
    for name, values in ratios.items():
        print(f"{name:>16}{min(values):>8.3f}{statistics.median(values):>8.3f}{max(values):>8.3f}")
    holds = statistics.median(ratios["done/s"]) >= LEAST_DONE
    print(f"done/s >= {LEAST_DONE:g} of before in the median: {'ok' if holds else 'FAILS'}")
    return holds


def _cpu(result: dict) -> float:
    return result["cpu_per_1000"] + result["cpu_db_per_1000"]
