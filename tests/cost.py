"""What tests cost: `python -m tests.cost [pytest's arguments]` prints the CPU seconds of each module and of the dearest
tests.

A second counts whichever process used it: tests, servers, browsers, and what outlives its parent.
The whole of a shared server goes to the test that starts it. Run it in one process (without `-n`).
"""

import ctypes
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

PR_SET_CHILD_SUBREAPER = 36  # include/uapi/linux/prctl.h: orphans become children of this process
TICKS = os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> Iterator[int]:
    yield pid
    with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from descendants(int(child))


def used(pid: int) -> float:
    """CPU seconds of a process, and of those that it has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS


class Costs:
    """The plugin that counts."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.modules: dict[str, float] = defaultdict(float)
        self.tests: dict[str, float] = {}

    def total(self) -> float:
        return sum(used(pid) for pid in descendants(self.root))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        self.modules["(imports and collection)"] = self.last = self.total()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        now = self.total()
        self.tests[nodeid] = now - self.last
        self.modules[nodeid.partition("::")[0]] += now - self.last
        self.last = now

    def report(self) -> None:
        self.modules["(the end)"] = self.total() - self.last
        for title, costs in (("module", self.modules), ("test", self.tests)):
            print(f"\n{'CPU s':>8}  {title}")
            for name, seconds in sorted(costs.items(), key=lambda pair: -pair[1])[:40]:
                print(f"{seconds:8.2f}  {name}")


def main(arguments: list[str]) -> int:
    """Returns pytest's exit code."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    begun, root = time.monotonic(), os.getpid()
    tests = os.fork()
    if not tests:
        costs = Costs(root)
        result = pytest.main(arguments, plugins=[costs])
        costs.report()
        sys.stdout.flush()
        os._exit(int(result))
    code, end = 0, None
    while end is None or time.monotonic() < end:  # orphans that are going have a moment
        try:
            ended, status = os.waitpid(-1, os.WNOHANG if end else 0)
        except ChildProcessError:
            break
        if ended == tests:
            code, end = os.waitstatus_to_exitcode(status), time.monotonic() + 10
        elif not ended:
            time.sleep(0.1)
    print(f"\n{used(root):.1f} CPU s in {time.monotonic() - begun:.1f} s")
    return code


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
