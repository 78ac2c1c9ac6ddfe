"""Run the tests; run those that fail once more, by themselves: `python -m tests.again [pytest's arguments]`.

A test that passes then is printed as FLAKY and does not fail the run. One that fails twice does, and so does what a
second try would hide: an error at collection, a worker that crashed, a run that was cut short. The last line counts
both runs together.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

MOST = 50  # failed tests that are run again: more are no flakes, and would take their time twice


@dataclass
class Record:
    """What happened in a run of pytest; of tests as node ids with the path of their root."""

    root: str = ""
    code: int = pytest.ExitCode.INTERNAL_ERROR
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # sentences on what no second try can mend


class Recorder:
    """The plugin that makes a record; with xdist it hears the reports of all workers."""

    def __init__(self) -> None:
        self.record = Record()

    def pytest_configure(self, config: pytest.Config) -> None:
        self.record.root = str(config.rootpath)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        record = self.record
        if report.failed:
            if report.nodeid not in record.failed:
                record.failed.append(report.nodeid)
        elif report.skipped:
            record.skipped.append(report.nodeid)
        elif report.when == "call":
            record.passed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.record.broken.append(f"{report.nodeid} could not be collected")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error:
            self.record.broken.append(f"worker {node.gateway.id} crashed")

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.record.code = int(exitstatus)


def run(arguments: list[str]) -> Record:
    """Run pytest in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "record"
        command = [sys.executable, "-m", "tests.again", "--record", str(file), *arguments]
        code = subprocess.run(command, check=False).returncode
        try:
            record = Record(**json.loads(file.read_text()))
        except FileNotFoundError:
            return Record(code=code, broken=[f"pytest ended with {code} and without a result"])
    if record.code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        record.broken.append(f"pytest ended with {record.code}")
    return record


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    if arguments[:1] == ["--record"]:
        recorder = Recorder()
        code = pytest.main(arguments[2:], plugins=[recorder])
        Path(arguments[1]).write_text(json.dumps(asdict(recorder.record)))
        return int(code)
    begun = time.monotonic()
    first = run(arguments)
    if first.code == pytest.ExitCode.OK and not first.broken:
        return 0  # its own last line says it all
    flaky: list[str] = []
    if 0 < len(first.failed) <= MOST:
        print(f"\nOnce more, by themselves: {len(first.failed)} that failed", flush=True)
        again = run(["-n", "0", *(f"{first.root}/{test_id}" for test_id in first.failed)])
        flaky = [test_id for test_id in first.failed if test_id in again.passed and test_id not in again.failed]
    failed = [test_id for test_id in first.failed if test_id not in flaky]
    print()
    for sentence in first.broken:
        print(f"BROKEN: {sentence}")
    for test_id in failed:
        print(f"FAILED: {test_id}")
    for name in flaky:
        print(f"FLAKY: {name}")
    passed = len(set(first.passed) - set(failed) | set(flaky))
    counts = f"{passed} passed, {len(failed) + len(first.broken)} failed, {len(set(first.skipped))} skipped"
    print(f"{counts}, {len(flaky)} flaky in {time.monotonic() - begun:.0f} s", flush=True)
    return 1 if failed or first.broken or not flaky else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
