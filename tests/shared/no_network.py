"""A Python that the kernel kills as soon as it, or any library in it, opens an internet socket (Linux only).

    python -m shared.no_network -m crackscope scan photos/

It sets a filter of system calls (seccomp) and becomes the Python that the arguments name. Sockets of the machine itself
(Unix sockets) stay allowed. Unlike a hook in Python, the filter also sees what compiled libraries do.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

KILLED = -31
"""Return code of a process that the filter has killed (SIGSYS), as `subprocess` gives it."""

_SOCKET = {"x86_64": 41, "aarch64": 198}
"""Number of the system call ``socket``."""

_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_AF_INET, _AF_INET6 = 2, 10
_NO_NEW_PRIVILEGES, _SET_FILTER, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def forbid_internet() -> None:
    """Let the kernel kill this process at its first internet socket.

    Raises:
        OSError: If the kernel does not take the filter.
    """
    steps = [
        (_LOAD, 0, 0, 0),  # number of the system call
        (_JUMP_IF_EQUAL, 0, 4, _SOCKET[platform.machine()]),
        (_LOAD, 0, 0, 16),  # its first argument, the address family
        (_JUMP_IF_EQUAL, 1, 0, _AF_INET),
        (_JUMP_IF_EQUAL, 0, 1, _AF_INET6),
        (_RETURN, 0, 0, _KILL),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = _Program(len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SET_FILTER, _FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "the kernel does not take the filter")


if __name__ == "__main__":
    forbid_internet()
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
