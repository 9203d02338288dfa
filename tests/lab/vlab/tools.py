# SPDX-License-Identifier: Apache-2.0
"""Running other programs."""

import subprocess

from .errors import LabError


def run(*command, **options):
    """Runs `command` and returns its standard output as text; LabError with its complaint if it
    fails. `options` are those of subprocess.run()."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          **{"text": True, "errors": "replace", "check": False} | options)
    if done.returncode != 0:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-30:])
        raise LabError(f"{' '.join(map(str, command[:6]))} failed with status "
                       f"{done.returncode}:\n{said}")
    return done.stdout
