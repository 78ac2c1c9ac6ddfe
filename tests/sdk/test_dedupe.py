"""Which rows of a polled list fire: every one once, whatever sources do."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from area.sdk import dedupe
from area.sdk.dedupe import KEEP, OVERLAP, Seen, fresh
from area.sdk.events import Event

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Row(BaseModel):
    """What a test's source shows."""


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


def row(identity: str, at: float | None = None) -> Event[Row]:
    return Event(id=identity, data=Row(), at=None if at is None else minutes(at))


class Source:
    """A source polled over time; `fired` collects ids in the order in which they fire."""

    def __init__(self, *backlog: Event[Row]) -> None:
        self.seen = Seen(START)
        self.fired: list[str] = []
        # the first look is the baseline: what it would fire is dropped, as the engine does
        _, self.seen = fresh(backlog, self.seen, START)

    def poll(self, now: float, *rows: Event[Row]) -> list[str]:
        new, self.seen = fresh(rows, self.seen, minutes(now))
        self.fired += [event.id for event in new]
        return [event.id for event in new]


def test_the_backlog_at_the_first_poll_never_fires() -> None:
    backlog = [row("old", -100_000), row("recent", -3), row("undated"), row("tomorrow", 1440)]
    source = Source(*backlog)
    assert source.poll(1, *backlog) == []
    assert source.poll(5, *backlog, row("new", 4)) == ["new"]
    assert source.poll(2000, *backlog) == []


def test_two_rows_at_the_same_instant() -> None:
    source = Source()
    assert source.poll(2, row("a", 1)) == ["a"]
    assert source.poll(4, row("b", 1), row("a", 1)) == ["b"]
    assert source.poll(6, row("c", 5), row("d", 5)) == ["c", "d"]
    assert source.poll(8, row("d", 5), row("c", 5)) == []


def test_a_row_that_appears_three_minutes_late() -> None:
    source = Source()
    assert source.poll(5, row("on time", 5)) == ["on time"]
    assert source.poll(6, row("late", 2), row("on time", 5)) == ["late"]


def test_the_newest_row_is_deleted() -> None:
    page = [row(str(number), -number) for number in range(20)]
    source = Source(*page)
    assert source.poll(1, row("new", 1), *page[:19]) == ["new"]
    # its place is taken by older rows that the page did not show before
    assert source.poll(2, *page, row("older", -500), row("oldest", -600)) == []


def test_a_row_dated_tomorrow_does_not_hide_the_next() -> None:
    source = Source()
    tomorrow = row("tomorrow", 1440)
    assert source.poll(1, tomorrow) == ["tomorrow"]
    assert source.poll(3, tomorrow, row("normal", 2)) == ["normal"]
    assert source.poll(5, tomorrow, row("late by nine minutes", -4)) == ["late by nine minutes"]
    assert source.poll(1500, tomorrow) == []


def test_a_row_dated_tomorrow_moves_the_window_not_at_all() -> None:
    source = Source()
    source.poll(60, row("tomorrow", 2000))
    assert source.seen.since == START
    assert source.poll(61, row("published an hour late", 1)) == ["published an hour late"]


@pytest.mark.parametrize("new_date", [-5000, 30])
def test_an_old_row_is_edited(new_date: float) -> None:
    """Whether its date stays, or is that of the edit, as in Atom feeds that know `updated` only."""
    source = Source(row("old", -5000), row("other", -1))
    assert source.poll(31, row("old", new_date), row("other", -1)) == []
    source.poll(40, row("new", 39))
    assert source.poll(41, row("new", 39), row("other", 41)) == []


def test_oldest_first() -> None:
    source = Source()
    assert source.poll(9, row("3", 3), row("1", 1), row("2", 2)) == ["1", "2", "3"]


def test_one_row_offered_twice_in_one_poll() -> None:
    assert Source().poll(2, row("a", 1), row("a", 1)) == ["a"]


def test_a_feed_without_dates_over_49_polls() -> None:
    """A page of 30; each poll brings 0 to 25 rows, in any order."""
    chance = random.Random(49)
    rows = [row(str(number)) for number in range(30)]
    source = Source(*rows)
    for poll in range(49):
        rows += [row(str(len(rows) + more)) for more in range(chance.randrange(26))]
        page = rows[-30:]
        source.poll(poll, *chance.sample(page, len(page)))
    assert len(rows) > KEEP
    assert sorted(source.fired, key=int) == [event.id for event in rows[30:]]


def test_what_is_known_stays_bounded() -> None:
    source = Source()
    for poll in range(0, 5000, 10):
        source.poll(poll, *(row(f"undated {poll + number}") for number in range(10)))
    assert len(source.seen.ids) <= KEEP + 10
    source = Source()
    for poll in range(0, 5000, 10):
        source.poll(poll, *(row(f"dated {poll + number}", poll) for number in range(10)))
    assert len(source.seen.ids) <= KEEP + 10


def test_rows_inside_the_window_stay_known_beyond_keep() -> None:
    source = Source()
    many = [row(str(number), 1) for number in range(3 * KEEP)]
    assert len(source.poll(2, *many)) == 3 * KEEP
    assert source.poll(3) == []
    assert source.poll(4, *many) == []


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[float], random.Random]:
    """Rows as (date, minutes until they appear, at most the overlap), times of polls, and a source of chance."""
    most = OVERLAP.total_seconds() / 60
    rows = draw(st.lists(st.tuples(st.floats(0, 300), st.floats(0, most)), max_size=40))
    polls = draw(st.lists(st.floats(0, 400), max_size=25))
    return rows, [*sorted(polls), 500], draw(st.randoms(use_true_random=False))


def shown(
    rows: Iterable[tuple[int, tuple[float, float]]], now: float, since: datetime, chance: random.Random
) -> list[int]:
    """What a source answers: all that has appeared and is not before the window, some older rows, in any order."""
    visible = [number for number, (at, late) in rows if at + late <= now]
    dates = dict(rows)
    answer = [n for n in visible if minutes(dates[n][0]) >= since - OVERLAP or chance.random() < 0.3]
    chance.shuffle(answer)
    return answer + [n for n in answer if chance.random() < 0.2]


@given(stories(), st.sampled_from([0, 3, KEEP]))
@settings(max_examples=150, deadline=None)
def test_every_dated_row_fires_exactly_once(
    story: tuple[list[tuple[float, float]], list[float], random.Random], keep: int
) -> None:
    """Whatever order and overlap rows are offered in, and however few ids are kept beyond the window."""
    rows, polls, chance = story
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedupe, "KEEP", keep)
        source = Source()
        for now in polls:
            answer = shown(list(enumerate(rows)), now, source.seen.since, chance)
            source.poll(now, *(row(str(number), rows[number][0]) for number in answer))
    assert sorted(source.fired, key=int) == [str(number) for number in range(len(rows))]


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_nothing_fires_twice_whatever_dates_say(data: st.DataObject) -> None:
    """Rows without dates, with dates that change, in the future and in the past, gone and back again."""
    source = Source()
    dates = st.none() | st.floats(-10_000, 10_000)
    for now in range(0, 200, 20):
        offered = data.draw(st.lists(st.tuples(st.integers(0, 30), dates), max_size=20))
        source.poll(now, *(row(str(number), at) for number, at in offered))
    assert len(source.fired) == len(set(source.fired))
