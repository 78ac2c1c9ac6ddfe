"""What connectors are given of a webhook request, and what events they make of lists."""

from datetime import UTC, datetime

import pytest

from area.sdk import Output, Permanent, account_ids, new_events, output
from area.sdk.testing import delivery


class Note(Output):
    id: int = output("id", "Its id", 1)
    at: datetime | None = output("at", "When", "2026-11-23T09:00:00Z", None)


def test_a_header_that_has_to_be_there_is_read_or_missed():
    assert delivery(headers={"X-Delivery": "7"}).header("x-delivery") == "7"
    for headers in ({}, {"X-Delivery": ""}):
        with pytest.raises(Permanent, match="X-Delivery header is missing"):
            delivery(headers=headers).header("X-Delivery")


async def told(*days: int | None):
    for number, day in enumerate(days):
        yield Note(id=number, at=day and datetime(2026, 11, day, tzinfo=UTC))


async def test_rows_are_events_by_their_fields():
    first, other = [event async for event in new_events(told(23, None))]
    assert (first.id, first.data.id, first.at, other.id) == ("0", 0, None, "1")
    first, other = [event async for event in new_events(told(23, None), "{id}@{at}", "at")]
    assert (first.id, first.at, other.at) == ("0@2026-11-23T00:00:00+00:00", first.data.at, None)


@pytest.mark.parametrize(
    ("path", "where", "body", "expected"),
    [
        ("user", "", {"user": "u1"}, ["u1"]),
        ("list.all", "", {"list": {"all": ["u1", "u2"]}}, ["u1", "u2"]),
        ("seen_by", "id", {"seen_by": [{"id": "u1"}]}, ["u1"]),
        ("seen_by", "{team}:{id}", {"seen_by": [{"id": 1, "team": "t"}]}, ["t:1"]),
        ("user", "", {}, None),
        ("user", "", [], None),
        ("user", "", {"user": [1]}, None),
        ("seen_by", "id", {"seen_by": "u1"}, None),
        ("seen_by", "{team}:{id}", {"seen_by": [{"id": 1}]}, None),
    ],
)
def test_whose_accounts_it_is_about(path, where, body, expected):
    if expected is None:
        with pytest.raises(Permanent, match="doesn't say which account"):
            account_ids(path, where)(delivery(json=body))
    else:
        assert account_ids(path, where)(delivery(json=body)) == expected
