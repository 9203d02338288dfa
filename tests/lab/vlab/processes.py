# SPDX-License-Identifier: Apache-2.0
"""Processes that outlive the command that started them, ended by nobody else's mistake."""

import dataclasses
import os
import select
import signal
import subprocess

from .errors import LabError

# A machine that a build loads takes its time to take a large process down.
KILL_S = 60


@dataclasses.dataclass(frozen=True)
class Process:
    """A process by pid and start time, so that a pid the system used again is not taken for it."""
    pid: int
    started: int  # clock ticks after boot, /proc/PID/stat field 22

    @staticmethod
    def start(command, log, directory, bound=False):
        """Starts `command` in a session of its own; its output goes to the file `log`.

        A `bound` one ends with this process, even if that is killed.
        """
        with open(log, "ab") as out:
            child = subprocess.Popen(bound_to_us(command) if bound else command, cwd=directory,
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                     start_new_session=True)
        return Process.of(child.pid)

    @staticmethod
    def of(pid):
        """The process that has this pid now."""
        return Process(pid, _start_time(pid))

    def is_alive(self):
        """Whether it still runs; a zombie does not."""
        return self.started != 0 and _start_time(self.pid) == self.started

    def stop(self, grace_s=10):
        """Ends it: asks, waits up to `grace_s`, then insists. When this returns, it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if not self.is_alive():
                return
            for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, KILL_S)):
                signal.pidfd_send_signal(handle, number)
                if select.select([handle], [], [], wait_s)[0]:
                    return
            raise LabError(f"process {self.pid} did not end within {KILL_S} s of SIGKILL")
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


def bound_to_us(command):
    """`command`, to be ended by the kernel when the process that starts it ends."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *command]


def clean_up_on_sigterm():
    """Has SIGTERM do what Ctrl-C does: run what stands in finally, then end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _start_time(pid):
    """Start time of `pid`, 0 where there is none or only a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            # The name, in parentheses, may hold anything; the rest is fields 3 and up.
            fields = stat.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])
