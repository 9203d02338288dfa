# SPDX-License-Identifier: Apache-2.0
"""Container images made from nothing, and the disk of a containerd that has them imported.

Importing runs on the host, with the host's containerd: under emulation it takes a minute.
"""

import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tarfile

from . import cache, disks, tools
from .errors import LabError
from .processes import bound_to_us
from .waiting import wait_for

# The node's /var/lib/containerd: the images and what running containers write.
DISK_MIB = 3072


def archive(kind, name, inputs, fill, entrypoint):
    """A cache entry's `image.tar`: one arm64 layer with the tree that `fill(directory)` made.

    name: as a manifest refers to it, "lab.local/pause:1".
    """
    def make(place):
        tree = place / "tree"
        tree.mkdir()
        fill(tree)
        _write_archive(tree, name, entrypoint, place / "image.tar")
        shutil.rmtree(tree)

    inputs = [name, *entrypoint, *inputs, pathlib.Path(__file__)]
    return cache.entry(f"image-{kind}", inputs, make) / "image.tar"


def disk(archives):
    """An ext4 image for the node's /var/lib/containerd with all `archives` imported."""
    def make(place):
        store = place / "store"
        store.mkdir()
        _import(archives, store, place)
        disks.make_ext4(store, place / "images.img", DISK_MIB)
        shutil.rmtree(store)

    # An archive's own directory in the cache is named by its content.
    inputs = [str(path) for path in archives] + [pathlib.Path(__file__), pathlib.Path(disks.__file__)]
    return cache.entry("images", inputs, make) / "images.img"


def _write_archive(tree, name, entrypoint, path):
    def anonymous(member):
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    layer_path = path.with_suffix(".layer")
    with tarfile.open(layer_path, "w") as layer:
        for part in sorted(tree.iterdir()):
            layer.add(part, part.name, filter=anonymous)
    with open(layer_path, "rb") as layer:
        digest = hashlib.file_digest(layer, "sha256").hexdigest()
    config = json.dumps({
        "architecture": "arm64", "os": "linux", "created": "1970-01-01T00:00:00Z",
        "config": {"Entrypoint": entrypoint, "Env": ["PATH=/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    }).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name],
                            "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as out:
        for member_name, data in ((config_name, config), ("manifest.json", manifest)):
            member = tarfile.TarInfo(member_name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
        out.add(layer_path, "layer.tar", filter=anonymous)
    layer_path.unlink()


def _import(archives, store, scratch):
    """Imports `archives` into the containerd root `store` by a private containerd."""
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
        for path in archives:
            ctr("images", "import", "--snapshotter", "overlayfs", "--platform", "linux/arm64", path)
        for name in ctr("images", "list", "--quiet").split():
            # The CRI plugin on the node lists only images with its label.
            ctr("images", "label", name, "io.cri-containerd.image=managed")
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
    for leftover in (config, log_path):
        leftover.unlink()
    for directory in ("state", "opt"):
        shutil.rmtree(scratch / directory, ignore_errors=True)
    address.with_suffix(".sock.ttrpc").unlink(missing_ok=True)
    address.unlink(missing_ok=True)


def library_closure(tree, binary):
    """`binary` and all files below `tree` it needs to run, as paths relative to `tree`."""
    folders = ["usr/lib/aarch64-linux-gnu", "usr/lib", "usr/lib/aarch64-linux-gnu/pulseaudio",
               "usr/lib/aarch64-linux-gnu/blas", "usr/lib/aarch64-linux-gnu/lapack"]
    found, todo = set(), [binary]
    while todo:
        file = todo.pop()
        if file in found:
            continue
        found.add(file)
        headers = tools.run("readelf", "--dynamic", "--program-headers", "--wide", tree / file)
        # The loader is named by its path, /lib/..., which is a link to /usr/lib.
        todo += ["usr" + path for path in re.findall(r"interpreter: (/lib/[^\]]+)", headers)]
        for name in re.findall(r"\(NEEDED\).*\[(.+)\]", headers):
            place = next((f"{d}/{name}" for d in folders if os.path.lexists(tree / d / name)), None)
            if not place:
                raise LabError(f"{file} needs {name}, which no package brought")
            todo.append(place)
    return sorted(found)
