# SPDX-License-Identifier: Apache-2.0
"""The chart on a kind cluster of one amd64 node, whose devices are those of a captured arm64 machine: no kernel moves a window here.

    /usr/bin/python3 -m pytest tests/e2e/kind_test.py

needs root and what scripts/install-deps installs; builds what is not in the cache. Each case runs alone too. What is known of a cluster
on which one has failed is in build/e2e.
"""

import json
import sys

import chart
from captured_node import DEFAULT_WINDOW, FIRST_WINDOW, GROUPS, OFFERED, device_pod, wait_until_given_back, wait_until_offered, window_of

sys.path.insert(0, str(chart.ROOT / "tests" / "controller"))

import programs  # noqa: E402
from vlab import waiting  # noqa: E402

# The daemon refuses it, and the schema of the values cannot know.
BAD_CONFIG = {"config": {"window": {"pool": {"start": "0x09080000", "end": "0x10000000"}}}}
WAIT_FOR_WINDOWS = "kubectl wait doorbellnodes --all --for=jsonpath='{.status.counts.reserved}'=0 --timeout=60s"
EXAMPLES = sorted((chart.ROOT / "manifests" / "examples").glob("vm-*.yaml"))


def test_the_node_offers_its_devices(release):
    wait_until_offered(release)
    daemon, = release.pods()
    assert chart.is_ready(daemon)


def test_the_release_tests_itself(release):
    answer = release.helm("test", chart.NAME, "--timeout", f"{int(20 * waiting.PATIENCE)}s")
    assert answer.status == 0, answer.err


def test_doorbellnodes_show_the_groups(release):
    node = release.cluster.node

    def shown():
        found = release.cluster.ask(["kubectl", "get", "doorbellnode", node, "-o", "json"])
        return json.loads(found.out)["status"] if found.status == 0 else {}

    waiting.wait_for("the DoorbellNode has all devices", lambda: {d["group"] for d in shown().get("devices", [])} == GROUPS, 20,
                     evidence=lambda: json.dumps(shown()), every_s=0.5)
    table = release.cluster.kubectl("get", "doorbellnodes")
    assert node in table
    condition = chart.condition(release.cluster, node)
    assert (condition["status"], condition["reason"]) == ("True", "Ready")


def test_a_wrong_value_stops_helm_with_its_key(release):
    answer = release.upgrade({"config": {"mode": "enforced"}})
    assert answer.status != 0
    assert "mode" in answer.err


def test_a_configuration_that_the_daemon_refuses_leaves_the_old_pods(release):
    wait_until_offered(release)
    old, = release.pods()
    with chart.watching(release.cluster, release.cluster.node, release.cluster.directory / "refused.watch"):
        assert release.upgrade(BAD_CONFIG).status == 0

        def refusal():
            for pod in release.pods():
                for status in pod["status"].get("initContainerStatuses", []):
                    ended = (status["state"].get("terminated") or status.get("lastState", {}).get("terminated"))
                    if ended and ended["exitCode"] != 0:
                        return ended["message"]
            return None

        said = waiting.wait_for("the check of the configuration has failed", refusal, 30, evidence=release.cluster.state_of_pods, every_s=0.5)
        assert 'window.pool.start: "0x09080000" is not a multiple of 0x100000' in said
        assert [pod["metadata"]["uid"] for pod in release.pods() if chart.is_ready(pod)] == [old["metadata"]["uid"]]
    assert_never_less(release.cluster.directory / "refused.watch")


def assert_never_less(log):
    """In no change of the node that was watched it offered less than it has."""
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        assert chart.offered(json.loads(line)) == OFFERED


def test_an_upgrade_keeps_what_is_offered(release):
    wait_until_offered(release)
    old, = release.pods()
    log = release.cluster.directory / "upgrade.watch"
    with chart.watching(release.cluster, release.cluster.node, log):
        release.ensure({"log": {"level": "debug"}})
        waiting.wait_for("the old daemon is gone", lambda: len(release.pods()) == 1, 20, every_s=0.5)
        # Its kubelet has heard of the end of the old one by now if ever.
        release.cluster.kubectl("wait", "--for=delete", f"pod/{old['metadata']['name']}", "-n", chart.NAMESPACE, "--timeout=120s")
    new, = release.pods()
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert_never_less(log)
    assert release.allocatable(release.cluster.node) == OFFERED


def test_a_restarted_kubelet_is_registered_with_again(release):
    wait_until_offered(release)
    release.cluster.on_node("systemctl restart kubelet")
    waiting.wait_for("the kubelet serves", lambda: release.cluster.ask(
        ["docker", "exec", release.cluster.node, "curl", "-fs", "http://127.0.0.1:10248/healthz"]).out == "ok", 20, every_s=0.5)
    wait_until_offered(release)


def test_observing_needs_no_right(release):
    release.ensure({"config": {"mode": "observe"}})
    wait_until_offered(release)
    daemon, = release.pods()
    container = next(c for c in daemon["spec"]["containers"] if c["name"] == "daemon")
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    pid = release.cluster.on_node("pgrep --full --oldest '^/vfio-doorbell-plugin'").strip()
    status = release.cluster.on_node(f"grep -E '^Cap(Prm|Eff|Bnd)' /proc/{pid}/status")
    assert [int(line.split()[1], 16) for line in status.splitlines()] == [0, 0, 0]


def test_a_pod_gets_a_device_and_its_window_and_gives_both_back(release):
    cluster = release.cluster
    wait_until_offered(release)
    wait_until_given_back(cluster)
    cluster.kubectl("apply", "-f", "-", stdin=device_pod(cluster))
    try:
        cluster.kubectl("wait", "--for=condition=Ready", "pod/device", f"--timeout={int(20 * waiting.PATIENCE)}s")
        assert window_of(cluster, 0) == FIRST_WINDOW
        pid = cluster.on_node("pgrep --full --newest '^/pause'").strip()
        environment = cluster.on_node(f"tr '\\0' '\\n' < /proc/{pid}/environ")
        assert "PCI_RESOURCE_LAB_EXAMPLE_NVME=0000:00:10.0" in environment.splitlines()
        assert cluster.on_node(f"ls /proc/{pid}/root/dev/vfio").split() == ["0", "vfio"]
    finally:
        cluster.kubectl("delete", "pod", "device", "--ignore-not-found")
    wait_until_given_back(cluster)


def test_the_examples_are_accepted(release):
    """By KubeVirt's own schema of a VM, on a server: nothing of it is written."""
    cluster = release.cluster
    name = chart.define(cluster, programs.kubevirt_crd("VirtualMachine"))
    try:
        assert EXAMPLES
        for example in EXAMPLES:
            answer = cluster.ask(["kubectl", "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", example])
            assert answer.status == 0, answer.err
    finally:
        cluster.kubectl("delete", "crd", name, "--ignore-not-found")


def test_uninstalling_leaves_nothing(release):
    cluster = release.cluster
    wait_until_offered(release)
    wait_until_given_back(cluster)
    cluster.kubectl("apply", "-f", "-", stdin=device_pod(cluster))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/device", f"--timeout={int(20 * waiting.PATIENCE)}s")
    cluster.kubectl("delete", "pod", "device")
    assert window_of(cluster, 0) != DEFAULT_WINDOW
    # As the page says it.
    assert WAIT_FOR_WINDOWS in (chart.ROOT / "docs" / "install.md").read_text(encoding="utf-8").splitlines()
    cluster.run("sh", "-c", WAIT_FOR_WINDOWS)
    assert {window_of(cluster, group) for group in GROUPS} == {DEFAULT_WINDOW}
    release.uninstall()
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    assert "doorbellnodes.vfio-doorbell.io" not in kinds

    def left():
        return cluster.kubectl("get", ",".join(kinds), "--all-namespaces", "-l", chart.LABEL, "-o", "name", "--ignore-not-found")

    # What belongs to what was deleted goes a little later.
    waiting.wait_for("no object is left", lambda: left() == "", 20, evidence=left, every_s=0.5)
    # The kubelet remembers a resource until it starts anew, and has none of it.
    waiting.wait_for("the node offers nothing", lambda: set(release.allocatable(cluster.node).values()) <= {"0"}, 20, every_s=0.5)
    assert cluster.on_node("ls /var/lib/kubelet/device-plugins").split() == ["kubelet.sock", "kubelet_internal_checkpoint"]
    assert cluster.on_node("find /run/vfio-doorbell -type s") == ""
    metadata = cluster.get("node", cluster.node)["metadata"]
    assert not [key for key in {**metadata["labels"], **metadata["annotations"]} if "doorbell" in key]
    for group in GROUPS:
        assert window_of(cluster, group) == DEFAULT_WINDOW
