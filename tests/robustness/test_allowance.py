"""What bodies a process holds is shared."""

import pytest

from area.doors.body import AROUND, LITTLE, Allowance, Crowded


def test_each_has_its_share_and_gives_it_back():
    allowance = Allowance(1_000_000, 400_000)
    with allowance.of("ann") as ann:
        ann.take(300_000)
        with pytest.raises(Crowded):
            ann.take(200_000)
        with allowance.of("bob") as bob:
            bob.take(300_000)
            assert allowance.held == 600_000 + 2 * AROUND
    assert allowance.held == 0
    with allowance.of("ann") as ann:
        ann.take(300_000)


def test_a_request_that_fails_gives_its_share_back():
    allowance = Allowance(1_000_000, 400_000)
    with pytest.raises(Crowded), allowance.of("ann") as ann:
        ann.take(500_000)
    assert allowance.held == 0


def test_those_who_hold_much_keep_nobody_out_who_holds_little():
    allowance = Allowance(1_000_000, 500_000)
    with allowance.of("ann") as ann, allowance.of("bob") as bob:
        ann.take(500_000 - AROUND)
        bob.take(500_000 - AROUND)
        with allowance.of("cleo") as cleo:
            cleo.take(100_000)
            with pytest.raises(Crowded):
                cleo.take(LITTLE)
