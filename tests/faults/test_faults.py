"""The short form: each part of an installation is killed once, under load. The long one is `python -m tests.faults`."""

import random
from pathlib import Path

import pytest

from .trial import Plan, Trial


@pytest.mark.slow
async def test_nothing_is_lost_and_nothing_is_done_twice(memory: Path, capsys):
    seed = random.SystemRandom().randrange(1_000_000)
    rounds = ["worker", "postgres", "web"]
    random.Random(seed).shuffle(rounds)
    plan = Plan(
        seed=seed,
        rounds=rounds,
        feeds=10,
        publish_rate=1.0,
        gap=(1.0, 3.0),
        lead=2.0,
        where=memory,
        hurry_leases=True,
    )
    account = await Trial(plan).run()
    with capsys.disabled():
        print(f"\n{account.table()}\n{account.line()}")
    assert not account.broken, (seed, account.errors[:20])
