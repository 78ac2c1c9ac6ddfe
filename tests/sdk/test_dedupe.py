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


class Whole(Source):
    """A source that shows its whole list at each look, oldest row first; `upgraded`: it was watched by the old rule."""

    def __init__(self, *backlog: Event[Row], upgraded: bool = False) -> None:
        self.seen = Seen(START)
        self.fired = []
        self.now = 0
        if upgraded:
            _, self.seen = fresh(backlog, self.seen, START, timedelta(days=1))
        else:
            self.look(*backlog)

    def look(self, *rows: Event[Row]) -> list[str]:
        self.now += 5
        new, self.seen = fresh(rows, self.seen, minutes(self.now), None)
        return [event.id for event in new]


DAY = 1440


def signed(identity: str, *signs: str, at: float | None = None, former: tuple[str, ...] = ()) -> Event[Row]:
    return Event(id=identity, data=Row(), at=None if at is None else minutes(at), signs=signs, former=former)


@pytest.mark.parametrize("at", [None, 1, -1, -2 * DAY, -400 * DAY, 20_000 * -DAY, 10 * DAY])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("dates", [(-3 * DAY, -DAY), (None, None), (-500 * DAY, -400 * DAY)])
def test_what_appears_in_a_whole_list_fires_once_whatever_its_date_says(at, place, dates) -> None:
    rows = [row("a", dates[0]), row("b", dates[1])]
    source = Whole(*rows)
    rows.insert(place, row("new", at))
    assert source.look(*rows) == ["new"]
    assert source.look(*rows) == []
    assert source.look(*reversed(rows)) == []


@pytest.mark.parametrize("turn", [list, reversed])
def test_older_rows_that_take_the_place_of_vanished_ones_are_the_archive(turn) -> None:
    rows = [row(str(number), number * DAY) for number in range(-20, 0)]
    source = Whole(*turn(rows[-10:]))
    assert source.look(*turn(rows[-11:-1])) == []
    assert source.look(*turn(rows[-14:-4])) == []
    assert source.look(*turn([*rows[-14:-4], row("new", 1)])) == ["new"]


def test_an_archive_that_is_shown_at_once_is_no_news() -> None:
    rows = [row(str(number), number * DAY) for number in range(-100, 0)]
    source = Whole(*rows[-5:])
    assert source.look(*rows) == []
    assert source.look(*rows, row("new", 1)) == ["new"]


def test_rows_that_are_gone_for_a_while_are_still_known() -> None:
    rows = [row(str(number)) for number in range(1000)]
    source = Whole(*rows)
    assert source.look(*rows[:10]) == []
    assert source.look(*rows) == []


def test_ids_that_change_at_each_look() -> None:
    source = Whole(*(signed(f"0-{number}", f"title {number}") for number in range(20)))
    for look in range(1, 6):
        assert source.look(*(signed(f"{look}-{number}", f"title {number}") for number in range(20))) == []
    assert source.look(*(signed(f"6-{number}", f"title {number}") for number in range(21))) == ["6-20"]


def test_ids_and_dates_that_change_at_each_look() -> None:
    def page(look: int, count: int) -> list[Event[Row]]:
        return [signed(f"{look}-{n}", f"{look} title {n}", f"title {n}", at=look) for n in range(count)]

    source = Whole(*page(0, 5))
    assert source.look(*page(1, 5)) == []
    assert source.look(*page(2, 6)) == ["2-5"]
    assert source.look(*page(3, 6)) == []


def test_rows_alike_but_for_their_ids_are_rows_of_their_own() -> None:
    source = Whole(signed("a", "down"))
    assert source.look(signed("a", "down"), signed("b", "down")) == ["b"]
    assert source.look(signed("b", "down"), signed("c", "down")) == ["c"]
    assert source.look(signed("d", "down"), signed("e", "up")) == ["e"]  # d may be c by another id


def test_a_further_sign_counts_only_where_nothing_else_is_recognized() -> None:
    source = Whole(signed("a", "1", "x"), signed("b", "2", "y"))
    assert source.look(signed("a", "1", "x"), signed("c", "3", "y")) == ["c"]


def test_an_upgrade_fires_nothing_again() -> None:
    old = [row("a", -3 * DAY), row("b", -1), row("c")]
    again = [signed(event.id, event.id, at=at) for event, at in zip(old, (-3 * DAY, -1, None), strict=True)]
    source = Whole(*old, upgraded=True)
    assert source.look(*again) == []
    assert source.look(*again, row("new", -2 * DAY)) == ["new"]
    # ids that change, and ids that the connector makes otherwise now
    assert Whole(*old, upgraded=True).look(signed("x", "1"), signed("y", "2")) == []
    assert Whole(*old, upgraded=True).look(signed("x", "1", former=("b",)), signed("y", "2", at=1)) == ["y"]
    assert Whole(*old, upgraded=True).look(*again, row("archive", -2 * DAY)) == []
    assert Whole(upgraded=True).look(row("first", -9 * DAY)) == ["first"]


def test_the_signs_that_are_known_stay_bounded(monkeypatch) -> None:
    monkeypatch.setattr(dedupe, "KEEP_SIGNS", 50)
    source = Whole()
    for look in range(40):
        source.look(*(signed(f"{look} {number}", f"{look} {number}") for number in range(10)))
    assert len(source.seen.signs) == 50
    assert len(source.seen.ids) <= KEEP + 10


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_nothing_fires_twice_in_a_whole_list(data: st.DataObject) -> None:
    """Rows with or without dates, gone and back again, in any order, some with ids that change."""
    source = Whole()
    fired: list[str] = []
    dates = st.none() | st.floats(-10_000, 10_000)
    for look in range(10):
        numbers = data.draw(st.lists(st.integers(0, 30), unique=True, max_size=20))
        rows = [
            signed(f"{number}" if number % 2 else f"{number} {look}", f"sign {number}", at=data.draw(dates))
            for number in numbers
        ]
        fired += [identity.partition(" ")[0] for identity in source.look(*rows)]
    assert len(fired) == len(set(fired))
