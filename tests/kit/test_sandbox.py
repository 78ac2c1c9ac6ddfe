"""Decoders in processes of their own: what they may not do, and that nobody else is held up by them."""

import asyncio
import os
import resource
import signal
from pathlib import Path

import psutil
import pytest

from area.kit import sandbox
from area.kit.fair import Fair
from area.kit.sandbox import DecodeError, Decoder
from area.kit.sentences import Sentence

FULL = "Too much at once."

pool = Fair("test-sandbox", FULL, slots=2, per_key=2)
decoder = Decoder(
    Path(__file__).with_name("decoder.py"), pool, seconds=1, patience=150, memory=100_000_000, longest=1_000_000
)


async def reason(**options):
    with pytest.raises(DecodeError) as failed:
        await decoder.decode(b"abc", **options)
    return failed.value.reason


async def test_a_result_is_json_or_bytes():
    assert await decoder.decode(b"abc") == {"bytes": 3}
    assert await decoder.decode(b"", what="count") == {"bytes": 0}
    content = os.urandom(900_000)
    assert await decoder.decode(content, what="echo") == content


async def test_a_decoder_says_why_it_refuses():
    with pytest.raises(DecodeError, match=r"^It is no picture: “é”\.$") as failed:
        await decoder.decode(b"abc", what="refuse")
    assert failed.value.reason == "unreadable"
    with pytest.raises(DecodeError, match=r"^The calendar has more than 1,000 events in a day\.$") as failed:
        await decoder.decode(b"abc", what="limit")
    assert Sentence(str(failed.value)).translated("fr").startswith("Le calendrier a plus de 1")


async def test_one_that_computes_too_long_is_ended_and_the_loop_stays_free():
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.create_task(tick())
    before = resource.getrusage(resource.RUSAGE_SELF)
    assert await reason(what="spin") == "time"
    after = resource.getrusage(resource.RUSAGE_SELF)
    ticking.cancel()
    assert ticks > 50  # of the thousand or so that fit into the decoder's second
    assert after.ru_utime - before.ru_utime < 1


@pytest.mark.parametrize(
    ("what", "why"),
    [("hoard", "memory"), ("talk", "memory"), ("die", "memory"), ("break", "broken"), ("open", "broken")],
)
async def test_one_that_takes_or_says_too_much_is_ended(what, why):
    assert await reason(what=what) == why
    assert await decoder.decode(b"abc") == {"bytes": 3}


async def test_it_writes_no_files(tmp_path):
    assert await reason(what="write", path=str(tmp_path / "file")) == "broken"
    assert (tmp_path / "file").stat().st_size == 0


async def test_it_sees_no_secret(monkeypatch):
    monkeypatch.setenv("AREA_SECRET_KEY", "a secret")
    sandbox._kept = None if sandbox._kept is None else sandbox._kept.end()
    assert not [name for name in await decoder.decode(b"", what="environment") if name.startswith("AREA_")]


async def _begun(path, task):
    while not path.exists():
        assert not task.done()
        await asyncio.sleep(0.01)


def _children():
    return psutil.Process(sandbox._kept.process).children()


async def test_who_gives_up_ends_the_decoder(tmp_path):
    task = asyncio.create_task(decoder.decode(b"abc", what="sleep", path=str(tmp_path / "begun")))
    await _begun(tmp_path / "begun", task)
    assert len(_children()) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while _children():
        await asyncio.sleep(0.01)


async def test_one_that_gets_nowhere_is_ended_by_the_clock():
    slow = Decoder(decoder.path, pool, seconds=1, patience=1)
    with pytest.raises(DecodeError) as failed:
        await slow.decode(b"", what="sleep", path="/dev/null")
    assert failed.value.reason == "busy"


async def test_another_process_is_started_when_the_first_was_killed(tmp_path):
    task = asyncio.create_task(decoder.decode(b"abc", what="sleep", path=str(tmp_path / "begun")))
    await _begun(tmp_path / "begun", task)
    working, first = _children(), sandbox._kept.process
    os.kill(first, signal.SIGKILL)
    with pytest.raises(DecodeError) as failed:
        await task
    assert failed.value.reason == "busy"
    assert all(child.is_running() for child in working), "it was not waited for"
    for child in working:
        child.kill()
    assert await decoder.decode(b"abc") == {"bytes": 3}
    assert sandbox._kept.process != first


async def test_a_decoder_that_can_not_be_loaded_fails_alone(tmp_path, capfd):
    (tmp_path / "broken.py").write_text("import there_is_no_such_module")
    with pytest.raises(DecodeError) as failed:
        await Decoder(tmp_path / "broken.py", pool).decode(b"")
    assert failed.value.reason == "broken"
    assert await decoder.decode(b"abc") == {"bytes": 3}


async def test_many_at_once():
    contents = [os.urandom(1000 * number) for number in range(60)]
    wide = Decoder(decoder.path, Fair("test-wide", FULL, slots=20, per_key=20, waiting_per_key=100))
    assert await asyncio.gather(*(wide.decode(content, what="echo") for content in contents)) == contents
