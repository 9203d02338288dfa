# SPDX-License-Identifier: Apache-2.0
"""The Go toolchain, and programs built with it from modules of the Go module proxy."""

import json
import os
import pathlib
import re
import shutil

from . import cache, tools
from .errors import LabError

# Read-only: a build that needs anything go.mod and go.sum do not pin fails.
ENVIRONMENT = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
# A program that runs in any image.
STATIC = {"CGO_ENABLED": "0"}


def program(module, package, *options, environment=None):
    """A program for this machine: the `package` of the `module`, a directory with a go.mod.

    options: of `go build`; environment: Go's variables for it.
    """
    environment = environment or {}

    def make(place):
        tools.run(go(module), "build", "-buildvcs=false", *options, "-o", place / "program", package, cwd=module,
                  env=os.environ | ENVIRONMENT | environment)

    # The package "." has the name of its module.
    name = pathlib.Path(module, package).name
    inputs = [module, package, *options, *(f"{key}={value}" for key, value in sorted(environment.items()))]
    return cache.entry(f"go-{name}", inputs, make) / "program"


def module_folder(module, name):
    """Where the sources of the module `name` are, in the version that the go.mod in `module` has."""
    found = tools.run(go(module), "mod", "download", "-json", f"{name}@{version_of(module, name)}", cwd=module,
                      env=os.environ | ENVIRONMENT)
    return pathlib.Path(json.loads(found)["Dir"])


def version_of(module, name):
    """Which version of `name` the go.mod in `module` has."""
    found = re.search(rf"^\s*(?:require )?{re.escape(name)} (v\S+)", (module / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise LabError(f"{module / 'go.mod'} does not require {name}")
    return found[1]


def go(module):
    """The path of a Go that is new enough for a module, a directory with a go.mod."""
    go_mod = (module / "go.mod").read_text(encoding="utf-8")
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


def _fetch_toolchain(installed, toolchain, place):
    """Takes the toolchain from the module proxy, as newer Go versions do by themselves.

    The old Go checks it against the checksum database. A module carries no executable bits.
    """
    environment = os.environ | {"GOMODCACHE": str(place / "modules"), "GOFLAGS": "-modcacherw"}
    tools.run(installed, "mod", "download", toolchain, cwd=place, env=environment)
    (place / "modules" / toolchain).rename(place / "go")
    shutil.rmtree(place / "modules")
    for directory in ("bin", "pkg/tool"):
        for file in (place / "go" / directory).rglob("*"):
            if file.is_file():
                file.chmod(0o755)
