# SPDX-License-Identifier: Apache-2.0
"""Namespaces for a test: nothing that it starts reaches anything, or is reached."""

import ctypes
import os

from . import tools
from .errors import LabError

_CLONE_NEWNS = 0x00020000  # sched.h
_CLONE_NEWNET = 0x40000000


def enter_own_network(mounts=False):
    """Moves this process, and what it starts from now on, to a network namespace that has nothing but a loopback interface.

    mounts: to a mount namespace of its own as well.
    """
    # Python has os.unshare() from 3.12 on.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET | (_CLONE_NEWNS if mounts else 0)) != 0:
        raise LabError(f"unshare: {os.strerror(ctypes.get_errno())}; the test needs root")
    if mounts:
        tools.run("mount", "--make-rprivate", "/")
    tools.run("ip", "link", "set", "lo", "up")
