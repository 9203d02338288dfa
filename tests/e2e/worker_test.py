# SPDX-License-Identifier: Apache-2.0
"""The chart on a kind cluster whose worker is the emulated arm64 host: SMMUv3, two NVMe disks, edu devices, the patched kernel.

    /usr/bin/python3 -m pytest tests/e2e/worker_test.py

needs root and what scripts/install-deps installs; builds what is not in the cache. Each case runs alone too. What is known of a cluster
on which one has failed is in build/e2e.
"""

import json
import re
import sys

import pytest
import yaml

import chain
import chart
import program_images

sys.path.insert(0, str(chart.ROOT / "tests" / "controller"))

import programs  # noqa: E402
from vlab import cluster as clusters  # noqa: E402
from vlab import images, kernels, podimages, rootfs, waiting  # noqa: E402
from vlab.worker import Worker  # noqa: E402

KINDS = ("nvme", "nvme", "edu", "pair")
OFFERED = {chain.NVME: "2", chain.EDU: "2"}
# The groups of KINDS: the functions of the last one share theirs.
DISKS = slice(0, 2)
# KubeVirt knows devices by their vendor.
RESOURCES = {chain.NVME: {"vendor": "1b36", "device": "0010"}, chain.EDU: {"vendor": "1234", "device": "11e8"}}
VALUES = {
    "config": {"resources": [{"name": name, "selectors": [selector]} for name, selector in RESOURCES.items()]},
    "kubevirt": {"enabled": True},
    "controller": {"nodeSelector": {"kubernetes.io/arch": "arm64"}},
}
PERMITTED = [{"pciVendorSelector": f"{selector['vendor']}:{selector['device']}".upper(), "resourceName": name,
              "externalResourceProvider": True} for name, selector in RESOURCES.items()]


@pytest.fixture(scope="session", name="archives")
def archives_fixture():
    """The images that the worker has."""
    return [podimages.pause(), podimages.vm(kernels.find("patched").image), *program_images.archives("arm64")]


@pytest.fixture(scope="session", name="cluster")
def cluster_fixture(archives):
    """A cluster for the worker, which knows KubeVirt's CR, has one, and has no KubeVirt."""
    assert archives
    cluster = clusters.Cluster("test-worker").up(bound=True)
    try:
        chart.define(cluster, programs.kubevirt_crd())
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt",
                                                              "metadata": {"name": "kubevirt", "namespace": "default"}, "spec": {}}))
        yield cluster
    finally:
        cluster.down()


@pytest.fixture(scope="session", name="worker")
def worker_fixture(cluster, archives):
    """The emulated host with our kernel, a node of the cluster."""
    worker = Worker(cluster, "arm").up(kernels.find("patched"), rootfs.build(), images.disk(archives), KINDS, bound=True)
    try:
        yield worker
    finally:
        worker.down()


@pytest.fixture(name="stock")
def stock_fixture(cluster, archives, request):
    """The emulated host with Debian's own kernel, another node of the cluster."""
    stock = Worker(cluster, "stock", 1).up(kernels.find("stock"), rootfs.build(), images.disk(archives), KINDS, bound=True)
    try:
        with chart.logs_kept_on_failure(request, cluster, [stock]):
            yield stock
    finally:
        stock.down()


@pytest.fixture(scope="session", name="session_release")
def session_release_fixture(cluster):
    """The one release of all cases."""
    return chart.Release(cluster, VALUES)


@pytest.fixture(name="release")
def release_fixture(session_release, worker, request):
    """The release with its values, all of it ready. The logs are kept if a case fails on it."""
    with chart.logs_kept_on_failure(request, session_release.cluster, [worker]):
        session_release.ensure()
        wait_until_offered(session_release, worker)
        yield session_release


def wait_until_offered(release, worker, is_told_anew=lambda: True):
    """Returns when the worker offers what it has, once it tells anew."""
    waiting.wait_for(f"{worker.name} offers {OFFERED}", lambda: is_told_anew() and release.allocatable(worker.name) == OFFERED, 40,
                     evidence=release.cluster.state_of_pods, give_up=worker.death, every_s=1)


class Vm:
    """A pod with a VM that reads its disk again and again."""

    def __init__(self, cluster, worker, name):
        self._cluster = cluster
        self._worker = worker
        self.name = name
        self.device = None  # the function that it has

    def __enter__(self):
        manifest = yaml.safe_load(chain.VM_MANIFEST.read_text(encoding="utf-8"))
        manifest["metadata"]["name"] = self.name
        manifest["spec"]["nodeSelector"] = {"kubernetes.io/hostname": self._worker.name}
        self._cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))
        try:
            waiting.wait_for(f"the guest of {self.name} has read its disk", lambda: re.search("^guest: done", self.output(), re.MULTILINE), 60,
                             evidence=lambda: self.output() + self._cluster.state_of_pods(), give_up=self._worker.death, every_s=1)
        except BaseException:
            self.__exit__()
            raise
        self.device = re.search(r"^vm: env PCI_RESOURCE_LAB_EXAMPLE_NVME=(\S+)$", self.output(), re.MULTILINE)[1]
        return self

    def __exit__(self, *_):
        self._cluster.kubectl("delete", "pod", self.name, "--ignore-not-found", f"--timeout={int(20 * waiting.PATIENCE)}s")

    def output(self):
        """What its pod has printed."""
        return self._cluster.ask(["kubectl", "logs", self.name]).out.replace("\r", "")

    def window(self):
        """Where the group of its device has its doorbells."""
        window, = chain.describe_group(self._worker, self.device).msi
        return window

    def doorbells(self):
        """The addresses that its device signals at, by the device's own registers."""
        return {int(line.split()[2], 16) for line in self._worker.run(f"msi-address {self.device}").splitlines()}

    def reads(self):
        """What it has read so far: [(how often, checksum)]."""
        return [(int(count), checksum) for count, checksum in re.findall(r"^guest: read (\d+) (\w+)$", self.output(), re.MULTILINE)]

    def wait_for_reads(self):
        """Returns when it has read its disk twice more, rightly: interrupts still arrive."""
        # A kubelet that has just started may not show the output yet.
        before = waiting.wait_for(f"{self.name} has read", lambda: len(self.reads()), 20, evidence=self.output, give_up=self._worker.death,
                                  every_s=1)
        waiting.wait_for(f"{self.name} reads on", lambda: len(self.reads()) >= before + 2, 20, evidence=self.output, give_up=self._worker.death,
                         every_s=1)
        assert {checksum for _, checksum in self.reads()} == {chain.expected_sha256()}


def windows(worker):
    """Where the groups of the worker's devices have their doorbells."""
    return {window for bdf in worker.bdfs for window in chain.describe_group(worker, bdf).msi}


def wait_until_given_back(worker):
    """Returns when no window is reserved and all are where the kernel has them by itself."""
    waiting.wait_for(f"the windows of {worker.name} are given back",
                     lambda: not chain.reservations(worker) and windows(worker) == {chain.KERNEL_DEFAULT}, 40,
                     evidence=lambda: f"{windows(worker)} {chain.reservations(worker)}", give_up=worker.death, every_s=1)


def permitted(cluster):
    """The host devices that KubeVirt's CR permits."""
    spec = cluster.get("kubevirt", "kubevirt")["spec"]
    return spec.get("configuration", {}).get("permittedHostDevices", {}).get("pciHostDevices", [])


def told(cluster, worker):
    """What the worker's DoorbellNode tells of windows: {"default/vm": Window}."""
    devices = cluster.get("doorbellnode", worker.name)["status"]["devices"]
    reserved = {device["pod"]: [int(number, 16) for number in device["window"].split()] for device in devices if "pod" in device}
    return {pod: chain.Window(start, start + size - 1) for pod, (start, size) in reserved.items()}


def wait_until_said(cluster, worker, status, reason):
    """Returns when the daemon's condition of the worker is this."""
    def said():
        found = chart.condition(cluster, worker.name)
        return found.get("status"), found.get("reason")

    waiting.wait_for(f"{worker.name} says {reason}", lambda: said() == (status, reason), 20, evidence=lambda: str(said()),
                     give_up=worker.death, every_s=1)


def test_each_vm_has_a_window_of_its_own_and_gives_it_back(release, worker):
    with Vm(release.cluster, worker, "vm-a") as first, Vm(release.cluster, worker, "vm-b") as second:
        assert sorted(vm.device for vm in (first, second)) == worker.bdfs[DISKS]
        for vm in (first, second):
            window = vm.window()
            assert chain.POOL.holds(window.start) and chain.POOL.holds(window.end)
            assert vm.doorbells() == {window.start + chain.TRANSLATER}
            assert re.search(r"^guest: interrupts [1-9]", vm.output(), re.MULTILINE)
            assert f"guest: sha256 {chain.expected_sha256()}" in vm.output()
        assert first.window() != second.window()
        shown = {f"default/{vm.name}": vm.window() for vm in (first, second)}
        waiting.wait_for("the DoorbellNode has both", lambda: told(release.cluster, worker) == shown, 20,
                         evidence=lambda: str(told(release.cluster, worker)), give_up=worker.death, every_s=1)
    wait_until_given_back(worker)


def test_the_cluster_is_told(release, worker):
    wait_until_said(release.cluster, worker, "True", "Ready")
    waiting.wait_for("KubeVirt permits what is offered", lambda: permitted(release.cluster) == PERMITTED, 40,
                     evidence=lambda: str(permitted(release.cluster)), give_up=worker.death, every_s=1)


def test_a_vm_goes_on_over_an_update(release, worker):
    with Vm(release.cluster, worker, "vm") as vm:
        old, = release.pods()
        window = vm.window()
        release.ensure({"log": {"level": "debug"}})
        release.cluster.kubectl("wait", "--for=delete", f"pod/{old['metadata']['name']}", "-n", chart.NAMESPACE, "--timeout=300s")
        new, = release.pods()
        assert new["metadata"]["uid"] != old["metadata"]["uid"]
        vm.wait_for_reads()
        assert vm.window() == window
    # By the new daemon, which has the books of the old one.
    wait_until_given_back(worker)


def test_a_vm_goes_on_over_a_restart_of_the_kubelet(release, worker):
    with Vm(release.cluster, worker, "vm") as vm:
        window = vm.window()
        # Killed, so that what is told of the node from the next second on is told by its successor.
        killed = worker.run("pkill -KILL -x kubelet && date --utc +%Y-%m-%dT%H:%M:%SZ").strip()
        wait_until_offered(release, worker, lambda: chart.condition(release.cluster, worker.name, "Ready")["lastHeartbeatTime"] > killed)
        vm.wait_for_reads()
        assert vm.window() == window
    wait_until_given_back(worker)


def test_draining_the_node_ends_the_vm_and_leaves_the_daemon(release, worker):
    cluster = release.cluster
    daemon, = release.pods()
    with Vm(cluster, worker, "vm"):
        try:
            cluster.kubectl("drain", worker.name, "--ignore-daemonsets", "--force", f"--timeout={int(30 * waiting.PATIENCE)}s")
            assert cluster.ask(["kubectl", "get", "pod", "vm"]).status != 0
            assert [pod["metadata"]["uid"] for pod in release.pods()] == [daemon["metadata"]["uid"]]
            wait_until_given_back(worker)
        finally:
            cluster.kubectl("uncordon", worker.name)


def test_a_node_that_has_lost_power_offers_its_devices_again(release, worker):
    def boot_id():
        return release.cluster.get("node", worker.name)["status"]["nodeInfo"]["bootID"]

    former = boot_id()
    with Vm(release.cluster, worker, "vm"):
        worker.power_cycle(kernels.find("patched"), KINDS, bound=True)
        # Until its kubelet says so, the server has the node as it was.
        wait_until_offered(release, worker, lambda: boot_id() != former)
    wait_until_given_back(worker)
    with Vm(release.cluster, worker, "vm") as vm:
        assert chain.POOL.holds(vm.window().start)
        vm.wait_for_reads()


def test_uninstalling_leaves_windows_and_sockets_as_they_were(release, worker):
    cluster = release.cluster
    with Vm(cluster, worker, "vm") as vm:
        assert chain.POOL.holds(vm.window().start)
    wait_until_given_back(worker)
    release.uninstall()
    # Helm does not wait for what belongs to what it has deleted.
    waiting.wait_for("the pods of the release are gone", lambda: not cluster.get("pods", "-n", chart.NAMESPACE, "-l", chart.LABEL)["items"], 20,
                     evidence=cluster.state_of_pods, every_s=1)
    assert windows(worker) == {chain.KERNEL_DEFAULT}
    assert worker.run("find /var/lib/kubelet/device-plugins /run/vfio-doorbell -type s").split() == ["/var/lib/kubelet/device-plugins/kubelet.sock"]
    assert permitted(cluster) == []
    waiting.wait_for(f"{worker.name} offers nothing", lambda: set(release.allocatable(worker.name).values()) <= {"0"}, 20, every_s=1)


def test_a_kernel_without_the_knob_is_said_and_keeps_its_window(session_release, stock):
    cluster = session_release.cluster
    session_release.ensure()
    wait_until_said(cluster, stock, "False", "KernelWithoutKnob")
    session_release.ensure({"config": {"mode": "observe"}})
    wait_until_said(cluster, stock, "True", "Observing")
    wait_until_offered(session_release, stock)
    with Vm(cluster, stock, "vm") as vm:
        assert vm.window() == chain.KERNEL_DEFAULT
        assert vm.doorbells() == {chain.KERNEL_DEFAULT.start + chain.TRANSLATER}
        vm.wait_for_reads()
