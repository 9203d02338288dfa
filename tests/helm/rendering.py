# SPDX-License-Identifier: Apache-2.0
"""What the chart makes of values, and the sets of values that its tests are about."""

import functools
import json
import re
import sys

import yaml

import schemas

ROOT = schemas.ROOT
sys.path.insert(0, str(ROOT / "scripts"))

import rendered_manifests as manifests  # noqa: E402

VALUES = yaml.safe_load((manifests.CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((manifests.CHART / "values.schema.json").read_text(encoding="utf-8"))
# All that can be switched on beside each other.
EVERYTHING = {
    "registration": "plugins-registry",
    "image": {"registry": "registry.example/infra", "pullSecrets": ["pull"]},
    "daemon": {"image": {"digest": "sha256:" + "a" * 64}, "seLinuxOptions": {"type": "spc_t"}, "extraArgs": ["--sysfs-root=/host/sys"],
               "extraVolumes": [{"name": "more", "emptyDir": {}}], "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}]},
    "pod": {"labels": {"more": "labels"}, "annotations": {"more": "annotations"}, "affinity": {"podAntiAffinity": {}}},
    "monitor": {"status": {"podUids": True, "nfd": True}},
    "kubevirt": {"enabled": True, "namespace": "kubevirt", "name": "kubevirt"},
    "controller": {"disable": True, "priorityClassName": "high", "labels": {"more": "labels"}, "annotations": {"more": "annotations"},
                   "affinity": {"podAntiAffinity": {}}, "tolerations": [{"operator": "Exists"}]},
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True, "annotations": {"folder": "VMs"}},
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]},
}
BIND = {"name": "vendor.example/bound", "selectors": [{"vendor": "15b3", "bind": True}]}
BINDING = {"binding": {"enabled": True}, "config": {"resources": [BIND]}}
QUIET = {"monitor": {"status": {"enabled": False}}}
ALONE = {"monitor": {"enabled": False}}
SETS = manifests.PROFILES | {"everything": EVERYTHING, "binding": BINDING, "quiet": QUIET, "alone": ALONE}


@functools.cache
def rendered(values, *arguments):
    """What the chart makes of these values, in JSON."""
    status, text = manifests.template(json.loads(values), *arguments)
    assert status == 0, text
    return text


def objects(profile, *arguments):
    """All that the chart makes of these values, with hooks and tests, by kind and name."""
    text = rendered(json.dumps(manifests.values_of(profile)), *arguments)
    found = {(document["kind"], document["metadata"]["name"]): document for document in yaml.safe_load_all(text) if document}
    assert len(found) == len(re.findall(r"^kind:", text, re.M)), "two objects of one name"
    return found


def pod_of(profile):
    return objects(profile)["DaemonSet", "vfio-doorbell"]["spec"]["template"]["spec"]


def container(pod, name):
    return next(c for c in pod["initContainers"] + pod["containers"] if c["name"] == name)
