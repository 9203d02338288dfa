# SPDX-License-Identifier: Apache-2.0
"""The real controller on a real API server with KubeVirt's CRD, with the rights of manifests/kubevirt.yaml and no more.

    /usr/bin/python3 -m pytest tests/controller

needs root, what scripts/install-deps installs, and build/release/plugin/vfio-doorbell-controller (VFIO_DOORBELL_CONTROLLER names
another one); builds what is not in the cache.
"""

import json
import os
import pathlib
import signal
import sys
import urllib.request

import pytest
import yaml

import cluster as clusters
from vlab import tools, waiting

sys.path.insert(0, str(clusters.ROOT / "scripts"))

import rendered_manifests  # noqa: E402

MARK = "vfio-doorbell.io/permitted-host-devices"
EXAMPLES = clusters.ROOT / "manifests" / "examples"
NVME = {"pciVendorSelector": "1B36:0010", "resourceName": "vendor.example/nvme", "externalResourceProvider": True}
GPU = {"pciVendorSelector": "10DE:1EB8", "resourceName": "vendor.example/gpu", "externalResourceProvider": True}
FOREIGN = {"pciVendorSelector": "8086:1572", "resourceName": "intel.example/nic"}
RESOURCES = {
    "nvme": {"name": NVME["resourceName"], "selectors": [{"vendor": "1b36", "device": "0010"}]},
    "gpu": {"name": GPU["resourceName"], "selectors": [{"vendor": "10de", "device": "1eb8"}]},
    "any_nvidia": {"name": "vendor.example/any", "selectors": [{"vendor": "10de"}]},
}
METRICS = "127.0.0.1:9464"
RSS_LIMIT_KIB = 20 * 1024


@pytest.fixture(scope="session", name="cluster")
def cluster_fixture(tmp_path_factory):
    """A control plane with the objects of the manifest."""
    assert clusters.CONTROLLER.is_file(), f"{clusters.CONTROLLER} is missing: scripts/test controller builds it"
    cluster = clusters.Cluster(tmp_path_factory.mktemp("cluster"))
    clusters.enter_own_network()
    try:
        cluster.start()
        for document in rendered_manifests.documents("kubevirt", "controller"):
            cluster.apply(document)
        cluster.put_node("node-a", {"cpu": "4", NVME["resourceName"]: "2"})
        yield cluster
    finally:
        cluster.stop()


class Setting:
    """A KubeVirt CR, a configuration, and what a controller needs to be started on them."""

    def __init__(self, cluster, folder):
        self.cluster = cluster
        self._folder = folder
        self._config = folder / "config.yaml"
        self._children = []
        self.arguments = [f"--config={self._config}", f"--api-server={clusters.URL}", f"--token-file={cluster.account_token()}",
                          f"--ca-file={cluster.authorities}", "--lease-namespace=kube-system", "--interval=1", "--lease-duration=3"]
        self.configure("nvme", "gpu")

    def configure(self, *names):
        self.configure_as(yaml.safe_dump({"version": "v1", "resources": [RESOURCES[name] for name in names]}))

    def configure_as(self, text):
        new = self._config.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.rename(self._config)

    def start(self, name="controller", *arguments):
        child = clusters.Child([clusters.CONTROLLER, *self.arguments, f"--identity={name}", *arguments],
                               self._folder / f"{name}.log")
        self._children.append(child)
        return child

    def once(self, *arguments):
        return clusters.run_once(*self.arguments, *arguments)

    def close(self):
        for child in self._children:
            if child.is_alive():
                child.kill()

    def devices(self):
        permitted = self.cluster.kubevirt()["spec"].get("configuration", {}).get("permittedHostDevices", {})
        return permitted.get("pciHostDevices", [])

    def gates(self):
        return self.cluster.kubevirt()["spec"].get("configuration", {}).get("developerConfiguration", {}).get("featureGates", [])

    def wait_for_devices(self, *devices, idle_s=5):
        waiting.wait_for(f"KubeVirt permits {len(devices)} devices", lambda: self.devices() == list(devices), idle_s,
                         evidence=lambda: json.dumps(self.devices()) + "".join(f"\n{child.tail()}" for child in self._children))

    def looks(self):
        return len(self.cluster.requests(("get", "list")))

    def wait_for_looks(self, count):
        """Until the controller has looked that often from now on."""
        before = self.looks()
        waiting.wait_for(f"the controller has looked {count} times", lambda: self.looks() >= before + count, 2 * count)


@pytest.fixture(name="setting")
def setting_fixture(cluster, tmp_path):
    """An empty CR, and no lease of former tests."""
    cluster.admin.call("DELETE", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/vfio-doorbell-controller")
    cluster.put_kubevirt("kubevirt", {})
    setting = Setting(cluster, pathlib.Path(tmp_path))
    yield setting
    setting.close()
    cluster.delete(f"{clusters.KUBEVIRTS}/kubevirt")


def test_permits_what_a_node_offers_and_marks_it(setting):
    setting.start()
    setting.wait_for_devices(NVME)
    assert setting.gates() == ["HostDevices"]
    mark = json.loads(setting.cluster.kubevirt()["metadata"]["annotations"][MARK])
    assert mark["pciHostDevices"] == [["1B36:0010", "vendor.example/nvme"]]
    # The other one waits until a node comes.
    setting.cluster.put_node("node-b", {GPU["resourceName"]: "1"})
    try:
        setting.wait_for_devices(NVME, GPU)
    finally:
        setting.cluster.delete("/api/v1/nodes/node-b")
    # And stays when the node is gone.
    setting.wait_for_looks(3)
    assert setting.devices() == [NVME, GPU]


def test_of_the_examples_it_makes_what_their_patch_says(setting):
    patch = yaml.safe_load((EXAMPLES / "kubevirt-patch.yaml").read_text(encoding="utf-8"))
    wanted = patch["spec"]["configuration"]
    devices = wanted["permittedHostDevices"]["pciHostDevices"]
    setting.configure_as((EXAMPLES / "config.yaml").read_text(encoding="utf-8"))
    setting.cluster.put_node("node-b", {device["resourceName"]: "1" for device in devices})
    try:
        setting.start()
        setting.wait_for_devices(*devices)
    finally:
        setting.cluster.delete("/api/v1/nodes/node-b")
    assert setting.gates() == wanted["developerConfiguration"]["featureGates"]
    # Applied by hand, it changes nothing of that.
    before = setting.cluster.kubevirt()["spec"]
    setting.cluster.admin.merge(f"{clusters.KUBEVIRTS}/kubevirt?fieldValidation=Strict", patch)
    assert setting.cluster.kubevirt()["spec"] == before


def test_idles_small_and_writes_nothing(setting):
    setting.configure("nvme")
    controller = setting.start("controller", f"--metrics-address={METRICS}")
    setting.wait_for_devices(NVME)
    controller.wait_for_log(" in step ")
    writes = len(setting.cluster.writes())
    setting.wait_for_looks(20)
    assert len(setting.cluster.writes()) == writes
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=30) as answer:
        shown = answer.read().decode()
    assert 'vfio_doorbell_controller_state{state="in_step"} 1\n' in shown
    assert "vfio_doorbell_controller_patches_total 1\n" in shown
    assert "vfio_doorbell_controller_failures_total 0\n" in shown
    memory = clusters.memory_kib(controller.pid)
    print(f"\nresident: {memory} KiB")
    assert memory <= RSS_LIMIT_KIB


def test_takes_back_only_what_it_has_added(setting):
    path = f"{clusters.KUBEVIRTS}/kubevirt"
    setting.cluster.admin.merge(path, {"spec": {"configuration": {
        "permittedHostDevices": {"pciHostDevices": [FOREIGN]},
        "developerConfiguration": {"featureGates": ["Sidecar", "HostDevices"]}}}})
    before = setting.cluster.kubevirt()
    code, _, log = setting.once("--once")
    assert code == 0, log
    assert setting.devices() == [FOREIGN, NVME]
    code, _, log = setting.once("--once", "--disable")
    assert code == 0, log
    after = setting.cluster.kubevirt()
    assert after["spec"] == before["spec"]
    assert "annotations" not in after["metadata"]


def test_leaves_an_empty_cr_as_it_was(setting):
    before = setting.cluster.kubevirt()["spec"]
    assert setting.once("--once")[0] == 0
    assert setting.devices() == [NVME]
    assert setting.once("--once", "--disable")[0] == 0
    assert setting.cluster.kubevirt()["spec"] == before


def test_shows_the_patch_and_sends_none(setting):
    writes = len(setting.cluster.writes())
    code, output, log = setting.once("--dry-run")
    assert code == 0, log
    patch = json.loads(output)
    assert patch[0] == {"op": "test", "path": "/metadata/resourceVersion",
                        "value": setting.cluster.kubevirt()["metadata"]["resourceVersion"]}
    assert {"op": "add", "path": "/spec/configuration/permittedHostDevices/pciHostDevices/-", "value": NVME} in patch
    assert len(setting.cluster.writes()) == writes
    assert setting.devices() == []
    # The server takes it as it was shown.
    setting.cluster.admin.do("PATCH", f"{clusters.KUBEVIRTS}/kubevirt", patch, "application/json-patch+json")
    assert setting.devices() == [NVME]
    assert json.loads(setting.once("--dry-run")[1]) == []


def test_a_patch_for_another_version_is_refused_whole(setting):
    patch = json.loads(setting.once("--dry-run")[1])
    path = f"{clusters.KUBEVIRTS}/kubevirt"
    setting.cluster.admin.merge(path, {"metadata": {"labels": {"somebody": "was-here"}}})
    status, _ = setting.cluster.admin.call("PATCH", path, patch, "application/json-patch+json")
    assert status == 422
    assert setting.devices() == []


def test_loses_no_change_of_another_writer(setting):
    """Somebody else changes the same list all the time, while the controller's entries come and go."""
    controller = setting.start()
    path = f"{clusters.KUBEVIRTS}/kubevirt"
    setting.wait_for_devices(NVME)
    rounds = 60
    for number in range(rounds):
        setting.configure(*(("gpu", "nvme") if number % 2 else ("gpu",)))
        os.kill(controller.pid, signal.SIGHUP)
        for attempt in range(100):
            cr = setting.cluster.kubevirt()
            permitted = cr["spec"].setdefault("configuration", {}).setdefault("permittedHostDevices", {})
            entries = permitted.setdefault("pciHostDevices", [])
            entries.append({"pciVendorSelector": f"8086:{number:04X}", "resourceName": f"intel.example/n{number}"})
            # As kubectl replace does it: the whole object, of the version that was read.
            if setting.cluster.admin.call("PUT", path, cr)[0] == 200:
                break
            assert attempt < 99
    expected = [{"pciVendorSelector": f"8086:{number:04X}", "resourceName": f"intel.example/n{number}"} for number in range(rounds)]

    def settled():
        devices = setting.devices()
        return NVME in devices and [device for device in devices if device != NVME] == expected

    waiting.wait_for("all entries of the other one are there, and ours", settled, 10, evidence=controller.tail)
    conflicts = [event for event in setting.cluster.writes() if event["responseStatus"]["code"] in (409, 422)]
    print(f"\n{rounds} foreign changes, {len(conflicts)} conflicts in all tests so far")


def test_goes_on_when_the_api_server_was_away(setting):
    controller = setting.start()
    setting.wait_for_devices(NVME)
    setting.cluster.kill_server()
    controller.wait_for_log("reason=unreachable")
    assert controller.is_alive()
    setting.cluster.start_server()
    setting.cluster.admin.merge(f"{clusters.KUBEVIRTS}/kubevirt",
                                {"spec": {"configuration": {"permittedHostDevices": {"pciHostDevices": []}}}})
    setting.wait_for_devices(NVME, idle_s=60)
    assert controller.text().count("reason=unreachable") <= 3, controller.text()
    assert controller.end() == 0


def test_reports_that_kubevirt_is_absent_once(setting):
    cluster = setting.cluster
    cluster.remove_crd()
    try:
        controller = setting.start()
        controller.wait_for_log("reason=no_kubevirt")
        setting.wait_for_looks(3)
        assert controller.text().count("reason=no_kubevirt") == 1, controller.text()
        assert setting.once("--once")[0] == 1
        code, _, log = setting.once("--disable", "--once")
        assert code == 0 and "nothing to take back" in log, log
    finally:
        cluster.install_crd()
    controller.wait_for_log("there is no KubeVirt CR", idle_s=20)
    cluster.put_kubevirt("kubevirt", {})
    setting.wait_for_devices(NVME, idle_s=20)


def test_asks_which_of_several(setting):
    setting.cluster.put_kubevirt("second", {})
    try:
        code, _, log = setting.once("--once")
        assert code == 1
        assert "kubevirt/kubevirt and kubevirt/second" in log
        code, _, log = setting.once("--once", "--kubevirt-namespace=kubevirt", "--kubevirt-name=kubevirt")
        assert code == 0, log
        assert setting.cluster.kubevirt("second")["spec"] == {}
    finally:
        setting.cluster.delete(f"{clusters.KUBEVIRTS}/second")
    assert setting.devices() == [NVME]


def test_waits_for_rights_that_it_lacks(setting):
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    binding = setting.cluster.admin.do("GET", f"{path}/vfio-doorbell-controller")
    setting.cluster.delete(f"{path}/vfio-doorbell-controller")
    controller = setting.start()
    controller.wait_for_log("reason=forbidden")
    del binding["metadata"]["resourceVersion"], binding["metadata"]["uid"]
    setting.cluster.admin.do("POST", path, binding)
    setting.wait_for_devices(NVME, idle_s=20)


def test_has_no_right_that_it_does_not_need(setting):
    account = clusters.Api(setting.cluster.account_token().read_text(encoding="utf-8"), setting.cluster.authorities)
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    assert setting.once("--once")[0] == 0
    assert account.call("GET", f"{clusters.KUBEVIRTS}/kubevirt")[0] == 200
    for method, path, body in [
            ("DELETE", f"{clusters.KUBEVIRTS}/kubevirt", None),
            ("PUT", f"{clusters.KUBEVIRTS}/kubevirt", {}),
            ("GET", "/api/v1/secrets", None),
            ("GET", "/api/v1/pods", None),
            ("GET", "/api/v1/nodes/node-a", None),
            ("DELETE", "/api/v1/nodes/node-a", None),
            ("GET", leases, None),
            ("GET", f"{leases}/other", None),
            ("DELETE", f"{leases}/vfio-doorbell-controller", None),
    ]:
        status, answer = account.call(method, path, body)
        assert status == 403, f"{method} {path}: {status} {answer.get('message')}"


def test_talks_to_no_server_that_it_cannot_check(setting, tmp_path):
    other = tmp_path / "other.crt"
    tools.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout", tmp_path / "other.key",
              "-out", other)
    code, _, log = setting.once("--once", f"--ca-file={other}")
    assert code == 1
    assert "SSL handshake" in log
    # Rightly signed, for another name.
    code, _, log = setting.once("--once", f"--api-server={clusters.OTHER_URL}")
    assert code == 1
    assert "SSL handshake" in log
    assert setting.devices() == []


def test_another_instance_takes_over(setting):
    first = setting.start("first")
    setting.wait_for_devices(NVME)
    first.kill()
    setting.configure("gpu")
    second = setting.start("second")
    # The first has not given its lease back.
    second.wait_for_log("first has the lease")
    setting.wait_for_devices(idle_s=10)
    assert second.end() == 0
    lease = setting.cluster.admin.do("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/vfio-doorbell-controller")
    assert not lease["spec"].get("holderIdentity")


def test_refuses_nvidia_without_a_device(setting):
    setting.configure("nvme", "any_nvidia")
    code, _, log = setting.once("--once")
    assert code == 0, log
    assert "reason=nvidia_any resource=vendor.example/any" in log
    assert setting.devices() == [NVME]


def test_ends_with_2_on_a_bad_configuration(setting):
    (pathlib.Path(setting.arguments[0].partition("=")[2])).write_text("version: v1\nresources: 7\n", encoding="utf-8")
    code, _, log = setting.once("--once")
    assert code == 2
    assert "config.yaml:2: resources" in log
