# SPDX-License-Identifier: Apache-2.0
"""The node's root disk: Debian arm64 packages, the kubelet, and the files in tests/lab/node."""

import json
import pathlib
import shutil

from . import apt, cache, disks, kubernetes, tools

NODE_FILES = pathlib.Path(__file__).parent.parent / "node"
PACKAGES = ["bash", "containerd", "containernetworking-plugins", "coreutils", "dash", "findutils",
            "grep", "hostname", "iproute2", "kmod", "mount", "openssh-server", "procps", "runc", "sed",
            "tar", "util-linux"]
DISK_MIB = 2048
# Where tests/lab/node's files go, and their modes.
PLACES = {
    "init": ("usr/sbin/init", 0o755),
    "kubelet.yaml": ("etc/kubernetes/kubelet.yaml", 0o644),
    "containerd.toml": ("etc/containerd/config.toml", 0o644),
    "10-lab.conflist": ("etc/cni/net.d/10-lab.conflist", 0o644),
    "sshd_config": ("etc/ssh/sshd_config", 0o644),
}
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n"
                  "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
                  "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost node\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
}


def build(kubernetes_version=kubernetes.DEFAULT):
    """A cache entry with `root.img`, the `ssh_key` that opens it and its `known_hosts`.

    kubernetes_version: of its kubelet, as for kubernetes.program().
    """
    debs = apt.packages("node", PACKAGES)
    kubelet = kubernetes.program("kubelet", kubernetes_version, "arm64")

    def make(place):
        tree = place / "tree"
        apt.unpack(debs, tree)
        for source, (target, mode) in PLACES.items():
            _install(NODE_FILES / source, tree / target, mode)
        _install(kubelet, tree / "usr/local/bin/kubelet", 0o755)
        tools.run("aarch64-linux-gnu-gcc", "-O2", "-Wall", "-Wextra", "-static", "-s",
                  "-o", tree / "usr/local/bin/msi-address", NODE_FILES / "msi-address.c")
        for path, text in ACCOUNTS.items():
            (tree / path).write_text(text)
        for path in ("dev", "proc", "sys", "run", "tmp", "root", "var/lib/containerd",
                     "var/lib/kubelet", "var/log", "etc/kubernetes/manifests"):
            (tree / path).mkdir(parents=True, exist_ok=True)
        (tree / "etc/mtab").symlink_to("/proc/self/mounts")
        (tree / "etc/containerd/base-spec.json").write_text(_base_spec())
        _make_keys(tree, place)
        disks.make_ext4(tree, place / "root.img", DISK_MIB)
        shutil.rmtree(tree)

    inputs = [str(debs), str(kubelet), NODE_FILES, pathlib.Path(__file__), pathlib.Path(disks.__file__)]
    return cache.entry("rootfs", inputs, make)


def _install(source, target, mode):
    target.parent.mkdir(parents=True, exist_ok=True)
    # What a package put there may be a link out of the tree.
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _base_spec():
    """containerd's default container, except that its devices cgroup lets /dev/kvm through.

    The kubelet gives an unprivileged container no way to ask for a device that no device plugin
    offers, and a mounted /dev/kvm alone is refused by the cgroup. Opening it still takes a
    manifest that mounts it.
    """
    spec = json.loads(tools.run("ctr", "oci", "spec"))
    spec["linux"]["resources"]["devices"].append(
        {"allow": True, "type": "c", "major": 10, "minor": 232, "access": "rwm"})
    return json.dumps(spec, indent=1)


def _make_keys(tree, place):
    """One key for the node and one for the user of the lab, good only for this disk."""
    for path in (tree / "etc/ssh/host_key", place / "ssh_key"):
        tools.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path)
    shutil.copyfile(place / "ssh_key.pub", tree / "etc/ssh/authorized_keys")
    host_key = (tree / "etc/ssh/host_key.pub").read_text()
    (place / "known_hosts").write_text(f"node {host_key}")
