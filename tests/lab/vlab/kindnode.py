# SPDX-License-Identifier: Apache-2.0
"""The image of kind's node, made without a registry: Debian, kind's own files, Kubernetes, and the images that its pods need.

It follows images/base/Dockerfile and `kind build node-image` of kind's source, which pull what is built here.
"""

import json
import pathlib
import re
import shutil

from . import apt, cache, golang, images, kubernetes, tools
from .errors import LabError

FILES = kubernetes.LAB / "kind"
PAUSE = kubernetes.LAB / "images" / "pause.c"
PACKAGES = ["systemd-sysv", "containerd", "runc", "containernetworking-plugins", "conntrack", "iptables", "ipset", "nftables", "iproute2", "ethtool",
            "util-linux", "mount", "kmod", "libseccomp2", "e2fsprogs", "bash", "ca-certificates", "curl", "jq", "procps", "hostname",
            "dbus", "openssl"]
# Each runs as a pod of the control plane, from an image with nothing but itself.
PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "coredns")


def archive(version):
    """A cache entry's `node.tar`: the root file system of the node, for a minor version of Kubernetes."""
    names = _image_names(version)
    archives = [_pod(name, names[name], version) for name in PODS] + [_proxy(names["kube-proxy"], version), _pause(names["pause"])]
    programs = {path: kubernetes.program(pathlib.Path(path).name, version)
                for path in ("usr/bin/kubeadm", "usr/bin/kubectl", "usr/bin/kubelet", "usr/local/bin/kube-router")}
    debian = _debian()

    def make(place):
        tree = place / "tree"
        tools.run("cp", "--archive", debian, tree)
        _add_kinds_files(tree, names["pause"])
        _enable_services(tree)
        for path, program in programs.items():
            _install(program, tree / path)
        (tree / "kind/version").write_text(kubernetes.release(version))
        # Not unpacked: it would double the size, and the node unpacks what it starts.
        images.import_into(tree / "var/lib/containerd", archives, "--no-unpack")
        tools.run("tar", "--create", "--numeric-owner", "--file", place / "node.tar", "--directory", tree, ".")
        shutil.rmtree(tree)

    inputs = [str(path) for path in (*archives, *programs.values(), debian)]
    own = [FILES, pathlib.Path(__file__), pathlib.Path(images.__file__)]
    return cache.entry("kind-node", inputs + own, make, keep=2) / "node.tar"


def _image_names(version):
    """What kubeadm calls the images: {"etcd": "registry.k8s.io/etcd:3.6.5-0", ...}."""
    listing = tools.run(kubernetes.program("kubeadm", version), "config", "images", "list", "--kubernetes-version", kubernetes.release(version))
    names = {re.search(r"([^/]+):[^:]+$", name)[1]: name for name in listing.split()}
    if missing := {*PODS, "kube-proxy", "pause"} - set(names):
        raise LabError(f"kubeadm {kubernetes.release(version)} names no image for {', '.join(sorted(missing))}")
    # Ours has a version of its own, which cluster.py tells kubeadm.
    return names | {"coredns": f"{names['coredns'].rpartition(':')[0]}:{kubernetes.COREDNS_VERSION}"}


def _debian():
    """A directory with the Debian of the node, as installed."""
    def make(place):
        apt.install_tree(place / "tree", PACKAGES)
        shutil.rmtree(place / "tree/var/lib/apt/lists")

    return cache.entry("kind-debian", [*PACKAGES, *apt.UNWANTED], make, keep=2) / "tree"


def _archive(name, image, inputs, fill, entrypoint):
    return images.archive(f"kind-{name}", image, [*inputs, pathlib.Path(__file__)], fill, [entrypoint], apt.machine_architecture())


def _install(program, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(program, path)
    path.chmod(0o755)


def _pod(name, image, version):
    program = kubernetes.program(name, version)
    # kubeadm starts them by name, CoreDNS by its entry point.
    entrypoint = f"/{name}" if name == "coredns" else f"/usr/bin/{name}"
    return _archive(name, image, [str(program)], lambda tree: _install(program, tree / entrypoint[1:]), entrypoint)


def _proxy(image, version):
    """kube-proxy with nft, which it calls."""
    program = kubernetes.program("kube-proxy", version)
    debs = apt.packages("kube-proxy", ["nftables"], architecture=apt.machine_architecture())

    def fill(tree):
        apt.unpack(debs, tree)
        _install(program, tree / "usr/local/bin/kube-proxy")
        # PATH of our images is short.
        (tree / "usr/bin/nft").symlink_to("/usr/sbin/nft")
        for folder in ("etc", "run", "tmp"):
            (tree / folder).mkdir(exist_ok=True)

    return _archive("kube-proxy", image, [str(debs), str(program)], fill, "/usr/local/bin/kube-proxy")


def _pause(image):
    def fill(tree):
        tools.run("gcc", "-O2", "-static", "-s", "-o", tree / "pause", PAUSE)

    return _archive("pause", image, [PAUSE], fill, "/pause")


def _add_kinds_files(tree, pause):
    source = golang.module_folder(FILES, "sigs.k8s.io/kind") / "images" / "base" / "files"
    for part in ("etc/crictl.yaml", "etc/default/kubelet", "etc/sysctl.d", "etc/systemd/system", "kind/bin", "usr/local/bin/entrypoint"):
        tools.run("cp", "--recursive", "--no-target-directory", source / part, _folder(tree, part))
    for program in (tree / "usr/local/bin/entrypoint", *(tree / "kind/bin").iterdir()):
        program.chmod(0o755)
    # For rootless containers, and its program is not here.
    (tree / "etc/systemd/system/containerd-fuse-overlayfs.service").unlink()
    unit = tree / "etc/systemd/system/containerd.service"
    unit.write_text(_replaced(unit, "ExecStart=/usr/local/bin/containerd", "ExecStart=/usr/bin/containerd"))

    config = _folder(tree, "etc/containerd/config.toml")
    text = (source / "etc/containerd/config.toml").read_text()
    text = re.sub(r'sandbox_image = ".*"', f'sandbox_image = "{pause}"', text)
    # A machine whose root lacks CAP_SYS_RESOURCE cannot lower it.
    text = text.replace("restrict_oom_score_adj = false", "restrict_oom_score_adj = true")
    config.write_text(text)
    spec = json.loads(tools.run("ctr", "oci", "spec"))
    spec["hooks"] = {"createContainer": [{"path": "/kind/bin/mount-product-files.sh"}]}
    del spec["process"]["rlimits"]
    (tree / "etc/containerd/cri-base.json").write_text(json.dumps(spec))

    for unit in ("kube-router.path", "kube-router.service"):
        shutil.copyfile(FILES / unit, tree / "etc/systemd/system" / unit)
    shutil.copyfile(FILES / "10-lab.conflist", _folder(tree, "etc/cni/net.d/10-lab.conflist"))
    _folder(tree, "opt/cni/bin").symlink_to("/usr/lib/cni")
    shutil.copyfile(FILES / "default-storage.yaml", _folder(tree, "kind/manifests/default-storage.yaml"))
    (tree / "etc/kubernetes/manifests").mkdir(parents=True)


def _enable_services(tree):
    """What runs in the node beside what pods are made of: nothing that a whole machine has."""
    units = tree / "lib/systemd/system"
    for folder, pattern in (("sysinit.target.wants", "systemd-tmpfiles-setup.service"), ("multi-user.target.wants", "*"),
                            ("local-fs.target.wants", "*"), ("sockets.target.wants", "*udev*"),
                            ("sockets.target.wants", "*initctl*"), ("basic.target.wants", "*")):
        for unit in (units / folder).glob(pattern):
            unit.unlink()
    own = tree / "etc/systemd/system"
    for unit in own.glob("*.wants/*"):
        unit.unlink()
    for unit in ("kubelet.service", "containerd.service", "undo-mount-hacks.service", "kube-router.path"):
        _folder(own, f"multi-user.target.wants/{unit}").symlink_to(f"/etc/systemd/system/{unit}")
    for name in ("systemd-binfmt.service", "getty.target", "console-getty.service"):
        (own / name).symlink_to("/dev/null")
    (own / "default.target").unlink(missing_ok=True)
    (own / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    with open(tree / "etc/systemd/journald.conf", "a", encoding="utf-8") as config:
        config.write("ReadKMsg=no\n")


def _folder(tree, path):
    """The path of a file of the tree, in a folder that is there."""
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    return tree / path


def _replaced(path, old, new):
    text = path.read_text()
    if old not in text:
        raise LabError(f"{path.name} of kind has no line {old!r} any more")
    return text.replace(old, new)
