"""A share for each user: caps, turns, a bounded queue, and no slot lost to who gave up."""

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from area.kit import fair
from area.kit.fair import NOBODY, Fair, Full, set_whose, user, whose, working_for

FULL = "Too much at once."


class Work:
    """Work in a pool, each piece of which ends when it is told to."""

    def __init__(self, pool):
        self.pool = pool
        self.inside = []  # keys, in the order in which they got their slots
        self.busy = Counter()
        self.most = Counter()
        self.ends = {}

    def begin(self, key):
        async def work():
            with working_for(key):
                async with self.pool.slot():
                    self.inside.append(key)
                    self.busy[key] += 1
                    self.most[key] = max(self.most[key], self.busy[key])
                    end = self.ends[asyncio.current_task()] = asyncio.Event()
                    try:
                        await end.wait()
                    finally:
                        self.busy[key] -= 1
                        del self.ends[asyncio.current_task()]

        return asyncio.create_task(work())

    async def end_all(self):
        while self.ends:
            for end in list(self.ends.values()):
                end.set()
            await settled()


async def settled():
    for _ in range(6):
        await asyncio.sleep(0)


async def test_a_key_has_no_more_than_its_cap_while_others_have_room():
    work = Work(Fair("test", FULL, slots=4, per_key=2))
    tasks = [work.begin("a") for _ in range(10)]
    await settled()
    assert work.inside == ["a", "a"]
    tasks += [work.begin("b")]
    await settled()
    assert work.inside == ["a", "a", "b"]
    await work.end_all()
    await asyncio.gather(*tasks)
    assert work.most == {"a": 2, "b": 1}


async def test_waiting_keys_are_served_in_turn():
    work = Work(Fair("test", FULL, slots=1, per_key=1, waiting_per_key=100))
    tasks = [work.begin("a") for _ in range(50)]
    await settled()
    tasks += [work.begin("b"), work.begin("c"), work.begin("b")]
    await settled()
    await work.end_all()
    await asyncio.gather(*tasks)
    assert work.inside[:6] == ["a", "a", "b", "c", "a", "b"]


async def test_a_key_has_a_bounded_number_waiting():
    work = Work(Fair("test", FULL, slots=1, per_key=1, waiting_per_key=2))
    tasks = [work.begin("a") for _ in range(4)]
    await settled()
    with pytest.raises(Full, match=r"^Too much at once\.$") as refused:
        await tasks[3]
    assert (refused.value.status, refused.value.retry_after) == (429, 5)
    await work.end_all()
    await asyncio.gather(*tasks[:3])


async def test_a_full_queue_makes_the_greediest_key_give_way():
    work = Work(Fair("test", FULL, slots=1, per_key=1, waiting=4, waiting_per_key=4))
    greedy = [work.begin("greedy") for _ in range(5)]
    await settled()
    modest = work.begin("modest")
    await settled()
    with pytest.raises(Full):
        await greedy[4]
    await work.end_all()
    await asyncio.gather(modest, *greedy[:4])
    assert work.inside.index("modest") <= 2


async def test_a_full_queue_of_many_keys_refuses_the_newest():
    work = Work(Fair("test", FULL, slots=1, per_key=1, waiting=3))
    tasks = [work.begin(f"address {number}") for number in range(4)]
    await settled()
    with pytest.raises(Full):
        await work.begin("address 9")
    await work.end_all()
    await asyncio.gather(*tasks)


async def test_who_waits_longer_than_the_patience_is_refused():
    work = Work(Fair("test", FULL, slots=1, per_key=1, patience=0.01))
    first = work.begin("a")
    await settled()
    with pytest.raises(Full):
        await work.begin("b")
    await work.end_all()
    await first


async def test_who_gives_up_just_as_the_slot_comes_leaves_it_to_the_next():
    work = Work(Fair("test", FULL, slots=1, per_key=1))
    first, second, third = (work.begin(key) for key in "abc")
    await settled()
    work.ends[first].set()
    while not first.done():
        await asyncio.sleep(0)
    second.cancel()  # it has been given the slot, and has not run since
    await settled()
    assert work.inside[-1] == "c"
    await work.end_all()
    await asyncio.gather(first, second, third, return_exceptions=True)


@given(
    slots=st.integers(1, 4),
    per_key=st.integers(1, 3),
    waiting=st.integers(1, 6),
    steps=st.lists(st.tuples(st.sampled_from(["begin", "begin", "end", "cancel"]), st.integers(0, 30)), max_size=80),
)
@settings(max_examples=150, deadline=None)
def test_whatever_happens_caps_hold_and_no_slot_is_lost(slots, per_key, waiting, steps):
    async def run():
        pool = Fair("test", FULL, slots=slots, per_key=per_key, waiting=waiting, waiting_per_key=waiting)
        work, tasks = Work(pool), []
        for step, number in steps:
            if step == "begin":
                tasks.append(work.begin("abcd"[number % 4]))
            elif step == "end" and work.ends:
                list(work.ends.values())[number % len(work.ends)].set()
            elif step == "cancel" and tasks:
                tasks[number % len(tasks)].cancel()
            for _ in range(number % 3):
                await asyncio.sleep(0)
            assert sum(work.busy.values()) <= slots
            assert max(work.busy.values(), default=0) <= per_key
            assert sum(map(len, pool._queues.values())) <= waiting
        await settled()
        # as many as there is room for are at work: nothing waits in vain
        waits = {key for key, queue in pool._queues.items() if queue}
        assert not waits or sum(work.busy.values()) == slots or all(work.busy[key] == per_key for key in waits)
        await work.end_all()
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            assert done is None or isinstance(done, Full | asyncio.CancelledError)
        assert not pool._busy
        assert not pool._queues

    asyncio.run(run())


async def test_a_thread_holds_its_slot_until_it_returns_although_nobody_waits_for_it():
    pool, begun, end = Fair("test", FULL, slots=1, per_key=1), threading.Event(), threading.Event()

    def work():
        begun.set()
        end.wait(30)

    first = asyncio.create_task(pool.run(work))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    second = asyncio.create_task(pool.run(lambda: "second"))
    await settled()
    assert not second.done()
    end.set()
    assert await second == "second"


async def test_what_a_function_raises_comes_out_and_its_slot_is_free_again():
    pool = Fair("test", FULL, slots=1, per_key=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await pool.run(divmod, 1, 0)
    assert await pool.run(divmod, 7, 2) == (3, 1)


async def test_the_work_of_tasks_belongs_to_who_began_them():
    async def ask():
        await asyncio.sleep(0)
        return whose()

    with working_for("address 192.0.2.1"):
        visitor = asyncio.create_task(ask())
        set_whose(user(7))
        member = asyncio.create_task(ask())
    assert (await visitor, await member, whose()) == ("address 192.0.2.1", "user 7", NOBODY)
    assert user(None) == NOBODY


async def test_what_waits_and_what_is_refused_is_counted(monkeypatch):
    seen = Counter()
    monkeypatch.setattr(fair, "observe", lambda pool, what, more: seen.update({(pool, what): more}))
    work = Work(Fair("counted", FULL, slots=1, per_key=1, waiting_per_key=2, patience=0.5))
    first, second, third, fourth = (work.begin("a") for _ in range(4))
    await settled()
    assert seen == {("counted", "waiting"): 2, ("counted", "refused"): 1}
    third.cancel()
    for task in (second, third, fourth):
        with contextlib.suppress(Full, asyncio.CancelledError):
            await task
    assert seen == {("counted", "waiting"): 0, ("counted", "refused"): 2}
    await work.end_all()
    await first


async def test_only_so_much_is_admitted_as_has_a_slot_or_may_wait_for_one():
    pool = Fair("test", FULL, slots=1, per_key=1, waiting=3, waiting_per_key=3)

    async def come(key):
        with working_for(key), pool.admitted():
            await leave.wait()

    leave = asyncio.Event()
    tasks = [asyncio.create_task(come(key)) for key in ["a", "a", "a", "b", "c", "a", "d"]]
    await settled()
    refused = [task.done() and isinstance(task.exception(), Full) for task in tasks]
    assert refused == [False, False, False, False, False, True, False]  # "a" has more than those that come after it
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    with working_for("a"), pool.admitted():
        pass


async def test_a_flood_of_keys_is_admitted_no_further_than_the_queue():
    pool = Fair("test", FULL, slots=1, per_key=1, waiting=3)
    with contextlib.ExitStack() as inside:
        for number in range(4):
            with working_for(f"address {number}"):
                inside.enter_context(pool.admitted())
        for number in range(4, 80):
            with working_for(f"address {number}"), pytest.raises(Full), pool.admitted():
                raise AssertionError


@pytest.mark.skipif(sys.platform != "linux", reason="not run: only Linux has a priority for each thread")
@pytest.mark.parametrize("started", [0, 7, 16])
def test_threads_are_nicer_than_the_process_however_nice_that_is(started):
    """Started by `nice`, as a user who may not take it back."""
    script = f"""
import asyncio, os, threading
from area.kit.fair import Fair
os.setpriority(os.PRIO_PROCESS, 0, {started})
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
pool = Fair("test", "Full.", slots=1, per_key=1, nice=10)
print(asyncio.run(pool.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))))
print(os.getpriority(os.PRIO_PROCESS, 0))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    thread, process = map(int, done.stdout.split())
    assert thread == min(process + 10, 19)
    assert process >= started
