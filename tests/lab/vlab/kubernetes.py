# SPDX-License-Identifier: Apache-2.0
"""The programs of a Kubernetes cluster for this machine, built from the Go module proxy and kept, one by one."""

import pathlib

from . import golang

LAB = pathlib.Path(__file__).parent.parent
MODULE = LAB / "kubernetes"
VERSION = golang.version_of(MODULE, "k8s.io/kubernetes")
COREDNS_VERSION = golang.version_of(LAB / "coredns", "github.com/coredns/coredns")
# Of which package a program is, where it is none of Kubernetes' own.
PACKAGES = {"etcd": (MODULE, "go.etcd.io/etcd/server/v3"), "coredns": (LAB / "coredns", "."), "kind": (LAB / "kind", "sigs.k8s.io/kind")}


def program(name, architecture=None):
    """The path of a program, static: kube-apiserver, kubectl, ..., or one of PACKAGES."""
    module, package = PACKAGES.get(name, (MODULE, f"k8s.io/kubernetes/cmd/{name}"))
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion={VERSION}" if package.startswith("k8s.io/") else "-s -w"
    return golang.program(module, package, "-trimpath", "-ldflags", flags, environment=golang.STATIC | ({"GOARCH": architecture} if architecture else {}))
