# SPDX-License-Identifier: Apache-2.0
"""The programs of Kubernetes, built from the Go module proxy and kept, one by one: those of a cluster, and the kubelet of the emulated node.

The only place that knows which versions there are.
"""

import os
import pathlib

from . import golang
from .errors import LabError

LAB = pathlib.Path(__file__).parent.parent
# A directory with go.mod and go.sum for each version, called by its minor version.
MODULES = LAB / "kubernetes"
DEFAULT = os.environ.get("VFIO_DOORBELL_KUBERNETES", "1.34")
COREDNS_VERSION = golang.version_of(LAB / "coredns", "github.com/coredns/coredns")
# Module and package of a program that belongs to no version of Kubernetes.
OTHERS = {"coredns": (LAB / "coredns", "."), "kind": (LAB / "kind", "sigs.k8s.io/kind"),
          "kube-router": (LAB / "kube-router", "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router")}


def versions():
    """The minor versions there are, oldest first."""
    return sorted((path.name for path in MODULES.iterdir()), key=lambda name: [int(number) for number in name.split(".")])


def module(version=DEFAULT):
    """The directory that pins the minor `version`: "1.34"."""
    if version not in versions():
        raise LabError(f"there is no Kubernetes {version}, only {', '.join(versions())}")
    return MODULES / version


def release(version=DEFAULT):
    """Which release of the minor `version` there is: "v1.34.2"."""
    return golang.version_of(module(version), "k8s.io/kubernetes")


def program(name, version=DEFAULT, architecture=None):
    """The path of a program, static: kube-apiserver, kubectl, ..., the etcd that belongs to it, or one of OTHERS, which have one version.

    architecture: as Go calls it; None: that of this machine.
    """
    flags = "-s -w"
    if name in OTHERS:
        place, package = OTHERS[name]
    elif name == "etcd":
        place, package = module(version), "go.etcd.io/etcd/server/v3"
    else:
        place, package = module(version), f"k8s.io/kubernetes/cmd/{name}"
        flags += f" -X k8s.io/component-base/version.gitVersion={release(version)}"
    return golang.program(place, package, "-trimpath", "-ldflags", flags, environment=golang.STATIC | ({"GOARCH": architecture} if architecture else {}))
