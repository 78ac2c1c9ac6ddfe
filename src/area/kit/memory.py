"""What a process that runs for months does with memory that it no longer needs."""

import ctypes
import gc

ARENAS = -8  # M_ARENA_MAX of mallopt(3)
COLLECT = (10_000, 50, 50)  # allocations between garbage collections of each generation


def settle() -> None:
    """Tune the memory of a process in which everything is loaded: what is here now stays, the rest is looked at less often.

    glibc's malloc keeps a heap for each thread, up to eight a core, and each of them keeps what it once needed. Two serve as well
    here, where the threads that allocate are few: https://man7.org/linux/man-pages/man3/mallopt.3.html. Other C libraries are
    left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(ARENAS, 2)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)
