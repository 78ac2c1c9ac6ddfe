"""`area up` itself is killed: all that it started ends with it, and the next one starts at once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import psutil
import pytest

from area.db import embedded, keeper
from tests.faults.installation import Installation, Patient

PATIENCE = 120  # seconds, on a machine that is full of other work


@pytest.fixture
def area(memory):
    it = Installation(memory)
    yield it
    for process in it.everybody():
        process.kill()
    it.remove()


async def until(check, what):
    end = time.monotonic() + PATIENCE
    while not (result := check()):
        assert time.monotonic() < end, what
        await asyncio.sleep(0.002)
    return result


async def nobody_is_left(area):
    await until(lambda: not area.everybody(), f"still there: {area.everybody()}\n{area.tail()}")


def call(area, path, body, token=""):
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"} if token else {}
    url = path if path.startswith("http") else f"{area.url}{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers | {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def register(area):
    body = {"email": "ann@example.org", "username": "ann", "password": "correct horse battery"}
    return call(area, "/api/auth/register", body)["token"]


def make(area, token):
    """The address of a hook whose AREA writes to the inbox."""
    body = {
        "name": "hook",
        "action": {"component": "webhook.received", "parameters": {}},
        "reaction": {"component": "inbox.post", "parameters": {"title": "{{body.n}}"}},
    }
    return call(area, "/api/areas", body, token)["webhook_url"]


def told(area):
    """The names and command lines of all that runs."""
    results = []
    for process in area.everybody():
        with suppress(psutil.Error):  # it ended
            results.append(f"{process.name()}: {' '.join(process.cmdline())}")
    return results


MOMENTS = {
    "while the cluster is made": lambda it: next(it.data.glob(".postgres-*"), None),
    "while the database starts": lambda it: (it.data / "postgres" / "postmaster.pid").exists(),
    "while the schema is made": lambda it: any(line.endswith("db upgrade") for line in told(it)),
    "while its parts start": lambda it: any(line.startswith("area web: ") for line in told(it)),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
async def test_killed_while_it_starts(area, moment):
    area.start()
    await until(lambda: MOMENTS[moment](area), area.tail())
    area.kill_supervisor()
    area.start()  # at once, whatever still goes on
    await area.ready(PATIENCE)
    hook = make(area, register(area))
    call(area, hook, {"n": 1})
    database = Patient(area)
    await until_success(database, 1)
    database.close()
    area.kill_supervisor()
    await nobody_is_left(area)


async def until_success(database, count):
    end = time.monotonic() + PATIENCE
    while (rows := await database.fetch("select status::text from area_executions")) != [("success",)] * count:
        assert time.monotonic() < end, rows
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_killed_while_it_runs_and_while_it_stops(area):
    area.start()
    await area.ready(PATIENCE)
    hook = make(area, register(area))
    # a role that is too busy to notice anything
    area.worker.send_signal(signal.SIGSTOP)
    for n in range(3):
        call(area, hook, {"n": n})
    area.kill_supervisor()
    await nobody_is_left(area)
    assert not (area.data / "postgres" / "postmaster.pid").exists(), "the database was stopped, not killed"

    area.start()
    await area.ready(PATIENCE)
    database = Patient(area)
    await until_success(database, 3)
    database.close()
    area._process.terminate()
    await until(lambda: "web.stopping" in area.log.read_text(), "it does not stop")
    area.kill_supervisor()
    area.start()
    await area.ready(PATIENCE)
    area.stop()
    await nobody_is_left(area)


def test_a_keeper_stops_the_server_of_users_that_were_killed_and_of_no_others(tmp_path):
    data = tmp_path / "data"
    program = "import sys, pathlib, time; from area.db import embedded; s = embedded.start(pathlib.Path(sys.argv[1]));"
    program += "print('ready', flush=True); time.sleep(600)"

    def user():
        process = subprocess.Popen([sys.executable, "-c", program, data], stdout=subprocess.PIPE, text=True)
        assert "ready\n" in iter(process.stdout.readline, ""), "its log is there, too"
        return process

    first, second = user(), user()
    pid = int((data / "postgres" / "postmaster.pid").read_text().split()[0])
    first.kill()
    first.communicate()
    with embedded.start(data) as third:  # comes and goes
        assert third.adopted
    time.sleep(4 * keeper.LOOK_EVERY)  # it has looked by now, and looks again
    assert psutil.pid_exists(pid)
    second.kill()
    second.communicate()
    end = time.monotonic() + PATIENCE
    while psutil.pid_exists(pid) or (data / "postgres" / "postmaster.pid").exists() or there(data):
        assert time.monotonic() < end, there(data)
        time.sleep(0.01)


def there(data):
    """The processes, the keeper too, that are about a data dir."""
    return [process for process in psutil.process_iter(["cmdline"]) if str(data) in (process.info["cmdline"] or [])]


def test_a_child_ends_with_its_parent_without_the_kernel_s_help(tmp_path):
    """As on macOS, where a thread waits."""
    (tmp_path / "family.py").write_text(
        "import multiprocessing, os, time\n"
        "from area.kit import lifeline\n"
        "def child():\n    lifeline.wait_in_thread()\n    print(os.getpid(), flush=True)\n    time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.get_context('spawn').Process(target=child).start()\n    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, tmp_path / "family.py"], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()  # ends when nobody writes any more
    end = time.monotonic() + PATIENCE
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.01)
