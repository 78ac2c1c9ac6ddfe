"""`python -m bench [w1 … w7] [--seconds N]`: prints JSON lines as they come, and a table at the end.

`python -m bench paired --against COMMIT [--pairs N]` alternates W1 between this checkout and another commit. Exits with
1 if a bound (of W6, W7, rest or the paired runs) is exceeded. `python -m bench floor` runs the loads of W1 on the floor
(bench/floor) and on AREA, `python -m bench rest` shows start and memory at rest, and `python -m bench pythons --python
PATH --python PATH` compares Pythons.
"""

import argparse
import os
import sys

from bench import paired, pythons, rest, w1, w2, w4, w6, w7
from bench.floor import run as floor


def table(lines: list[dict]) -> str:
    rows = [("load", "done/s", "p50 ms", "p95", "p99", "lost", "double", "CPU s/1000", "tx/execution", "MB")]
    for line in lines:
        cpu = round(line["cpu_per_1000"] + line["cpu_db_per_1000"], 2)
        rows.append(
            (line["load"], line["done_s"], *line["ms"], line["lost"], line["double"], cpu, line["tx_per_execution"],
             line["memory_mb"])
        )  # fmt: skip
    widths = [max(len(str(row[n])) for row in rows) for n in range(len(rows[0]))]
    return "\n".join("  ".join(str(cell).rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("which", nargs="*", default=["w1", "w2", "w3", "w4", "w5", "w6", "w7"])
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--against", metavar="COMMIT", help="what `paired` compares this checkout with")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--python", action="append", help="what `pythons` compares; several times")
    options = parser.parse_args()
    print(f"load average before: {os.getloadavg()}, cores: {os.cpu_count()}", flush=True)
    holds = True
    for which in options.which:
        match which:
            case "w1":
                print(table(w1.run(options.seconds or 20)), flush=True)
            case "w2":
                w2.w2()
            case "w3":
                w2.w3()
            case "w4":
                w4.w4(options.seconds or 20)
            case "w5":
                w4.w5(options.seconds or 20)
            case "w6":
                holds &= w6.w6(options.seconds or 20)
            case "w7":
                holds &= w7.w7(options.seconds or 30)
            case "rest":
                holds &= rest.rest()
            case "pythons":
                pythons.pythons(options.python or [sys.executable], options.pairs, options.seconds or 8)
            case "floor":
                floor.run(options.seconds or 20)
            case "paired":
                if not options.against:
                    parser.error("paired needs --against COMMIT")
                holds &= paired.w1(options.against, options.pairs, options.seconds or 8)
            case _:
                parser.error(f"there is no {which}")
    print(f"load average after: {os.getloadavg()}", flush=True)
    return 0 if holds else 1


sys.exit(main())
