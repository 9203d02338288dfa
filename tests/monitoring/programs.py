# SPDX-License-Identifier: Apache-2.0
"""The programs of the test that are not ours: Prometheus and promtool, unpacked from Debian's package and kept.

Not installed: the package would start a Prometheus of its own on the machine.
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from vlab import apt, cache  # noqa: E402


def prometheus():
    """A folder with `prometheus` and `promtool`."""
    architecture = apt.machine_architecture()
    debs = apt.packages("prometheus", ["prometheus"], closure=False, architecture=architecture)
    return cache.entry("prometheus", [debs.name], lambda place: apt.unpack(debs, place)) / "usr" / "bin"
