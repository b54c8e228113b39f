"""Memory of the process: a setting for programs that train, which cannot be taken back."""

from __future__ import annotations

import contextlib
import ctypes
import sys

__all__ = ["keep_memory"]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # options of glibc's mallopt, see malloc.h


def keep_memory() -> None:
    """Tell glibc to keep freed memory until the process ends, on Linux; elsewhere nothing happens.

    Each step of a training frees large blocks and asks for the same again. Fresh pages from the system every time cost
    up to half of the time of fine-tuning. The setting holds for the whole process and cannot be undone. Programs make
    it, such as `crackscope train` and `crackscope transfer`; no function of the package does.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for option, value in ((_TRIM_THRESHOLD, 2**31 - 1), (_MMAP_MAX, 0), (_TOP_PAD, 2**28)):
            mallopt(option, value)
