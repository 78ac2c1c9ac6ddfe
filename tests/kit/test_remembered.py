"""What is forgotten while it is being read is not kept, and what is full loses the oldest only."""

import asyncio

from area.kit.remembered import Remembered


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_value_is_believed_for_a_while():
    clock = Clock()
    memory: Remembered[int, str | None] = Remembered(10, 60, clock)
    with memory.loading([1, 2]) as keep:
        keep(1, "one")
        keep(2, None)
    assert memory.known([1, 2, 3]) == {1: "one", 2: None}
    clock.now = 60
    assert memory.known([1, 2, 3]) == {}
    assert memory.get(1) is None


def test_the_least_recently_used_goes_first():
    memory: Remembered[int, int] = Remembered(3, 60)
    for number in (1, 2, 3):
        with memory.loading([number]) as keep:
            keep(number, number)
    assert memory.get(1) == 1
    with memory.loading([4]) as keep:
        keep(4, 4)
    assert memory.known([1, 2, 3, 4]) == {1: 1, 3: 3, 4: 4}
    assert len(memory) == 3


async def test_a_change_during_a_read_is_not_lost():
    """The word of a change comes between the read and what would keep it: the next one reads anew."""
    memory: Remembered[str, int] = Remembered(10, 60)
    row = {"a": 1, "b": 1}
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def load(key):
        with memory.loading([key]) as keep:
            value = row[key]
            reading.set()
            await go_on.wait()
            keep(key, value)

    for forget in (
        lambda: memory.forget("a"),
        memory.clear,
        lambda: memory.forget_where(lambda value: value == 1),  # whose value that is being read will be is not known
    ):
        reading.clear()
        go_on.clear()
        task = asyncio.create_task(load("a"))
        await reading.wait()
        row["a"] += 1
        forget()
        go_on.set()
        await task
        assert memory.get("a") is None
    task = asyncio.create_task(load("b"))
    memory.forget("a")  # another's change is no matter
    await task
    assert memory.get("b") == 1


async def test_reads_at_the_same_time_do_not_hide_each_other():
    memory: Remembered[str, int] = Remembered(10, 60)
    with memory.loading(["a"]) as old:
        memory.forget("a")
        with memory.loading(["a"]) as new:  # begun after the change
            new("a", 2)
        old("a", 1)
    assert memory.get("a") == 2
    assert memory._loads == {}


def test_what_is_not_so_is_forgotten_where_it_holds():
    memory: Remembered[str, int] = Remembered(10, 60)
    with memory.loading("abc") as keep:
        for number, key in enumerate("abc"):
            keep(key, number)
    memory.forget_where(lambda value: value == 1)
    assert memory.known("abc") == {"a": 0, "c": 2}
