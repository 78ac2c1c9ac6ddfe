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
    for one in attacks:
        if one.own_names and os.geteuid() != 0:
            table.skipped[one.name] = "needs root, to give AREA a name server of its own"
            continue
        if one.alone:
            log = logs / f"{one.name}.log" if logs else None
            async with stage(table, own_names=one.own_names, log=log, **one.settings) as alone:
                await _play(one, alone)
    shared = [one for one in attacks if not one.alone]
    if shared:
        async with stage(table, log=logs / "shared.log" if logs else None) as together:
            for one in shared:
                await _play(one, together)


async def _play(one: Attack, where: Stage) -> None:
    print(f"{one.name}: {one.title}", flush=True)
    where.attack, before = one.name, len(where.table.rows)
    try:
        await one.play(where)
    except Exception as error:  # noqa: BLE001 - the other attacks are still to be played
        traceback.print_exc()
        where.table.is_so(one.name, "was played to its end", repr(error), holds=False)
    print(Table(where.table.rows[before:]).text(), flush=True)


def main() -> int:
    """The command line; returns 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description="attack a live installation, and measure what its other users see")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(ATTACKS)}; none: all")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--log", type=Path, help="keep the installations' logs in this folder")
    given = parser.parse_args()
    if unknown := set(given.names) - set(ATTACKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if given.log:
        given.log.mkdir(parents=True, exist_ok=True)
    table = Table()
    asyncio.run(play([one for one in ATTACKS.values() if one.name in (given.names or ATTACKS)], table, given.log))
    print(table.text())
    if given.json:
        given.json.write_text(table.json() + "\n")
    return 0 if table.holds() else 1


if __name__ == "__main__":
    sys.exit(main())
