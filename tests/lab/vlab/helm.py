# SPDX-License-Identifier: Apache-2.0
"""Helm and kubeconform, built from the Go module proxy."""

import pathlib
import re

from . import golang

TOOLS = pathlib.Path(__file__).parent.parent.parent / "tools"


def helm():
    """The program."""
    module = TOOLS / "helm"
    # What `helm version` says, and which Kubernetes it renders for where there is none to ask.
    minor = re.search(r"^\d+", golang.version_of(module, "k8s.io/client-go").removeprefix("v0."))[0]
    numbers = {"helm.sh/helm/v3/internal/version.version": golang.version_of(module, "helm.sh/helm/v3"),
               "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor": "1", "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor": minor,
               "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor": "1", "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor": minor}
    linker = " ".join(["-s -w", *(f"-X {name}={value}" for name, value in numbers.items())])
    return golang.program(module, "helm.sh/helm/v3/cmd/helm", "-trimpath", "-ldflags", linker)


def kubeconform():
    """The program."""
    return golang.program(TOOLS / "kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", "-trimpath")
