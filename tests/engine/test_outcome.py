"""What a run says of its attempts."""

import pytest

from area.engine.execution.outcome import ended
from area.sdk import Retry


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("example.org returned 429: later", "example.org returned 429: later."),
        ("It is too early.", "It is too early."),
        ("Who is there?", "Who is there?"),
        ("and so on …", "and so on …"),
    ],
)
def test_a_servers_own_words_end_before_the_next_sentence(message, expected):
    assert ended(Retry(message)) == expected
