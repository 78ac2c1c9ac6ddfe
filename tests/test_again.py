"""The second try of tests that failed, on a tiny project of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# the plugins that the real suite has take seconds to load
QUICK = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p xdist -p no:cacheprovider"}
GOOD = "def test_good():\n    pass\n"
BAD = "def test_bad():\n    assert False, 'always'\n"
FLAKE = """
import pathlib, pytest

@pytest.mark.parametrize("name", ["a/b", "c::d", "é x"])
def test_flake(name, tmp_path_factory):
    mark = pathlib.Path(__file__).with_name(f"mark-{ascii(name).replace('/', '-')}")
    if not mark.exists():
        mark.touch()
        raise AssertionError("the first time")
"""
FLAKY_FIXTURE = """
import pathlib, pytest

@pytest.fixture
def rough():
    mark = pathlib.Path(__file__).with_name("mark-fixture")
    yield
    if not mark.exists():
        mark.touch()
        raise RuntimeError("at its end")

def test_rough(rough):
    pass
"""
SKIPPED = "import pytest\n\ndef test_skipped():\n    pytest.skip('not here')\n"
CRASH = """
import os, pathlib

def test_crash():
    mark = pathlib.Path(__file__).with_name("mark-crash")
    if not mark.exists():
        mark.touch()
        os._exit(3)
"""


@pytest.fixture
def tests(tmp_path):
    def run(*arguments, **files):
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        for name, text in files.items():
            (tmp_path / f"test_{name}.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "tests.again", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **QUICK},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return run


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_passes_the_second_time_is_flaky(tests, workers):
    code, out = tests("-n", workers, good=GOOD, flake=FLAKE, fixture=FLAKY_FIXTURE, skipped=SKIPPED)
    assert code == 0, out
    lines = out.splitlines()
    assert sorted(line for line in lines if line.startswith("FLAKY: ")) == [
        "FLAKY: test_fixture.py::test_rough",
        r"FLAKY: test_flake.py::test_flake[\xe9 x]",
        "FLAKY: test_flake.py::test_flake[a/b]",
        "FLAKY: test_flake.py::test_flake[c::d]",
    ]
    assert lines[-1].startswith("5 passed, 0 failed, 1 skipped, 4 flaky in ")


def test_what_fails_twice_fails_the_run(tests):
    code, out = tests("-n", "2", good=GOOD, flake=FLAKE, bad=BAD)
    assert code == 1, out
    assert "FAILED: test_bad.py::test_bad" in out.splitlines()
    assert out.count("test_good") == 0, "only what failed is run again"
    assert out.splitlines()[-1].startswith("4 passed, 1 failed, 0 skipped, 3 flaky in ")


def test_when_all_pass_nothing_is_run_again_and_the_last_line_is_pytest_s(tests):
    code, out = tests("-n", "2", good=GOOD)
    assert code == 0
    assert out.count("test session starts") == 1
    assert "1 passed in" in out.splitlines()[-1]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_error_at_collection_fails_the_run(tests, workers):
    code, out = tests("-n", workers, good=GOOD, broken="import nothing_of_this_name\n")
    assert code == 1
    assert "BROKEN: test_broken.py could not be collected" in out.splitlines()


def test_a_worker_that_crashes_fails_the_run(tests):
    code, out = tests("-n", "2", good=GOOD, crash=CRASH)
    assert code == 1
    assert "BROKEN: worker gw" in out
    assert "FLAKY: test_crash.py::test_crash" in out.splitlines()
    assert "2 passed, 1 failed" in out.splitlines()[-1]


def test_pytest_itself_dying_fails_the_run(tests):
    code, out = tests("-n", "0", good=GOOD, crash=CRASH)
    assert code == 1
    assert "BROKEN: pytest ended with 3 and without a result" in out.splitlines()


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["no_such_file.py"], ["-k", "nothing"]])
def test_a_run_that_did_not_take_place_fails(tests, arguments):
    code, out = tests(*arguments, good=GOOD)
    assert code == 1, out
    assert "BROKEN: pytest ended with" in out


def test_many_failures_are_no_flakes(tests):
    many = "import pytest\n\n@pytest.mark.parametrize('n', range(51))\ndef test_many(n):\n    assert False\n"
    code, out = tests("-n", "0", many=many)
    assert code == 1
    assert out.count("test session starts") == 1
    assert out.splitlines()[-1].startswith("0 passed, 51 failed")
