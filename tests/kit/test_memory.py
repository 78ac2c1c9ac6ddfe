"""A process that has settled keeps two heaps, however many of its threads allocate."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import ctypes, gc, sys, threading
from area.kit import memory
memory.settle()
assert gc.get_freeze_count() > 1000
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.free.argtypes = libc.fclose.argtypes = [ctypes.c_void_p]
together = threading.Barrier(12)
def allocate():
    pieces = [libc.malloc(5000) for _ in range(100)]
    together.wait()
    for piece in pieces:
        libc.free(piece)
threads = [threading.Thread(target=allocate) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc is what keeps many heaps")
def test_few_heaps(tmp_path: Path):
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "heaps")], check=True, timeout=60)
    assert 1 <= (tmp_path / "heaps").read_text().count("<heap nr=") <= 2
