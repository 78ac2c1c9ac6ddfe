"""What a run's time went into, by file: printed at the end of runs that take more than a minute."""

from collections import Counter

import pytest

MOST = 10  # files
LEAST = 60.0  # seconds of all tests; shorter runs print nothing


class Budget:
    """The plugin. With xdist it hears the reports of all workers, so seconds of tests are more than those of the run."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        total = self.seconds.total()
        if total < LEAST:
            return
        terminalreporter.section(f"slowest files of {total:.0f} s in {len(self.seconds)} files")
        for file, seconds in self.seconds.most_common(MOST):
            terminalreporter.write_line(f"{seconds:6.1f} s  {seconds / total:5.1%}  {file}")
