"""`python -m bench [w1 … w5] [--seconds N]`: JSON lines as they come, and a table at the end."""

import argparse
import os

from bench import w1, w2, w4


def table(lines: list[dict]) -> str:
    rows = [("load", "who", "done/s", "p50 ms", "p95", "p99", "lost", "double", "CPU s/1000", "tx/execution", "MB")]
    for line in lines:
        for who in ("floor", "area"):
            one = line.get(who)
            if not one:
                continue
            cpu = round(one.get("cpu_per_1000", 0) + one.get("cpu_db_per_1000", 0), 2)
            rows.append(
                (line["load"], who, one["done_s"], *one["ms"], one["lost"], one["double"], cpu or "",
                 one.get("tx_per_execution", ""), one.get("memory_mb", ""))
            )  # fmt: skip
        ratio = line.get("ratio", {})
        rows.append(
            ("", "ratio", ratio.get("done"), ratio.get("p50"), "", ratio.get("p99"), "", "", ratio.get("cpu"), "", "")
        )
    widths = [max(len(str(row[n])) for row in rows) for n in range(len(rows[0]))]
    return "\n".join("  ".join(str(cell).rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("which", nargs="*", default=["w1", "w2", "w3", "w4", "w5"])
    parser.add_argument("--seconds", type=int, default=20)
    given = parser.parse_args()
    print(f"load average before: {os.getloadavg()}, cores: {os.cpu_count()}", flush=True)
    for which in given.which:
        match which:
            case "w1":
                print(table(w1.run(given.seconds)), flush=True)
            case "w2":
                w2.w2()
            case "w3":
                w2.w3()
            case "w4":
                w4.w4(given.seconds)
            case "w5":
                w4.w5(given.seconds)
            case _:
                parser.error(f"there is no {which}")
    print(f"load average after: {os.getloadavg()}", flush=True)


main()
