# SPDX-License-Identifier: Apache-2.0
"""A second build of the same commit, elsewhere, with another cache and nothing from the compiler's, gives the same images."""

import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from vlab import cache, tools  # noqa: E402


def test_another_build_gives_the_same_images(tmp_path):
    changed = tools.run("git", "-C", ROOT, "status", "--porcelain")
    assert not changed, "the second build is of HEAD: commit first"
    clone = tmp_path / "in-a-folder-with-another-and-longer-name" / "clone"
    tools.run("git", "clone", "--quiet", ROOT, clone)
    tools.run(ROOT / "images/build", "--output", tmp_path / "first")
    # The same packages, unpacked in another place.
    other_cache = tmp_path / "cache"
    for kind in ("debs-sysroot", "debs-image-amd64", "debs-image-arm64"):
        shutil.copytree(cache.root() / kind, other_cache / kind)
    tools.run(clone / "images/build", "--output", tmp_path / "second",
              env=os.environ | {"VFIO_DOORBELL_CACHE": str(other_cache), "CCACHE_DISABLE": "1"})
    assert (tmp_path / "second/SHA256SUMS").read_text() == (tmp_path / "first/SHA256SUMS").read_text()
