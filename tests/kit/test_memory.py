"""What is loaded at the start is out of the garbage collector's sight."""

import subprocess
import sys

PROGRAM = """
import gc
from area.kit import memory
memory.settle()
assert gc.get_freeze_count() > 1000
assert gc.get_threshold() == memory.COLLECT
"""


def test_what_is_loaded_is_not_looked_at_again():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
