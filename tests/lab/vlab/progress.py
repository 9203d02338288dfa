# SPDX-License-Identifier: Apache-2.0
"""Progress on standard error, one line per finished step with the seconds it took."""

import contextlib
import sys
import time


def say(text):
    """One line for the person watching."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(text):
    """Reports `text` when the block begins and again, with its time, when it has ended well."""
    began = time.monotonic()
    say(f"  ..     {text}")
    yield
    say(f"  {time.monotonic() - began:5.1f} s {text}")
