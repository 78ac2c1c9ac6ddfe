import json
import subprocess
import sys
from pathlib import Path

import pytest

from area.kit.logs import MASK, hide_secrets

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


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"token": "x"}, {"token": MASK}),
        ({"Set-Cookie": ["a=1", "b=2"]}, {"Set-Cookie": MASK}),
        ({"headers": {"Authorization": "x", "Accept": "y"}}, {"headers": {"Authorization": MASK, "Accept": "y"}}),
        (
            {"headers": [{"authorization": "x"}, {"accept": "y"}]},
            {"headers": [{"authorization": MASK}, {"accept": "y"}]},
        ),
        ({"sent": ({"body": [[{"api_key": "x"}]]},)}, {"sent": [{"body": [[{"api_key": MASK}]]}]}),
        ({"headers": [(b"authorization", b"x"), ("a", "b")]}, {"headers": [[b"authorization", MASK], ["a", "b"]]}),
        ({"tokens": 3, "password": None, "secret": ""}, {"tokens": 3, "password": None, "secret": ""}),
    ],
    ids=["itself", "a list of secrets", "a map", "a list of maps", "lists within lists", "pairs", "no secrets"],
)
def test_secrets_are_masked_at_any_depth(values, shown):
    assert hide_secrets(None, "info", values) == shown


def test_a_small_process_stays_small(tmp_path):
    program = (
        "import sys; from area.kit import late_logs; late_logs.configure('json', 'info'); log = late_logs.get_logger();"
        " log.debug('not wanted'); log.warning('role.died', password='hunter2', code=3); print('structlog' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (line["event"], line["level"], line["password"], line["code"]) == ("role.died", "warning", "***", 3)
    assert done.stdout == "False\n"
