# SPDX-License-Identifier: Apache-2.0
"""Waiting on a condition: every wait has a name, a deadline and, when it fails, evidence."""

import os
import time

from .errors import LabError

# Callers give the time an idle two-core machine needs. Emulation on a busy machine has been seen
# five times as slow; the rest is margin. A machine slower still can raise it.
PATIENCE = float(os.environ.get("VFIO_DOORBELL_PATIENCE", "8"))


def wait_for(what, condition, idle_s, evidence=None, give_up=None, every_s=0.1):
    """Polls `condition` until it returns something true, and returns that.

    what:     names the awaited state in the error: "kubelet of node demo is healthy".
    idle_s:   seconds this takes on an idle machine; the deadline is PATIENCE times as far away.
    evidence: called on failure; the text it returns (the tail of a log) ends the error.
    give_up:  called between polls; a sentence from it says why waiting has become pointless.
    every_s:  pause between polls; longer where a poll costs the emulated processor something.
    Raises LabError at the deadline or when `give_up` speaks.
    """
    deadline = time.monotonic() + idle_s * PATIENCE
    while True:
        result = condition()
        if result:
            return result
        reason = give_up() if give_up else None
        if not reason and time.monotonic() > deadline:
            reason = f"still not so after {idle_s * PATIENCE:.0f} s"
        if reason:
            shown = f"\n{evidence()}" if evidence else ""
            raise LabError(f"waited until {what}: {reason}{shown}")
        time.sleep(every_s)
