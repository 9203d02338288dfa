# SPDX-License-Identifier: Apache-2.0
"""What the checks share: the files of the project, and how findings are reported."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def files():
    """Paths, relative to the root, of all files that git tracks or would track, in order.

    New files count too: a check must speak before the commit, not after it.
    """
    command = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()
    paths = sorted(set(listed.split("\0")) - {""})
    return [path for path in paths if (ROOT / path).is_file() and not (ROOT / path).is_symlink()]


def text(path):
    """The content of a file of the project."""
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def interpreter(path):
    """The program a script names in its first line ("bash"); empty for anything else."""
    with open(ROOT / path, "rb") as file:
        first = file.readline(200)
    if not first.startswith(b"#!"):
        return ""
    words = first[2:].decode(errors="replace").split()
    if words and os.path.basename(words[0]) == "env":
        words = words[1:]
    return os.path.basename(words[0]) if words else ""


def is_cxx(path):
    """C++ of ours. C (kernel-side tests) and copied kernel headers follow the kernel's style instead."""
    return path.endswith((".cc", ".h")) and not path.startswith(("kernel/", "tests/kernel/"))


def cache_directory():
    """Where results outlive the checkout."""
    fallback = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("VFIO_DOORBELL_CACHE") or pathlib.Path(fallback) / "vfio-doorbell")


class Findings:
    """Collects what a check objects to, and prints each as `file:line: reason`."""

    def __init__(self, check, noun="files"):
        self._check = check
        self._noun = noun
        self._count = 0

    def add(self, path, line, reason):
        self._count += 1
        print(f"{path}:{line}: {reason}")

    def add_all(self, output):
        """Takes the lines of a tool that writes `file:line:` itself."""
        lines = [line for line in output.splitlines() if line.strip()]
        for line in lines:
            print(line)
        self._count += len(lines)

    def close(self, checked):
        """Prints the count and ends the program: 0 without findings, 1 with some, or with nothing checked."""
        print(f"{self._check}: {checked} {self._noun}, {self._count} findings")
        if checked == 0:
            print(f"{self._check}: nothing to check, which cannot be right", file=sys.stderr)
        sys.exit(1 if self._count or checked == 0 else 0)
