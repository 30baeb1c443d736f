"""Child processes that do not outlive the process that started them, even when that one is killed with -9."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec nothing may be imported.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def end_with_parent(number: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn` for `subprocess.Popen`: the kernel sends `number` to the child when its parent's thread ends.

    Linux only; elsewhere it does nothing.
    """
    parent = os.getpid()

    def ask_kernel() -> None:
        if _libc is None:
            return
        _libc.prctl(_PR_SET_PDEATHSIG, int(number))
        # The parent may have died before the request was made.
        if os.getppid() != parent:
            os.kill(os.getpid(), number)

    return ask_kernel
