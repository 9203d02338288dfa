# SPDX-License-Identifier: Apache-2.0
"""Running other programs."""

import dataclasses
import subprocess

from .errors import LabError


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a program did."""
    status: int
    out: str
    err: str


def ask(*command, **options):
    """Runs `command`; returns an Answer whatever its status. `options` are those of subprocess.run()."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          **{"text": True, "errors": "replace", "check": False} | options)
    return Answer(done.returncode, done.stdout, done.stderr)


def run(*command, **options):
    """The same; returns what it printed, raises LabError with its complaint if it fails."""
    answer = ask(*command, **options)
    if answer.status != 0:
        said = "\n".join((answer.err.strip() or answer.out.strip()).splitlines()[-30:])
        raise LabError(f"{' '.join(map(str, command[:6]))} failed with status {answer.status}:\n{said}")
    return answer.out
