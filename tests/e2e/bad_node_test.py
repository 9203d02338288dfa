# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a node, said where an administrator looks: the log, `kubectl describe`, the node's condition (docs/install.md).

    /usr/bin/python3 -m pytest tests/e2e/bad_node_test.py

on the cluster of kind_test.py. Each case runs alone too.
"""

import json

import pytest

import captured_node
import chart
from vlab import oci, waiting

# Sentences begin in the same way whatever the machine of this test confines.
DENIED = f"cannot open {captured_node.SYSFS}/kernel/iommu_groups/0/msi_window for writing: Permission denied"
READ_ONLY = f"cannot open {captured_node.SYSFS}/kernel/iommu_groups/0/msi_window for writing: it is mounted read-only"
NO_DRIVER = ("0000:00:10.0 has no driver; a VFIO driver must be bound to it; there is no "
             f"{captured_node.SYSFS}/bus/pci/drivers/vfio-pci; load the module vfio-pci")
NO_NODES = ("its device node /dev/vfio/0 is missing, and so is /dev/vfio/vfio: the kernel of this host has no VFIO, or its /dev/vfio is not "
            "seen here")
NO_KUBELET = "the kubelet does not watch lab.example/nvme: there is no socket /run/vfio-doorbell/kubelet.sock of a kubelet"
ELF_OF_ARM64 = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + (2).to_bytes(2, "little") + (183).to_bytes(2, "little") + bytes(44)


def condition(cluster):
    """What the node says of itself: "False Reason: message"."""
    found = chart.condition(cluster, cluster.node)
    return f"{found['status']} {found['reason']}: {found['message']}" if found else ""


def pod_of(release):
    """The youngest pod of the daemon; None: there is none yet."""
    pods = release.pods()
    return pods[-1] if pods else None


def log_of(release, container):
    """What a container of that pod has printed, this time or the last."""
    pod = pod_of(release)
    if not pod:
        return ""
    words = ["kubectl", "logs", "-n", chart.NAMESPACE, pod["metadata"]["name"], "-c", container]
    return release.cluster.ask(words).out + release.cluster.ask([*words, "--previous"]).out


def description_of(release):
    """`kubectl describe` of that pod."""
    return release.cluster.kubectl("describe", "pod", "-n", chart.NAMESPACE, "-l", "app.kubernetes.io/component=daemon")


def restarts_of(release):
    """Of each container of that pod, as often as it was started anew."""
    status = pod_of(release)["status"]
    return {one["name"]: one["restartCount"] for one in status.get("initContainerStatuses", []) + status.get("containerStatuses", [])}


def wait_until_said(where, text, sentence):
    """Returns when `text()` has the sentence."""
    # kubectl breaks no lines.
    waiting.wait_for(f"{where} says {sentence!r}", lambda: sentence in text(), 20, evidence=text, every_s=0.5)


def assert_said_by_a_daemon_that_stays(release, log, event, wanted):
    """In each of the three places: the log has `log`, the node an Event with `event`, and its condition begins with `wanted`."""
    cluster = release.cluster
    wait_until_said("the daemon's log", lambda: log_of(release, "daemon"), log)
    wait_until_said("kubectl describe node", lambda: cluster.kubectl("describe", "node", cluster.node), event)
    wait_until_said("the condition", lambda: condition(cluster), wanted)
    assert restarts_of(release) == {"check-config": 0, "daemon": 0, "monitor": 0}


def copy_of_the_tree(cluster, name, change):
    """A copy of the captured machine on the node, changed by a shell script that runs in it; returns its path."""
    path = f"/var/lib/{name}"
    cluster.on_node(f"rm -rf {path} && cp -a {captured_node.TREE} {path} && cd {path} && {change}")
    return path


def test_a_kernel_without_the_knob(release):
    tree = copy_of_the_tree(release.cluster, "no-knob", "find . -name msi_window -delete")
    release.ensure(captured_node.with_tree(tree))
    assert_said_by_a_daemon_that_stays(
        release, log='observe mode reason=no_knob text="this kernel has no msi_window attribute"',
        event="NoKnob", wanted="False KernelWithoutKnob: the kernel of this node has no msi_window in /sys/kernel/iommu_groups")
    assert chart.is_ready(pod_of(release))
    # With the window that they have.
    captured_node.wait_until_offered(release)


def test_no_vfio_pci(release):
    tree = copy_of_the_tree(release.cluster, "no-vfio-pci", "find . -name uevent -exec sed -i /^DRIVER=/d {} +")
    release.ensure(captured_node.with_tree(tree))
    assert_said_by_a_daemon_that_stays(release, log=NO_DRIVER, event=NO_DRIVER,
                                       wanted=f"False NoHealthyDevice: none of 3 devices is healthy; 0000:00:10.0: {NO_DRIVER}")
    assert chart.is_ready(pod_of(release))
    waiting.wait_for("the node offers nothing", lambda: set(release.allocatable(release.cluster.node).values()) == {"0"}, 20, every_s=0.5)


def test_no_dev_vfio(fresh):
    cluster = fresh.cluster
    cluster.on_node("rm -r /dev/vfio")
    try:
        fresh.ensure()
        assert_said_by_a_daemon_that_stays(fresh, log=NO_NODES, event=NO_NODES,
                                           wanted=f"False NoHealthyDevice: none of 3 devices is healthy; 0000:00:10.0: {NO_NODES}")
        assert chart.is_ready(pod_of(fresh))
    finally:
        # The daemon's folder is this one: it sees the nodes when they come.
        captured_node.add_device_nodes(cluster)


@pytest.mark.parametrize("script,read_only,sentence", [("chmod 444 kernel/iommu_groups/*/msi_window", False, DENIED), ("true", True, READ_ONLY)],
                         ids=["by-mode", "by-mount"])
def test_the_knob_must_not_be_written(release, script, read_only, sentence):
    """As AppArmor or SELinux would have it: this machine has neither."""
    cluster = release.cluster
    changes = captured_node.with_tree(copy_of_the_tree(cluster, "denied", script))
    changes["daemon"]["extraVolumeMounts"] = [{"name": "fake-sysfs", "mountPath": captured_node.SYSFS, "readOnly": read_only}]
    release.ensure(changes)
    assert_said_by_a_daemon_that_stays(release, log=sentence, event=sentence, wanted=f"False KnobNotWritable: {sentence}")
    assert chart.is_ready(pod_of(release))
    captured_node.wait_until_offered(release)
    cluster.kubectl("apply", "-f", "-", stdin=captured_node.device_pod(cluster))
    try:
        wait_until_said("the pod that asks for a device", lambda: cluster.kubectl("describe", "pod", "device"), sentence)
    finally:
        cluster.kubectl("delete", "pod", "device")


def test_the_folder_of_the_kubelet_is_elsewhere(fresh):
    before = condition(fresh.cluster)
    assert fresh.upgrade({"kubeletDir": "/var/lib/elsewhere"}).status == 0
    wait_until_said("kubectl describe pod", lambda: description_of(fresh), "/var/lib/elsewhere/pod-resources is not a directory")
    # No container of it has been started, so that there is no log and nobody who would change the condition.
    assert set(restarts_of(fresh).values()) == {0}
    assert log_of(fresh, "check-config") == ""
    assert condition(fresh.cluster) == before


def test_no_kubelet_listens(fresh):
    arguments = [*captured_node.VALUES["daemon"]["extraArgs"], "--kubelet-dir=/run/vfio-doorbell"]
    assert fresh.upgrade({"daemon": {"extraArgs": arguments}}).status == 0
    assert_said_by_a_daemon_that_stays(
        fresh, log='warning not registered resource=lab.example/nvme reason=not_registered error="there is no socket',
        event="there is no socket /run/vfio-doorbell/kubelet.sock of a kubelet", wanted=f"False NotRegistered: {NO_KUBELET}")
    wait_until_said("kubectl describe pod", lambda: description_of(fresh), f"Readiness probe failed: vfio-doorbell-plugin: {NO_KUBELET}")
    assert not chart.is_ready(pod_of(fresh))


def assert_last_words(release, sentence):
    """The daemon ends, is started again, and each time its last words are kept."""
    waiting.wait_for("the daemon is started again", lambda: pod_of(release) and restarts_of(release).get("daemon", 0) > 0, 30,
                     evidence=release.cluster.state_of_pods, every_s=0.5)
    wait_until_said("the daemon's log", lambda: log_of(release, "daemon"), sentence)
    wait_until_said("kubectl describe pod", lambda: description_of(release), sentence)
    wait_until_said("the condition", lambda: condition(release.cluster), "Unknown DaemonSilent: the daemon does not answer: ")


def test_a_folder_that_must_not_be_written(fresh):
    arguments = [*captured_node.VALUES["daemon"]["extraArgs"], "--data-dir=/proc/ledger"]
    assert fresh.upgrade({"daemon": {"extraArgs": arguments}}).status == 0
    assert_last_words(fresh, "vfio-doorbell-plugin: cannot make the folder /proc/ledger")


def test_no_iommu(fresh):
    tree = copy_of_the_tree(fresh.cluster, "no-iommu", "rm -r kernel/iommu_groups/*")
    assert fresh.upgrade(captured_node.with_tree(tree)).status == 0
    assert_last_words(fresh, f"vfio-doorbell-plugin: {captured_node.SYSFS}/kernel/iommu_groups is empty")


def test_an_image_for_another_architecture(fresh, tmp_path):
    cluster = fresh.cluster
    program = tmp_path / "tree" / "vfio-doorbell-plugin"
    program.parent.mkdir()
    program.write_bytes(ELF_OF_ARM64)
    program.chmod(0o755)
    archive = tmp_path / "image.tar"
    # Of the node's architecture by its label only; one with the right label is not pulled at all.
    oci.write_archive(archive, "docker.io/library/vfio-doorbell-plugin:foreign", [
        oci.Platform("amd64", [oci.layer(program.parent, tmp_path / "layer", 0)], {"Entrypoint": ["/vfio-doorbell-plugin"]}, [])], 0)
    cluster.load(archive)
    before = condition(cluster)
    assert fresh.upgrade({"image": {"tag": "foreign"}}).status == 0
    sentence = "exec /vfio-doorbell-plugin: exec format error"
    wait_until_said("the log of check-config", lambda: log_of(fresh, "check-config"), sentence)
    wait_until_said("kubectl describe pod", lambda: description_of(fresh), sentence)
    # Nothing of ours has run that could change it.
    assert condition(cluster) == before


def test_no_node_is_selected(fresh):
    cluster = fresh.cluster
    assert fresh.upgrade({"pod": {"nodeSelector": {"kubernetes.io/arch": "arm64"}}}).status == 0

    def status():
        return cluster.get("daemonset", "-n", chart.NAMESPACE, chart.NAME)["status"]

    waiting.wait_for("the DaemonSet has been looked at", lambda: status().get("observedGeneration"), 10, evidence=lambda: json.dumps(status()))
    assert status()["desiredNumberScheduled"] == 0
