# SPDX-License-Identifier: Apache-2.0
"""The Go toolchain, and the kubelet built with it from the Go module proxy."""

import os
import pathlib
import re
import shutil

from . import cache, tools
from .errors import LabError

KUBELET_MODULE = pathlib.Path(__file__).parent.parent / "kubelet"
OLDEST_GO = (1, 24)
# Fetched only where the machine's own Go is older than the kubelet needs.
TOOLCHAIN = "golang.org/toolchain@v0.0.1-go1.24.11.linux-amd64"


def kubelet():
    """A cache entry holding `kubelet`, static, for arm64."""
    return cache.entry("kubelet", [KUBELET_MODULE, pathlib.Path(__file__)], _build_kubelet) / "kubelet"


def _build_kubelet(place):
    go_mod = (KUBELET_MODULE / "go.mod").read_text()
    version = re.search(r"^require k8s\.io/kubernetes (\S+)", go_mod, re.MULTILINE).group(1)
    environment = os.environ | {
        "CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": "arm64", "GOTOOLCHAIN": "local",
        # Read-only: a build that needs anything go.mod and go.sum do not pin fails.
        "GOFLAGS": "-mod=readonly",
    }
    tools.run(_go(), "build", "-trimpath", "-buildvcs=false",
              "-ldflags", f"-s -w -X k8s.io/component-base/version.gitVersion={version}",
              "-o", place / "kubelet", "k8s.io/kubernetes/cmd/kubelet",
              cwd=KUBELET_MODULE, env=environment)


def _go():
    """The path of a Go that is new enough."""
    installed = shutil.which("go")
    if not installed:
        raise LabError("go is not installed: run scripts/install-deps")
    version = tools.run(installed, "version", env=os.environ | {"GOTOOLCHAIN": "local"})
    numbers = re.search(r"go(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) >= OLDEST_GO:
        return installed
    toolchain = cache.entry("go", [TOOLCHAIN], lambda place: _fetch_toolchain(installed, place))
    return str(toolchain / "go" / "bin" / "go")


def _fetch_toolchain(go, place):
    """Takes the toolchain from the module proxy, as newer Go versions do by themselves.

    The old Go checks it against the checksum database. A module carries no executable bits.
    """
    environment = os.environ | {"GOMODCACHE": str(place / "modules"), "GOFLAGS": "-modcacherw"}
    tools.run(go, "mod", "download", TOOLCHAIN, cwd=place, env=environment)
    (place / "modules" / TOOLCHAIN).rename(place / "go")
    shutil.rmtree(place / "modules")
    for directory in ("bin", "pkg/tool"):
        for file in (place / "go" / directory).rglob("*"):
            if file.is_file():
                file.chmod(0o755)
