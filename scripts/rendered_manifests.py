# SPDX-License-Identifier: Apache-2.0
"""What the files of manifests/ have to be: the chart, rendered for profiles, and pods of it for a node without an API server."""

import json
import subprocess
import sys

import yaml

import source_tree

sys.path.insert(0, str(source_tree.ROOT / "tests" / "lab"))

from vlab import helm  # noqa: E402

CHART = source_tree.ROOT / "helm" / "vfio-doorbell"
# What each offers.
CONFIG = source_tree.ROOT / "manifests" / "examples" / "config.yaml"
NAMESPACE = "kube-system"
RELEASE = "vfio-doorbell"
# What is different from the values of the chart, beside config.resources.
PROFILES = {
    "default": {},
    "observe": {"config": {"mode": "observe"}},
    "kubevirt": {"kubevirt": {"enabled": True}},
}
# For the emulated node, whose kubelet has no API server, and which has an image of what is in this tree. Both ways of registration
# are tried with it.
STATIC = {
    "image": {"tag": "dev"},
    "monitor": {"enabled": False},
    "daemon": {
        "extraVolumes": [{"name": "plugins-registry", "hostPath": {"path": "/var/lib/kubelet/plugins_registry", "type": "DirectoryOrCreate"}}],
        "extraVolumeMounts": [{"name": "plugins-registry", "mountPath": "/var/lib/kubelet/plugins_registry"}],
    },
}
STATIC_PODS = {
    "static-pod": STATIC,
    "binding": STATIC | {"binding": {"enabled": True}},
}
HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# {title}
# Made by `make manifests`, do not edit.
"""
TITLES = {
    "default": "vfio-doorbell on each arm64 node, with its monitor. Put your devices into the ConfigMap.",
    "observe": "The same in mode observe: no window is moved, and no container has a capability.",
    "kubevirt": "The default, and the controller that keeps KubeVirt's permitted host devices in step.",
    "static-pod": "The daemon alone, as a static pod of one node, which has /etc/vfio-doorbell/config.yaml.",
    "binding": "The same with the rights to bind drivers (`bind: true`): whoever may unbind any driver may do anything to the node.",
    "node-hook-plugin": "The object that has KubeVirt ask the daemon before it starts a VM. Not with KubeVirt 1.9.0: docs/kubevirt.md",
}


def template(values, *arguments):
    """What `helm template` says of these values, or why it refuses."""
    done = subprocess.run([helm.helm(), "template", RELEASE, CHART, "--namespace", NAMESPACE, "--values", "-", *arguments],
                          input=json.dumps(values), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


def values_of(profile):
    """With what everybody has to say: the resources of the example."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return profile | {"config": config | profile.get("config", {})}


def rendered(profile, *arguments):
    """The manifest of a profile, which must be one that the chart accepts."""
    status, text = template(values_of(profile), "--no-hooks", "--skip-tests", *arguments)
    if status != 0:
        raise ValueError(f"the chart refuses a profile: {text}")
    return text


def documents(name, component):
    """The objects of one component in a generated manifest."""
    text = (source_tree.ROOT / "manifests" / f"{name}.yaml").read_text(encoding="utf-8")
    return [document for document in yaml.safe_load_all(text)
            if document["metadata"]["labels"]["app.kubernetes.io/component"] == component]


def files():
    """The content of each generated file of manifests/, by its path."""
    made = {name: rendered(profile) for name, profile in PROFILES.items()}
    made["node-hook-plugin"] = rendered({"kubevirt": {"nodeHook": {"enabled": True}}}, "--show-only", "templates/node-hook-plugin.yaml")
    made |= {name: _static_pod(rendered(profile, "--show-only", "templates/daemonset.yaml")) for name, profile in STATIC_PODS.items()}
    return {f"manifests/{name}.yaml": HEADER.format(title=TITLES[name]) + text.rstrip("\n") + "\n" for name, text in made.items()}


def _static_pod(daemon_set):
    """The pod of a DaemonSet as one that a kubelet reads from a file: of what the API server has there is nothing."""
    spec = yaml.safe_load(daemon_set)["spec"]["template"]["spec"]
    # There is no older daemon either that a wrong configuration should leave alone.
    for name in ("serviceAccountName", "nodeSelector", "tolerations", "initContainers"):
        del spec[name]
    for volume in spec["volumes"]:
        if "configMap" in volume:
            del volume["configMap"]
            volume["hostPath"] = {"path": "/etc/vfio-doorbell", "type": "Directory"}
    pod = {"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": "vfio-doorbell-plugin", "namespace": NAMESPACE,
                        "labels": {"app.kubernetes.io/name": "vfio-doorbell"}}, "spec": spec}
    return yaml.safe_dump(pod, sort_keys=False, width=140)
