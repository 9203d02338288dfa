# SPDX-License-Identifier: Apache-2.0
"""Disks of the node: file systems made without mounting anything, and per-run overlays."""

import hashlib

from . import tools

JOURNAL_MIB = 16


def make_ext4(tree, image, size_mib, journal=True):
    """Writes the directory `tree` into the new ext4 file system `image` (sparse).

    Without a journal, for which one of a few MiB has no room, it does not survive a power cut.
    """
    options = ["-J", f"size={JOURNAL_MIB}"] if journal else ["-O", "^has_journal"]
    tools.run("mke2fs", "-q", "-t", "ext4", *options, "-d", tree, image, f"{size_mib}M")


def make_overlay(base, overlay):
    """A qcow2 on top of the raw image `base`, so that running never changes what is cached."""
    tools.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, overlay)


def write_pattern(path, size_mib, seed):
    """A disk whose every MiB differs, the same for the same `seed`: something worth a checksum."""
    with open(path, "wb") as out:
        for mib in range(size_mib):
            out.write(hashlib.shake_128(f"{seed} {mib}".encode()).digest(1 << 20))
