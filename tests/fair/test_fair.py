"""What of the attacks is a matter of states and counts, not of time. The rest is `make fair`."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .attacks import ATTACKS
from .stage import Stage, stage
from .table import Table, percentile
from .victim import Samples

# on one installation, by states and counts alone
QUICK = (
    "bad-ports",
    "encoded-words",
    "exported-secrets",
    "imap-password",
    "owner-locked-out",
    "rebound-name",
    "small-faults",
    "stolen-session",
    "terminal-escapes",
)


@pytest_asyncio.fixture(scope="module")
async def together() -> AsyncIterator[Stage]:
    """One installation for all of them."""
    async with stage(Table()) as prepared:
        yield prepared


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
async def test_an_attack_fails(together: Stage, name: str):
    together.attack, together.table = name, Table()
    await ATTACKS[name].play(together)
    assert together.table.rows
    assert together.table.holds(), together.table.text()


def test_a_slow_victim_fails_the_table():
    calm = Samples(seconds={"hook": [0.01] * 100, "timer": [0.5] * 3})
    slow = Samples(seconds={"hook": [0.01] * 98 + [0.2, 0.3], "timer": [0.5, 0.6, 1.4]})
    table = Table()
    table.watched("calm", calm, calm, ("hook", "timer"))
    assert table.holds()
    table.watched("slow", calm, slow, ("hook",))
    assert not table.holds()
    table.rows.pop()
    table.watched("late", calm, slow, ("timer",))
    assert table.holds()  # a timer is late by less than a second
    table.at_most("memory", "MB", 301, 300)
    assert not table.holds()
    assert "FAILS" in table.text()


def test_the_percentile_is_a_measured_value():
    assert percentile([], 0.99) == 0.0
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([float(n) for n in range(100)], 0.99) == 99.0
    assert percentile([float(n) for n in range(1000)], 0.5) == 500.0
