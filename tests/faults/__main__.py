"""The long form: `python -m tests.faults [--seed N] [--rounds N] [--rate N] [--feeds N]`."""

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path

from .trial import Plan, Trial


def main() -> int:
    parser = argparse.ArgumentParser(description="kill -9 at random moments, under load, and account for every event")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--feeds", type=int, default=50)
    parser.add_argument("--where", type=Path, help="directory for the data (default: the temporary one)")
    parser.add_argument("--json", type=Path, help="append the account as a line to this file")
    parser.add_argument("--log", type=Path, help="keep the installation's log in this file")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    chance = random.Random(args.seed)
    kinds = ["web", "worker", "postgres", "web", "worker", "postgres", "backend"]
    rounds = [kinds[number % len(kinds)] for number in range(args.rounds)]
    chance.shuffle(rounds)
    rounds.insert(len(rounds) // 2, "freeze")
    plan = Plan(seed=args.seed, rounds=rounds, rate=args.rate, feeds=args.feeds, where=args.where, log=args.log)
    account = asyncio.run(Trial(plan).run())
    print(account.table())
    for entry in account.errors[:30]:
        print("  log:", {key: value for key, value in entry.items() if key != "exception"})
    print(account.line())
    if args.json:
        with args.json.open("a") as file:
            file.write(account.line() + "\n")
    return bool(account.broken)


if __name__ == "__main__":
    sys.exit(main())
