"""`make fuzz`: all targets in turn, for some minutes. What fails is printed with its seed, and the exit code is 1.

make fuzz ARGS="--minutes 60"
make fuzz ARGS="feeds --seed 4711 --cases 1"
"""

import argparse
import itertools
import sys
import time
import traceback
from collections import Counter
from random import Random

from area.kit.zygote import TooLong, within
from tests.fuzz.targets import TARGETS

MOST_FAILURES = 20
LONGEST = 5.0  # seconds of CPU for one input, as the readers have


def main() -> int:
    """Run the targets; returns the exit code."""
    arguments = argparse.ArgumentParser(prog="make fuzz", description="Feed broken inputs to AREA's readers.")
    arguments.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all by default")
    arguments.add_argument("--minutes", type=float, default=3, help="how long, 3 by default")
    arguments.add_argument("--seed", type=int, default=time.time_ns() // 1_000_000, help="of the first input")
    arguments.add_argument("--cases", type=int, default=0, help="stop after so many inputs for each target")
    args = arguments.parse_args()
    if unknown := set(args.targets) - TARGETS.keys():
        arguments.error(f"there is no target {', '.join(sorted(unknown))}")
    names = args.targets or list(TARGETS)
    print(f"Fuzzing {', '.join(names)} from seed {args.seed} ...", flush=True)
    end = time.monotonic() + 60 * args.minutes
    done: Counter[str] = Counter()
    failures = 0
    for seed in itertools.count(args.seed):
        for name in names:
            failures += not passes(name, seed)
            done[name] += 1
        if time.monotonic() > end or failures >= MOST_FAILURES or seed - args.seed + 1 == args.cases:
            break
    print(f"{', '.join(f'{count:,} {name}' for name, count in done.items())}: {failures} failed.")
    return 1 if failures else 0


def passes(name: str, seed: int) -> bool:
    """Whether the target takes the input of this seed."""
    try:
        with within(LONGEST):
            TARGETS[name](Random(f"{name} {seed}"))
    except (Exception, TooLong) as error:  # noqa: BLE001 - whatever a reader raises
        print(
            f'\n{name}, seed {seed}: {type(error).__name__}: {error}\n  make fuzz ARGS="{name} --seed {seed} --cases 1"'
        )
        if not isinstance(error, AssertionError):
            traceback.print_exc(file=sys.stdout)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
