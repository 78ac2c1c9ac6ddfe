import asyncio
import json
import signal

import pytest
from structlog.testing import capture_logs
from tests.cli.conftest import DOORBELL

from area.engine.runtime import worker
from area.engine.state import State
from area.settings import settings


@pytest.fixture
def doorbell(area, tmp_path):
    area.user("ann")
    (tmp_path / "areas.json").write_text(json.dumps([DOORBELL]))
    area.ok("apply", "-f", "areas.json")
    return area


async def with_worker(dsn, *commands):
    """Run commands beside a worker; their results."""
    state = await State.open(settings(), dsn)
    try:
        with capture_logs():  # they would be taken for what the command prints
            async with worker(state):
                return [await asyncio.to_thread(command) for command in commands]
    finally:
        await state.close()


async def test_an_area_is_run_and_replayed_and_the_outcome_told(doorbell, dsn):
    ran, replayed, present = await with_worker(
        dsn,
        lambda: doorbell.json("run", "Doorbell", "--data", '{"body": {"who": "Zoe"}}'),
        lambda: doorbell.json("replay", "1"),
        lambda: doorbell.ok("replay", "1", "--present"),
    )
    assert (ran["id"], ran["status"], ran["trigger_data"]) == (1, "success", {"body": {"who": "Zoe"}})
    assert (replayed["status"], replayed["replay_of"]) == ("success", 1)
    assert present.startswith("✓ execution 3 of Doorbell: success\n")


def test_without_a_worker_it_says_so(doorbell):
    result = doorbell("run", "1", "--wait", "0.3")
    assert result.exit_code == 1
    assert "is a worker running" in result.stderr
    assert "pending" in doorbell.ok("run", "1", "--wait", "0")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "99"), "No AREA 99"),
        (("run", "Nothing"), "No AREA Nothing"),
        (("run", "1", "--data", "[1]"), "JSON object"),
        (("run", "1", "--data", "{"), "isn't valid JSON"),
        (("replay", "99"), "No execution 99"),
        (("replay", "99999999999999999999"), "No execution"),
        (("tail", "--user", "zoe"), "No account named 'zoe'"),
    ],
)
def test_what_is_not_there_is_told(doorbell, arguments, sentence):
    assert sentence in doorbell.refuses(*arguments)


def test_what_is_not_over_is_not_replayed(doorbell):
    doorbell.ok("run", "1", "--wait", "0")
    assert "hasn't finished" in doorbell.refuses("replay", "1")


async def test_the_log_is_followed_until_ctrl_c(doorbell, dsn, start):
    doorbell_run = lambda: doorbell.ok("run", "1")  # noqa: E731
    await with_worker(dsn, doorbell_run)
    tail = start("tail", "-n", "1", "--json", "--user", "ann", "--area", "1")
    first = json.loads(await asyncio.to_thread(tail.stdout.readline))
    assert (first["id"], first["status"]) == (1, "success")
    await with_worker(dsn, doorbell_run)
    second = json.loads(await asyncio.to_thread(tail.stdout.readline))
    assert (second["id"], second["status"]) == (2, "success")
    tail.send_signal(signal.SIGINT)
    assert (await asyncio.to_thread(tail.wait, 60), tail.stdout.read()) == (0, "")
