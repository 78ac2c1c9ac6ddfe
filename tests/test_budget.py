"""The slowest files at the end of a run."""

from types import SimpleNamespace

from tests.budget import LEAST, Budget


class Written(list):
    def section(self, title):
        self.append(title)

    write_line = section


def spent(*durations):
    budget, written = Budget(), Written()
    for file, seconds in durations:
        budget.pytest_runtest_logreport(SimpleNamespace(nodeid=f"{file}::test_it[a::b]", duration=seconds))
    budget.pytest_terminal_summary(written)
    return written


def test_the_slowest_files_come_first():
    files = [(f"tests/test_{number}.py", number) for number in range(1, 13)]
    title, *lines = spent(*files, ("tests/test_1.py", 50))
    assert title == "slowest files of 128 s in 12 files"
    assert lines[0] == "  51.0 s  39.8%  tests/test_1.py"
    assert lines[1] == "  12.0 s   9.4%  tests/test_12.py"
    assert len(lines) == 10


def test_short_runs_say_nothing():
    assert spent(("tests/test_a.py", LEAST - 1)) == []
