# SPDX-License-Identifier: Apache-2.0
"""The node of a kind cluster with the devices of a captured arm64 machine: no kernel moves a window here."""

import copy

import yaml

import chart
from vlab import waiting

SHAPE = "arm64-smmuv3-emulated"
# Where the node has the captured machine, and where the daemon does.
TREE = "/var/lib/fake-sysfs"
SYSFS = "/fake-sysfs"
NVME = "lab.example/nvme"
EDU = "lab.example/edu"
# In SHAPE: an NVMe disk in group 0, an edu device in group 5, two of them in group 6.
OFFERED = {NVME: "1", EDU: "2"}
GROUPS = {0, 5, 6}
DEFAULT_WINDOW = (0x08000000, 0x00100000)
FIRST_WINDOW = (0x09100000, 0x00100000)
VALUES = {
    "config": yaml.safe_load((chart.ROOT / "tests" / "e2e" / "config.yaml").read_text(encoding="utf-8")),
    "pod": {"nodeSelector": {"kubernetes.io/arch": "amd64"}},
    "daemon": {
        "extraArgs": [f"--sysfs-root={SYSFS}"],
        "extraVolumes": [{"name": "fake-sysfs", "hostPath": {"path": TREE, "type": "Directory"}}],
        "extraVolumeMounts": [{"name": "fake-sysfs", "mountPath": SYSFS}],
    },
}


def with_tree(tree):
    """Changes to VALUES: the daemon sees another folder of the node as its sysfs."""
    volumes = copy.deepcopy(VALUES["daemon"]["extraVolumes"])
    volumes[0]["hostPath"]["path"] = tree
    return {"daemon": {"extraVolumes": volumes}}


def add_device_nodes(cluster):
    """What VFIO makes, and for each group; a device that is there takes its place."""
    cluster.on_node(f"mkdir -p /dev/vfio && for n in vfio {' '.join(map(str, GROUPS))}; do mknod /dev/vfio/$n c 1 3; done")


def wait_until_offered(release, idle_s=20):
    """Returns when the node offers what it has."""
    node = release.cluster.node
    waiting.wait_for(f"{node} offers {OFFERED}", lambda: release.allocatable(node) == OFFERED, idle_s,
                     evidence=release.cluster.state_of_pods, every_s=0.5)


def knob_of(group):
    """Where the node has the knob of a group."""
    return f"{TREE}/kernel/iommu_groups/{group}/msi_window"


def window_of(cluster, group):
    """Start and size of the window of a group."""
    text = cluster.on_node(f"cat {knob_of(group)}").strip()
    if text == "default":
        # The daemon's word for it. A kernel would answer with numbers from then on.
        cluster.on_node(f"echo '{DEFAULT_WINDOW[0]:#x} {DEFAULT_WINDOW[1]:#x}' > {knob_of(group)}")
        return DEFAULT_WINDOW
    start, size = text.split()
    return int(start, 16), int(size, 16)


def wait_until_given_back(cluster):
    """Returns when no group has a window that was given to a pod."""
    waiting.wait_for("all windows are given back", lambda: {window_of(cluster, group) for group in GROUPS} == {DEFAULT_WINDOW}, 40, every_s=1)


def pause_image(cluster):
    """What the image of a program that does nothing is called: there is one on every node."""
    return next(name for name in cluster.on_node("ctr --namespace k8s.io images list --quiet").split() if "/pause:" in name)


def device_pod(cluster):
    """The manifest of a pod `device` that asks for the NVMe and does nothing."""
    return (chart.ROOT / "tests" / "e2e" / "device_pod.yaml").read_text(encoding="utf-8").replace("PAUSE", pause_image(cluster))
