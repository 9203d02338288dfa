# SPDX-License-Identifier: Apache-2.0
"""KubeVirt's CRDs, made by its own code from the Go module proxy and kept."""

import json
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from vlab import cache, golang, tools  # noqa: E402

HERE = pathlib.Path(__file__).parent
# Where KubeVirt makes its CRDs, and what of it is needed for that.
GENERATOR = "pkg/virt-operator/resource/generate/components"
GENERATOR_FILES = ("crds.go", "validations_generated.go")
STATIC = golang.ENVIRONMENT | golang.STATIC


def kubevirt_crd(kind="KubeVirt"):
    """The CustomResourceDefinition of a kind of KubeVirt's, as its operator installs it: also "VirtualMachine"."""
    module = HERE / "crd"
    place = cache.entry("kubevirt-crd", [module, pathlib.Path(__file__)], lambda place: _make_crds(module, place))
    return json.loads((place / "crds.json").read_text(encoding="utf-8"))[kind]


def _make_crds(module, place):
    work = place / "work"
    shutil.copytree(module, work)
    source = golang.module_folder(module, "kubevirt.io/kubevirt") / GENERATOR
    (work / "components").mkdir()
    for name in GENERATOR_FILES:
        shutil.copyfile(source / name, work / "components" / name)
    tools.run(golang.go(module), "build", "-trimpath", "-buildvcs=false", "-o", place / "print-crds", ".", cwd=work,
              env=os.environ | STATIC)
    (place / "crds.json").write_text(tools.run(place / "print-crds"), encoding="utf-8")
    shutil.rmtree(work)
