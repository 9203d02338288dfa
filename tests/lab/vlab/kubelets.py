# SPDX-License-Identifier: Apache-2.0
"""Kubelets for the node, built from the Go module proxy."""

import os
import pathlib
import re

from . import cache, golang, tools
from .errors import LabError

# A directory with go.mod and go.sum for each kubelet, called by its minor version.
KUBELETS = pathlib.Path(__file__).parent.parent / "kubelet"
DEFAULT = "1.34"


def kubelet(version=DEFAULT):
    """A cache entry holding `kubelet`, static, for arm64, of the minor `version`: "1.34"."""
    module = KUBELETS / version
    if version not in versions():
        raise LabError(f"there is no kubelet {version}, only {', '.join(versions())}")
    return cache.entry("kubelet", [module, pathlib.Path(__file__)], lambda place: _build(module, place)) / "kubelet"


def versions():
    """The minor versions there are, oldest first."""
    return sorted((p.name for p in KUBELETS.iterdir()), key=lambda name: [int(n) for n in name.split(".")])


def _build(module, place):
    go_mod = (module / "go.mod").read_text(encoding="utf-8")
    version = re.search(r"^\s*(?:require )?k8s\.io/kubernetes (\S+)", go_mod, re.MULTILINE)[1]
    tools.run(golang.go(module), "build", "-trimpath", "-buildvcs=false",
              "-ldflags", f"-s -w -X k8s.io/component-base/version.gitVersion={version}",
              "-o", place / "kubelet", "k8s.io/kubernetes/cmd/kubelet", cwd=module,
              env=os.environ | golang.ENVIRONMENT | {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": "arm64"})
