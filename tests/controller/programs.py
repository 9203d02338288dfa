# SPDX-License-Identifier: Apache-2.0
"""The programs of the test: an API server with its etcd, and KubeVirt's CRD, built from the Go module proxy and kept."""

import json
import os
import pathlib
import re
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from vlab import cache, golang, tools  # noqa: E402

HERE = pathlib.Path(__file__).parent
# Where KubeVirt makes its CRDs, and what of it is needed for that.
GENERATOR = "pkg/virt-operator/resource/generate/components"
GENERATOR_FILES = ("crds.go", "validations_generated.go")
STATIC = golang.ENVIRONMENT | {"CGO_ENABLED": "0"}


def control_plane():
    """A folder with `kube-apiserver` and `etcd`, static, for this machine."""
    module = HERE / "control_plane"
    return cache.entry("control-plane", [module, pathlib.Path(__file__)], lambda place: _build_control_plane(module, place))


def kubevirt_crd():
    """The CustomResourceDefinition of KubeVirt's CR, as its operator installs it."""
    module = HERE / "crd"
    place = cache.entry("kubevirt-crd", [module, pathlib.Path(__file__)], lambda place: _make_crd(module, place))
    return json.loads((place / "crd.json").read_text(encoding="utf-8"))


def _build_control_plane(module, place):
    version = _version_of(module, "k8s.io/kubernetes")
    _build(module, place / "kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver",
           f"-X k8s.io/component-base/version.gitVersion={version}")
    _build(module, place / "etcd", "go.etcd.io/etcd/server/v3")


def _make_crd(module, place):
    work = place / "work"
    shutil.copytree(module, work)
    version = _version_of(module, "kubevirt.io/kubevirt")
    found = json.loads(tools.run(golang.go(module), "mod", "download", "-json", f"kubevirt.io/kubevirt@{version}", cwd=work,
                                 env=os.environ | STATIC))
    (work / "components").mkdir()
    for name in GENERATOR_FILES:
        shutil.copyfile(pathlib.Path(found["Dir"]) / GENERATOR / name, work / "components" / name)
    _build(work, place / "print-crd", ".")
    (place / "crd.json").write_text(tools.run(place / "print-crd"), encoding="utf-8")
    shutil.rmtree(work)


def _build(module, program, package, linker_flags=""):
    tools.run(golang.go(module), "build", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {linker_flags}", "-o", program, package,
              cwd=module, env=os.environ | STATIC)


def _version_of(module, name):
    return re.search(rf"^\s*(?:require )?{re.escape(name)} (v\S+)", (module / "go.mod").read_text(encoding="utf-8"),
                     re.MULTILINE)[1]
