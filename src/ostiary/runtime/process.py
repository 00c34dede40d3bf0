"""What a gateway asks of the operating system for itself, before it serves."""

import contextlib
import ctypes
import gc
import resource
import sys

_PR_SET_DUMPABLE = 4


def harden() -> None:
    """No core dump, no memory read by another process of the same user (Linux): both would hold secrets."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def raise_file_limit() -> int:
    """As many open files as the system lets this process have: a session takes two, and its recording one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def settle() -> None:
    """What is loaded by now stays: the cycle collector need not look at it again, nor after every few hundred objects.

    Commands leave no cycles behind; sessions leave a few.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)
