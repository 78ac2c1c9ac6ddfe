"""Some inputs of each target of `make fuzz`: the same ones each time."""

import pytest

from tests.fuzz.__main__ import passes
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_bad_part_takes_no_other_along(name: str) -> None:
    assert [seed for seed in range(150) if not passes(name, seed)] == []
