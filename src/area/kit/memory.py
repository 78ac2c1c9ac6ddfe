"""Keeps the memory of long-running processes small."""

import ctypes
import gc

ARENAS = -8  # M_ARENA_MAX of mallopt(3)
COLLECT = (10_000, 50, 50)  # allocations between garbage collections of each generation


def settle() -> None:
    """Tune the memory of a process that has loaded everything: what exists now is permanent, the rest is collected less
    often.

    glibc's malloc keeps a heap per thread, up to eight per core, and each keeps what it once needed. Two are enough
    here, where few threads allocate: https://man7.org/linux/man-pages/man3/mallopt.3.html. Other C libraries are left
    as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(ARENAS, 2)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)
