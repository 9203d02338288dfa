# SPDX-License-Identifier: Apache-2.0
"""Built things, kept outside the checkout and found again by what they were built from."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import tempfile

from .progress import step


def root():
    """The cache directory of the whole project."""
    named = os.environ.get("VFIO_DOORBELL_CACHE")
    if named:
        return pathlib.Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base).absolute() / "vfio-doorbell"


def key_of(inputs):
    """A short name for `inputs`: strings stand for themselves, files and directories for their
    names and content."""
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, pathlib.Path):
            files = sorted(p for p in item.rglob("*") if p.is_file()) if item.is_dir() else [item]
            for file in files:
                name = file.relative_to(item.parent)
                digest.update(f"{name}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
        else:
            digest.update(f"{len(item)}\0{item}".encode())
    return digest.hexdigest()[:20]


@contextlib.contextmanager
def locked(path):
    """Holds an exclusive lock on the file `path`, waiting for whoever has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def entry(kind, inputs, make, keep=4):
    """The directory `kind`/<key of inputs>, made by `make(directory)` unless it is there already.

    Making happens in a temporary directory that is renamed when complete, so a build that was
    killed leaves nothing a later run could mistake for a result. Of each kind the `keep` entries
    used last stay.
    """
    shelf = root() / kind
    place = shelf / key_of(inputs)
    # What is there is had at once, also while somebody makes another one of its kind.
    with contextlib.suppress(FileNotFoundError):
        os.utime(place)
        return place
    with locked(shelf / ".lock"):
        if not place.is_dir():
            for leftover in shelf.glob(".making-*"):
                shutil.rmtree(leftover)
            making = pathlib.Path(tempfile.mkdtemp(prefix=".making-", dir=shelf))
            making.chmod(0o755)
            with step(f"make {kind}"):
                make(making)
            making.rename(place)
            # What was unpacked may have brought a time of its own, and would be the oldest.
            os.utime(place)
            _forget_old(shelf, keep)
        os.utime(place)
    return place


def _forget_old(shelf, keep):
    entries = [p for p in shelf.iterdir() if not p.name.startswith(".")]
    for old in sorted(entries, key=lambda p: p.stat().st_mtime, reverse=True)[keep:]:
        shutil.rmtree(old)
