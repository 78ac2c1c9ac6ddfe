"""A child process that exits when its parent does, however that ended."""

import ctypes
import os
import signal
import sys
import threading
from multiprocessing import connection, parent_process

# https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html
_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Kill this process when the process `parent` dies. The child calls it first of all.

    On Linux the kernel does it, whatever this process is doing. It watches the parent's thread that forked, so that
    thread must live on. Elsewhere a thread waits for it, which needs a child started by `multiprocessing`.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before
            os.kill(os.getpid(), signal.SIGKILL)
    else:
        wait_in_thread()


def wait_in_thread() -> None:
    """Like `end_with`, by a thread that waits for the end of the pipe that the parent holds."""
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
