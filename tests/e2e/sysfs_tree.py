# SPDX-License-Identifier: Apache-2.0
"""Captured machines as folders: the text archives of tests/testdata/sysfs (the format is in tests/testdata/README.md)."""

import pathlib

SHAPES = pathlib.Path(__file__).resolve().parent.parent / "testdata" / "sysfs"


def unpack(shape, root):
    """Writes the sysfs of the machine called `shape` below the folder `root`."""
    lines = iter((SHAPES / f"{shape}.ttar").read_text(encoding="utf-8").splitlines())
    path = root
    for line in lines:
        key, _, value = line.partition(": ")
        if key == "Path":
            path = root / value
            path.parent.mkdir(parents=True, exist_ok=True)
        elif key == "Lines":
            path.write_text("".join(f"{next(lines)}\n" for _ in range(int(value))), encoding="utf-8")
        elif key == "SymlinkTo":
            path.symlink_to(value)
        elif key == "Directory":
            (root / value).mkdir(parents=True, exist_ok=True)
        elif not line.startswith("#"):
            raise ValueError(f"{shape}.ttar: {line!r} is no entry")
