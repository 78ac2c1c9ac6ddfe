"""`python -m tests.fair [NAME ...] [--json FILE] [--log FOLDER]`: play the attacks and hold what the victim sees to its
bounds.
"""

import argparse
import asyncio
import os
import sys
import traceback
from pathlib import Path

from .attacks import ATTACKS, Attack
from .stage import Stage, stage
from .table import Table


async def play(attacks: list[Attack], table: Table, logs: Path | None) -> None:
    """Those that may share an installation on one, each other on its own."""
    for attack in attacks:
        if attack.own_names and os.geteuid() != 0:
            table.skipped[attack.name] = "needs root, to give AREA a name server of its own"
            continue
        if attack.alone:
            log = logs / f"{attack.name}.log" if logs else None
            async with stage(table, own_names=attack.own_names, log=log, **attack.settings) as alone:
                await _play(attack, alone)
    shared = [attack for attack in attacks if not attack.alone]
    if shared:
        async with stage(table, log=logs / "shared.log" if logs else None) as together:
            for item in shared:
                await _play(item, together)


async def _play(attack: Attack, where: Stage) -> None:
    print(f"{attack.name}: {attack.title}", flush=True)
    where.attack, before = attack.name, len(where.table.rows)
    try:
        await attack.play(where)
    except Exception as error:  # noqa: BLE001 - the other attacks are still to be played
        traceback.print_exc()
        where.table.is_so(attack.name, "was played to its end", repr(error), holds=False)
    print(Table(where.table.rows[before:]).text(), flush=True)


def main() -> int:
    """The command line; returns 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description="attack a live installation, and measure what its other users see")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(ATTACKS)}; none: all")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--log", type=Path, help="keep the installations' logs in this folder")
    args = parser.parse_args()
    if unknown := set(args.names) - set(ATTACKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if args.log:
        args.log.mkdir(parents=True, exist_ok=True)
    table = Table()
    asyncio.run(
        play([attack for attack in ATTACKS.values() if attack.name in (args.names or ATTACKS)], table, args.log)
    )
    print(table.text())
    if args.json:
        args.json.write_text(table.json() + "\n")
    return 0 if table.holds() else 1


if __name__ == "__main__":
    sys.exit(main())
