# SPDX-License-Identifier: Apache-2.0
"""Container images made from nothing, and the disk of a containerd that has them imported.

Importing runs on the host, with the host's containerd: under emulation it takes a minute.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from . import cache, disks, oci, tools
from .errors import LabError
from .processes import bound_to_us
from .waiting import wait_for

# The node's /var/lib/containerd: the images and what running containers write.
DISK_MIB = 3072
NODE_FOLDERS = ("usr/lib/aarch64-linux-gnu", "usr/lib", "usr/lib/aarch64-linux-gnu/pulseaudio",
                "usr/lib/aarch64-linux-gnu/blas", "usr/lib/aarch64-linux-gnu/lapack")


def archive(kind, name, inputs, fill, entrypoint, architecture="arm64"):
    """A cache entry's `image.tar`: one layer with the tree that `fill(directory)` made.

    name: as a manifest refers to it, "lab.local/pause:1".
    """
    def make(place):
        tree = place / "tree"
        tree.mkdir()
        fill(tree)
        _write_archive(tree, name, entrypoint, architecture, place / "image.tar")
        shutil.rmtree(tree)

    inputs = [name, architecture, *entrypoint, *inputs, pathlib.Path(__file__), pathlib.Path(oci.__file__)]
    return cache.entry(f"image-{kind}", inputs, make) / "image.tar"


def disk(archives):
    """An ext4 image for the node's /var/lib/containerd with all `archives` imported."""
    def make(place):
        store = place / "store"
        store.mkdir()
        import_into(store, archives, "--snapshotter", "overlayfs", "--platform", "linux/arm64")
        disks.make_ext4(store, place / "images.img", DISK_MIB)
        shutil.rmtree(store)

    # An archive's own directory in the cache is named by its content.
    inputs = [str(path) for path in archives] + [pathlib.Path(__file__), pathlib.Path(disks.__file__)]
    return cache.entry("images", inputs, make) / "images.img"


def _write_archive(tree, name, entrypoint, architecture, path):
    # Nobody carries them over a network, so compressing them only takes time.
    layer = oci.layer(tree, path.with_suffix(".layer"), 0, compressed=False)
    config = {"Entrypoint": entrypoint, "Env": ["PATH=/usr/bin:/bin"]}
    oci.write_archive(path, name, [oci.Platform(architecture, [layer], config, [])], 0)
    layer.path.unlink()


@contextlib.contextmanager
def containerd(store, scratch):
    """A private containerd of the host's for the length of a with block; `ctr(*words)` that runs a command of it.

    store: its root. scratch: a directory for what it needs meanwhile.
    """
    address = scratch / "containerd.sock"
    config = scratch / "containerd.toml"
    config.write_text(f"""version = 2
root = "{store}"
state = "{scratch}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "{address}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{scratch}/opt"
""")

    def ctr(*words):
        return tools.run("ctr", "--address", address, "--namespace", "k8s.io", *words)

    log_path = scratch / "containerd.log"
    with open(log_path, "w", encoding="utf-8") as log:
        daemon = subprocess.Popen(bound_to_us(["containerd", "--config", config]), stdout=log,
                                  stderr=log)
    try:
        wait_for("the host's containerd serves", address.exists, idle_s=3,
                 evidence=log_path.read_text,
                 give_up=lambda: daemon.poll() is not None and "it has ended")
        yield ctr
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()


def import_into(store, archives, *options):
    """Imports `archives` into the containerd root `store`; options: of `ctr images import`."""
    with tempfile.TemporaryDirectory() as scratch, containerd(store, pathlib.Path(scratch)) as ctr:
        for path in archives:
            ctr("images", "import", *options, path)
        for name in ctr("images", "list", "--quiet").split():
            # The CRI plugin on the node lists only images with its label.
            ctr("images", "label", name, "io.cri-containerd.image=managed")


def library_closure(tree, binary, folders=NODE_FOLDERS):
    """`binary` and all files below `tree` it needs to run, as paths relative to `tree`: what is in one of `folders`.

    An absolute `binary` that is somewhere else is no part of the answer.
    """
    found, todo = set(), [str(binary)]
    while todo:
        file = todo.pop()
        if file in found:
            continue
        found.add(file)
        headers = tools.run("readelf", "--dynamic", "--program-headers", "--wide", tree / file)
        # The loader is named by its path, in /lib, which may be a link to /usr/lib.
        for path in re.findall(r"interpreter: /([^\]]+)", headers):
            folder = os.path.relpath((tree / path).parent.resolve(), tree.resolve())
            todo.append(f"{folder}/{os.path.basename(path)}")
        for name in re.findall(r"\(NEEDED\).*\[(.+)\]", headers):
            place = next((f"{d}/{name}" for d in folders if os.path.lexists(tree / d / name)), None)
            if not place:
                raise LabError(f"{file} needs {name}, which no package brought")
            todo.append(place)
    return sorted(file for file in found if not os.path.isabs(file))
