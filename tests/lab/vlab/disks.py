# SPDX-License-Identifier: Apache-2.0
"""Disks of the node: file systems made without mounting anything, and per-run overlays."""

import hashlib
import subprocess


def make_ext4(tree, image, size_mib):
    """Writes the directory `tree` into the new ext4 file system `image` (sparse)."""
    # No journal: the disk lives for one run, on an overlay.
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", tree, image,
                    f"{size_mib}M"], check=True, capture_output=True)


def make_overlay(base, overlay):
    """A qcow2 on top of the raw image `base`, so that running never changes what is cached."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, overlay],
                   check=True, capture_output=True)


def write_pattern(path, size_mib, seed):
    """A disk whose every MiB differs, the same for the same `seed`: something worth a checksum."""
    with open(path, "wb") as out:
        for mib in range(size_mib):
            out.write(hashlib.shake_128(f"{seed} {mib}".encode()).digest(1 << 20))
