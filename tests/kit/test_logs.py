import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import structlog
from area.kit import logs
logs.configure("json", "info")
for level in ("info", "warning", "error"):
    getattr(structlog.get_logger(), level)("told")
try:
    raise ValueError
except ValueError:
    structlog.get_logger().exception("broke")
print("alive")
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_log_that_can_not_be_written_ends_nothing():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=full, text=True, check=False
        )
    assert done.stdout == "alive\n"


def test_a_log_that_can():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert [line.count('"event": ') for line in done.stderr.splitlines()] == [1, 1, 1, 1]
