# SPDX-License-Identifier: Apache-2.0
"""The Go toolchain, and kubelets built with it from the Go module proxy."""

import os
import pathlib
import re
import shutil

from . import cache, tools
from .errors import LabError

# A directory with go.mod and go.sum for each kubelet, called by its minor version.
KUBELETS = pathlib.Path(__file__).parent.parent / "kubelet"
DEFAULT_KUBELET = "1.34"


def kubelet(version=DEFAULT_KUBELET):
    """A cache entry holding `kubelet`, static, for arm64, of the minor `version`: "1.34"."""
    module = KUBELETS / version
    if version not in kubelet_versions():
        raise LabError(f"there is no kubelet {version}, only {', '.join(kubelet_versions())}")
    return cache.entry("kubelet", [module, pathlib.Path(__file__)],
                       lambda place: _build_kubelet(module, place)) / "kubelet"


def kubelet_versions():
    """The minor versions there are, oldest first."""
    return sorted((p.name for p in KUBELETS.iterdir()), key=lambda name: [int(n) for n in name.split(".")])


def _build_kubelet(module, place):
    go_mod = (module / "go.mod").read_text()
    version = re.search(r"^\s*(?:require )?k8s\.io/kubernetes (\S+)", go_mod, re.MULTILINE)[1]
    environment = os.environ | {
        "CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": "arm64", "GOTOOLCHAIN": "local",
        # Read-only: a build that needs anything go.mod and go.sum do not pin fails.
        "GOFLAGS": "-mod=readonly",
    }
    tools.run(_go(go_mod), "build", "-trimpath", "-buildvcs=false",
              "-ldflags", f"-s -w -X k8s.io/component-base/version.gitVersion={version}",
              "-o", place / "kubelet", "k8s.io/kubernetes/cmd/kubelet",
              cwd=module, env=environment)


def _go(go_mod):
    """The path of a Go that is new enough for a module."""
    installed = shutil.which("go")
    if not installed:
        raise LabError("go is not installed: run scripts/install-deps")
    version = tools.run(installed, "version", env=os.environ | {"GOTOOLCHAIN": "local"})
    oldest = re.search(r"^go (\d+)\.(\d+)", go_mod, re.MULTILINE)
    numbers = re.search(r"go(\d+)\.(\d+)", version)
    if numbers and [int(n) for n in numbers.groups()] >= [int(n) for n in oldest.groups()]:
        return installed
    name = re.search(r"^toolchain (\S+)", go_mod, re.MULTILINE)[1]
    toolchain = f"golang.org/toolchain@v0.0.1-{name}.linux-amd64"
    entry = cache.entry("go", [toolchain], lambda place: _fetch_toolchain(installed, toolchain, place))
    return str(entry / "go" / "bin" / "go")


def _fetch_toolchain(go, toolchain, place):
    """Takes the toolchain from the module proxy, as newer Go versions do by themselves.

    The old Go checks it against the checksum database. A module carries no executable bits.
    """
    environment = os.environ | {"GOMODCACHE": str(place / "modules"), "GOFLAGS": "-modcacherw"}
    tools.run(go, "mod", "download", toolchain, cwd=place, env=environment)
    (place / "modules" / toolchain).rename(place / "go")
    shutil.rmtree(place / "modules")
    for directory in ("bin", "pkg/tool"):
        for file in (place / "go" / directory).rglob("*"):
            if file.is_file():
                file.chmod(0o755)
