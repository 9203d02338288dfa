# SPDX-License-Identifier: Apache-2.0
"""What is told of a node, on a real API server, with the rights and policies of manifests/ and no more.

    /usr/bin/python3 -m pytest tests/status

needs root, what scripts/install-deps installs, and build/release/tests/status/status_driver (STATUS_DRIVER names another one); builds
what is not in the cache.
"""

import json
import os
import pathlib
import subprocess
import sys
import urllib.parse

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "controller"), str(ROOT / "scripts")]

import cluster as clusters  # noqa: E402
import rendered_manifests  # noqa: E402
from vlab import waiting  # noqa: E402

DRIVER = pathlib.Path(os.environ.get("STATUS_DRIVER", clusters.ROOT / "build" / "release" / "tests" / "status" / "status_driver"))
ACCOUNT = "vfio-doorbell-monitor"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OBJECTS = "/apis/vfio-doorbell.io/v1alpha1/doorbellnodes"
EVENTS = "/apis/events.k8s.io/v1/namespaces/{}/events"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
KUBELETS = [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
             "lastHeartbeatTime": "2026-11-26T12:00:00Z", "lastTransitionTime": "2026-11-26T12:00:00Z"}]
MIB = 1 << 20


class Cluster(clusters.Cluster):
    """A control plane with the monitor's account, its policies, and two nodes, each with a pod of the monitor."""

    ACCOUNTS = (f"system:serviceaccount:kube-system:{ACCOUNT}",)

    def _install(self):
        for name in ("kube-system", "default"):
            waiting.wait_for(f"there is a namespace {name}",
                             lambda name=name: self.admin.call("GET", f"/api/v1/namespaces/{name}")[0] == 200, 20)
        self.admin.do("POST", "/api/v1/namespaces", {"metadata": {"name": "vms"}})
        self.apply_all(rendered_manifests.documents("default", "monitor"))
        self.wait_for_crd()
        for node in ("node-a", "node-b"):
            self.put_node(node, {"cpu": "4"})
            self.admin.do("PATCH", f"/api/v1/nodes/{node}/status", {"status": {"conditions": KUBELETS}}, STRATEGIC)
            self.put_pod("kube-system", f"monitor-{node}", node, ACCOUNT)
        self._wait_for_policies()

    def apply_all(self, documents):
        """Creates what is not there yet."""
        for document in documents:
            self.apply(document)

    def wait_for_crd(self):
        waiting.wait_for("doorbellnodes are served", lambda: self.admin.call("GET", OBJECTS)[0] == 200, 20)

    def _wait_for_policies(self):
        """A policy is in force some time after it was made."""
        stranger = clusters.Api(self.token(ACCOUNT), self.authorities)
        for method, path, body, kind in (("PATCH", "/api/v1/nodes/node-a/status", {}, STRATEGIC),
                                         ("POST", EVENTS.format("default"), event("node-a", "x"), "application/json"),
                                         ("POST", OBJECTS, doorbell_node("node-a", "0"), "application/json")):
            # With ?dryRun nothing is left behind if it comes too early.
            waiting.wait_for(f"{method} {path} is refused without a node's name",
                             lambda m=method, p=path, b=body, k=kind: stranger.call(m, f"{p}?dryRun=All", b, k)[0] == 403, 20)

    def put_pod(self, space, name, node, account=None):
        if space != "kube-system":
            self.admin.call("POST", f"/api/v1/namespaces/{space}/serviceaccounts", {"metadata": {"name": "default"}})
        return self.admin.do("POST", f"/api/v1/namespaces/{space}/pods", {
            "metadata": {"name": name},
            "spec": {"nodeName": node, "serviceAccountName": account or "default", "automountServiceAccountToken": False,
                     "containers": [{"name": "c", "image": "none"}]}})

    def monitor_of(self, node):
        """The API as the monitor of that node."""
        return clusters.Api(self.token(ACCOUNT, f"monitor-{node}"), self.authorities)

    def condition(self, node):
        found = self.admin.do("GET", f"/api/v1/nodes/{node}")["status"]["conditions"]
        return next((condition for condition in found if condition["type"] == "VfioDoorbellReady"), None)

    def object(self, node):
        return self.admin.do("GET", f"{OBJECTS}/{node}")

    def is_told(self, node):
        """Whether there is an object that has its status."""
        status, found = self.admin.call("GET", f"{OBJECTS}/{node}")
        return status == 200 and "status" in found

    def events(self, space="default", selector=""):
        """As kubectl sees them, in the old API."""
        query = f"?fieldSelector={urllib.parse.quote(selector)}" if selector else ""
        return self.admin.do("GET", f"/api/v1/namespaces/{space}/events{query}")["items"]

    def uid_of(self, path):
        return self.admin.do("GET", path)["metadata"]["uid"]


def event(node, name, **changes):
    """An Event as the monitor of `node` makes it."""
    return {"metadata": {"name": name, "namespace": "default"}, "eventTime": "2026-11-26T12:00:00.000000Z", "type": "Normal",
            "reason": "Test", "action": "Test", "note": "test", "reportingController": "vfio-doorbell.io/monitor",
            "reportingInstance": node, "regarding": {"apiVersion": "v1", "kind": "Node", "name": node}} | changes


def doorbell_node(node, uid, owner=None):
    return {"apiVersion": "vfio-doorbell.io/v1alpha1", "kind": "DoorbellNode",
            "metadata": {"name": node, "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": owner or node, "uid": uid}]}}


class Driver:
    """The library as a program, which is told what the daemon says."""

    def __init__(self, cluster, folder, node, token_of, *arguments):
        token = folder / f"token-{node}"
        token.write_text(cluster.token(ACCOUNT, f"monitor-{token_of}"), encoding="utf-8")
        self.log = folder / f"driver-{node}.log"
        with open(self.log, "ab") as out:
            self._process = subprocess.Popen(
                [DRIVER, f"--api-server={clusters.URL}", f"--token-file={token}", f"--ca-file={cluster.authorities}",
                 f"--node={node}", *arguments], stdin=subprocess.PIPE, stdout=out, stderr=out)

    @property
    def pid(self):
        return self._process.pid

    def say(self, **state):
        self._process.stdin.write(json.dumps(state).encode() + b"\n")
        self._process.stdin.flush()

    def text(self):
        return self.log.read_text(encoding="utf-8")

    def tail(self):
        return "\n".join(self.text().splitlines()[-15:])

    def passes(self):
        return self.text().count(" passed ")

    def wait_for(self, what, condition, idle_s=10):
        return waiting.wait_for(what, condition, idle_s, evidence=self.tail,
                                give_up=lambda: None if self._process.poll() is None else "it has ended")

    def end(self):
        """Returns its exit code."""
        self._process.stdin.close()
        try:
            return self._process.wait(10 * waiting.PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="session", name="cluster")
def cluster_fixture(tmp_path_factory):
    assert DRIVER.is_file(), f"{DRIVER} is missing: scripts/test status builds it"
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    clusters.enter_own_network()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(name="start")
def start_fixture(cluster, tmp_path):
    """Starts drivers; each test begins with nodes of which nothing was told."""
    drivers = []

    def start(*arguments, node="node-a", token_of=None):
        driver = Driver(cluster, tmp_path, node, token_of or node, *arguments)
        drivers.append(driver)
        return driver

    yield start
    for driver in drivers:
        driver.kill()
    for node in ("node-a", "node-b"):
        cluster.admin.call("DELETE", f"{OBJECTS}/{node}")
        cluster.admin.do("PATCH", f"/api/v1/nodes/{node}/status",
                         {"status": {"conditions": [{"type": "VfioDoorbellReady", "$patch": "delete"}]}}, STRATEGIC)
    for space in ("default", "vms"):
        cluster.admin.call("DELETE", f"/api/v1/namespaces/{space}/events")


def test_tells_all_of_it(cluster, start, tmp_path):
    features = tmp_path / "features"
    driver = start(f"--feature-file={features}")
    driver.say(devices=3, started={"1": "vm"}, unhealthy=[2], occurrences=[{"sequence": 1, "message": "a device was lost"}])
    driver.wait_for("the object has a status", lambda: cluster.is_told("node-a"))
    condition = cluster.condition("node-a")
    assert (condition["status"], condition["reason"]) == ("True", "DevicesUnhealthy")
    conditions = cluster.admin.do("GET", "/api/v1/nodes/node-a")["status"]["conditions"]
    assert [each for each in conditions if each["type"] != "VfioDoorbellReady"] == KUBELETS
    found = cluster.object("node-a")
    uid = cluster.uid_of("/api/v1/nodes/node-a")
    assert found["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Node", "name": "node-a", "uid": uid}]
    assert found["status"]["counts"] == {"devices": 3, "healthy": 2, "reserved": 1}
    assert found["status"]["devices"][1]["pod"] == "vms/vm"
    assert "vfio-doorbell.io/knob=true" in features.read_text(encoding="utf-8")
    # As `kubectl describe node` asks for them.
    event_of_node, = cluster.events(selector=f"involvedObject.kind=Node,involvedObject.name=node-a,involvedObject.uid={uid}")
    assert (event_of_node["type"], event_of_node["reason"]) == ("Warning", "DeviceLost")
    assert event_of_node["message"] == "a device was lost"
    assert driver.end() == 0


def test_has_columns(cluster, start):
    driver = start()
    driver.say(devices=4, started={"0": "vm"})
    driver.wait_for("the object has a status", lambda: cluster.is_told("node-a"))
    table = cluster.admin.table(f"{OBJECTS}/node-a")
    columns = dict(zip([column["name"] for column in table["columnDefinitions"]], table["rows"][0]["cells"]))
    assert {name: columns[name] for name in ("Name", "Ready", "Devices", "Healthy", "Reserved", "Free windows", "Mode")} == {
        "Name": "node-a", "Ready": "True", "Devices": 4, "Healthy": 4, "Reserved": 1, "Free windows": 1000, "Mode": "Enforce"}


def test_the_schema_knows_all_that_is_written(cluster, start):
    """What a schema does not know is dropped without a word."""
    driver = start()
    driver.say(devices=3, started={"0": "vm"}, unhealthy=[1], occurrences=[{"sequence": 1, "message": "m"}])
    driver.wait_for("the object has a status", lambda: cluster.is_told("node-a"))
    before = cluster.object("node-a")
    driver.end()
    # Another monitor that finds what it would write writes nothing.
    again = start("--heartbeat-ms=200")
    again.say(devices=3, started={"0": "vm"}, unhealthy=[1], occurrences=[{"sequence": 1, "message": "m"}])
    again.wait_for("it has looked a few times", lambda: again.passes() >= 3)
    assert cluster.object("node-a")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_writes_nothing_while_nothing_changes(cluster, start):
    driver = start()
    driver.say(devices=2)
    driver.wait_for("the object has a status", lambda: cluster.is_told("node-a"))
    driver.wait_for("the pass has ended", lambda: driver.passes() >= 1)
    calls = len(cluster.requests(("get", "create", "patch")))
    passes = driver.passes()
    for _ in range(3):
        driver.say(devices=2)
        driver.wait_for("it has looked at it", lambda: driver.passes() > passes)
        passes = driver.passes()
    assert len(cluster.requests(("get", "create", "patch"))) == calls


def test_keeps_the_transition_over_a_restart(cluster, start):
    driver = start()
    driver.say(devices=2)
    driver.wait_for("there is a condition", lambda: cluster.condition("node-a"))
    first = cluster.condition("node-a")
    driver.end()
    driver = start()
    driver.say(devices=2, configError="config.yaml:3: no")
    driver.wait_for("it has another reason", lambda: cluster.condition("node-a")["reason"] == "ConfigRefused")
    assert cluster.condition("node-a")["lastTransitionTime"] == first["lastTransitionTime"]
    driver.say(silent="connection refused")
    driver.wait_for("it is unknown", lambda: cluster.condition("node-a")["status"] == "Unknown")
    driver.wait_for("the object is marked", lambda: cluster.object("node-a")["status"]["ready"] == "Unknown")
    assert len(cluster.object("node-a")["status"]["devices"]) == 2


def test_counts_events_and_tells_none_twice(cluster, start):
    driver = start()
    happened = [{"sequence": number, "message": "window reserved", "pod": "vm"} for number in range(1, 4)]
    driver.say(occurrences=happened)
    driver.wait_for("there is an Event", lambda: cluster.events("vms"))
    happened.append({"sequence": 4, "message": "window reserved", "pod": "vm"})
    driver.say(occurrences=happened)
    driver.wait_for("it counts four", lambda: cluster.events("vms")[0].get("series", {}).get("count") == 4)
    driver.wait_for("that stands in the object", lambda: cluster.object("node-a")["status"]["told"]["sequence"] == 4)
    driver.end()
    before = cluster.events("vms")
    again = start()
    again.say(occurrences=happened)
    again.wait_for("it has looked at it", lambda: again.passes() >= 1)
    assert cluster.events("vms") == before
    # A new daemon begins with 1, and says the same of the same.
    again.say(occurrences=[{"sequence": 1, "message": "window reserved", "pod": "vm"}], daemon=60)
    again.wait_for("it is told", lambda: sum(each.get("series", {}).get("count", 1) for each in cluster.events("vms")) == 5)


def test_an_event_knows_its_pod_if_that_is_allowed(cluster, start):
    uid = cluster.put_pod("vms", "vm-with-uid", "node-a")["metadata"]["uid"]
    selector = f"involvedObject.kind=Pod,involvedObject.name=vm-with-uid,involvedObject.uid={uid}"
    driver = start("--pod-uids")
    driver.say(occurrences=[{"sequence": 1, "message": "one", "pod": "vm-with-uid"}])
    driver.wait_for("there is an Event", lambda: cluster.events("vms"))
    assert cluster.events("vms", selector) == [], "the right lacks, so it has no uid"
    driver.end()
    cluster.apply_all(yaml.safe_load_all(rendered_manifests.rendered(
        {"monitor": {"status": {"podUids": True}}}, "--show-only", "templates/monitor-rbac.yaml")))
    try:
        driver = start("--pod-uids")
        driver.say(occurrences=[{"sequence": 2, "message": "two", "pod": "vm-with-uid"}])
        driver.wait_for("there is an Event that kubectl describe pod shows", lambda: cluster.events("vms", selector))
    finally:
        cluster.delete("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/vfio-doorbell-monitor-pod-uids")


def test_goes_on_when_the_api_server_was_away(cluster, start):
    driver = start("--heartbeat-ms=1000")
    driver.say(devices=2)
    driver.wait_for("the object has a status", lambda: cluster.is_told("node-a"))
    cluster.kill_server()
    driver.say(devices=5, configError="no", occurrences=[{"sequence": 1, "message": "meanwhile"}])
    driver.wait_for("it has noticed", lambda: "reason=unreachable" in driver.text())
    driver.wait_for("it has tried again", lambda: driver.passes() >= 4, idle_s=20)
    cluster.start_server()
    driver.wait_for("all devices are told", lambda: len(cluster.object("node-a")["status"]["devices"]) == 5, idle_s=30)
    driver.wait_for("the condition is right", lambda: cluster.condition("node-a")["reason"] == "ConfigRefused")
    driver.wait_for("the Event is there", lambda: [e for e in cluster.events() if e["message"] == "meanwhile"])
    assert driver.text().count("not in step") <= 2, driver.text()
    driver.wait_for("it says so", lambda: "in step again" in driver.text())


def test_waits_for_a_crd_that_is_not_there(cluster, start):
    cluster.delete(f"{CRDS}/doorbellnodes.vfio-doorbell.io")
    waiting.wait_for("doorbellnodes are not served", lambda: cluster.admin.call("GET", OBJECTS)[0] == 404, 20)
    try:
        driver = start()
        driver.say(devices=2, occurrences=[{"sequence": 1, "message": "nevertheless"}])
        driver.wait_for("it says so", lambda: "reason=absent parts=object" in driver.text())
        driver.wait_for("the rest is told", lambda: cluster.condition("node-a") and cluster.events())
        driver.wait_for("it has tried again", lambda: driver.passes() >= 4, idle_s=20)
        assert driver.text().count("not in step") == 1, driver.text()
    finally:
        cluster.apply_all(rendered_manifests.documents("default", "monitor"))
        cluster.wait_for_crd()
    driver.wait_for("the object has a status", lambda: cluster.is_told("node-a"), idle_s=20)


def test_the_object_of_a_large_host_fits(cluster, start):
    driver = start()
    started = {str(number): f"virt-launcher-a-vm-of-somebody-x{number:04}" for number in range(2048)}
    driver.say(devices=4096, started=started)
    driver.wait_for("the object has a status", lambda: cluster.is_told("node-a"), idle_s=20)
    found = cluster.object("node-a")
    stored = len(json.dumps(found, separators=(",", ":")))
    print(f"\n4,096 devices: {stored} bytes, {anonymous_kib(driver.pid)} KiB anonymous")
    assert len(found["status"]["devices"]) == 4096
    assert stored < MIB
    # Not the next one within a second.
    driver.say(devices=4095, started=started)
    driver.say(devices=4094, started=started)
    driver.wait_for("the last one is told", lambda: len(cluster.object("node-a")["status"]["devices"]) == 4094, idle_s=30)


def test_a_small_host_needs_little(cluster, start):
    driver = start()
    driver.say(devices=256)
    driver.wait_for("the object has a status", lambda: cluster.is_told("node-a"))
    stored = len(json.dumps(cluster.object("node-a"), separators=(",", ":")))
    driver.wait_for("the pass has ended", lambda: driver.passes() >= 1)
    memory = anonymous_kib(driver.pid)
    print(f"\n256 devices: {stored} bytes, {memory} KiB anonymous")
    assert stored < 64 << 10
    assert memory < 8 << 10


def anonymous_kib(pid):
    """Its memory that is no file's."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise AssertionError(f"/proc/{pid}/status has no RssAnon")


def refused(answer, *words):
    """By a policy, with a sentence."""
    status, text = answer[0], answer[1].get("message", "")
    assert status == 403, f"{status} {text}"
    assert "ValidatingAdmissionPolicy" in text, text
    for word in words:
        assert word in text, text


def test_writes_of_its_own_node_alone(cluster, start):
    """What the daemon of one node could do with its token to another node."""
    monitor = cluster.monitor_of("node-a")
    ready = {"status": {"conditions": [{"type": "VfioDoorbellReady", "status": "False"}]}}
    assert monitor.call("PATCH", "/api/v1/nodes/node-a/status", ready, STRATEGIC)[0] == 200
    refused(monitor.call("PATCH", "/api/v1/nodes/node-b/status", ready, STRATEGIC), 'node "node-a" may not write', '"node-b"')
    # Not even to look at it.
    refused(monitor.call("PATCH", "/api/v1/nodes/node-b/status", {}, STRATEGIC))
    uids = {node: cluster.uid_of(f"/api/v1/nodes/{node}") for node in ("node-a", "node-b")}
    assert monitor.call("POST", OBJECTS, doorbell_node("node-a", uids["node-a"]))[0] == 201
    refused(monitor.call("POST", OBJECTS, doorbell_node("node-b", uids["node-b"])), 'may not write the DoorbellNode "node-b"')
    cluster.admin.do("POST", OBJECTS, doorbell_node("node-b", uids["node-b"]))
    status = [{"op": "add", "path": "/status", "value": {"ready": "False"}}]
    assert monitor.call("PATCH", f"{OBJECTS}/node-a/status", status, JSON_PATCH)[0] == 200
    refused(monitor.call("PATCH", f"{OBJECTS}/node-b/status", status, JSON_PATCH))
    assert "status" not in cluster.object("node-b")
    assert cluster.condition("node-b") is None


def test_an_object_is_owned_by_its_node(cluster, start):
    monitor = cluster.monitor_of("node-a")
    uid = cluster.uid_of("/api/v1/nodes/node-b")
    refused(monitor.call("POST", OBJECTS, doorbell_node("node-a", uid, owner="node-b")), "owner")
    orphan = doorbell_node("node-a", uid)
    del orphan["metadata"]["ownerReferences"]
    refused(monitor.call("POST", OBJECTS, orphan), "owner")


def test_reports_in_its_own_name_alone(cluster, start):
    monitor = cluster.monitor_of("node-a")
    path = EVENTS.format("default")
    assert monitor.call("POST", path, event("node-a", "mine"))[0] == 201
    refused(monitor.call("POST", path, event("node-b", "theirs")), "in no other name")
    refused(monitor.call("POST", path, event("node-a", "c", reportingController="kubelet")), "in no other name")
    refused(monitor.call("POST", path, event("node-a", "r", regarding={"apiVersion": "v1", "kind": "Node", "name": "node-b"})),
            "of that node and of pods alone")
    refused(monitor.call("POST", path, event("node-a", "s", regarding={"apiVersion": "v1", "kind": "Secret", "name": "s"})))
    pod = {"apiVersion": "v1", "kind": "Pod", "name": "vm", "namespace": "vms"}
    of_pod = event("node-a", "pod", regarding=pod, metadata={"name": "pod", "namespace": "vms"})
    assert monitor.call("POST", EVENTS.format("vms"), of_pod)[0] == 201
    # A count, of its own ones.
    series = [{"op": "add", "path": "/series", "value": {"count": 2, "lastObservedTime": "2026-11-26T12:00:01.000000Z"}}]
    assert monitor.call("PATCH", f"{path}/mine", series, JSON_PATCH)[0] == 200
    cluster.admin.do("POST", path, event("node-b", "theirs"))
    refused(monitor.call("PATCH", f"{path}/theirs", series, JSON_PATCH))
    # The API server itself lets nobody change what an Event says.
    note = [{"op": "replace", "path": "/note", "value": "another"}]
    assert monitor.call("PATCH", f"{path}/mine", note, JSON_PATCH)[0] == 422


@pytest.mark.parametrize("change", [
    {"metadata": {"labels": {"a": "b"}}},
    {"metadata": {"annotations": {"a": "b"}}},
    {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
    {"status": {"conditions": [{"type": "MemoryPressure", "status": "True"}]}},
    {"status": {"capacity": {"cpu": "5"}}},
    {"status": {"allocatable": {"vendor.example/nvme": "9"}}},
    {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.7"}]}},
    {"status": {"nodeInfo": {"kernelVersion": "x"}}},
    {"status": {"images": [{"names": ["x"]}]}},
    {"status": {"volumesInUse": ["x"]}},
    {"status": {"volumesAttached": [{"name": "x", "devicePath": "y"}]}},
    {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 7}}}},
    {"status": {"phase": "Terminated"}},
    {"status": {"runtimeHandlers": [{"name": "x"}]}},
    {"status": {"features": {"supplementalGroupsPolicy": True}}},
], ids=lambda change: "-".join([*change, *next(iter(change.values()))]))
def test_changes_nothing_else_of_its_node(cluster, start, change):
    before = cluster.admin.do("GET", "/api/v1/nodes/node-a")
    refused(cluster.monitor_of("node-a").call("PATCH", "/api/v1/nodes/node-a/status", change, STRATEGIC))
    assert cluster.admin.do("GET", "/api/v1/nodes/node-a") == before


def test_a_token_without_a_node_is_good_for_nothing(cluster, start):
    stranger = clusters.Api(cluster.token(ACCOUNT), cluster.authorities)
    refused(stranger.call("PATCH", "/api/v1/nodes/node-a/status", {}, STRATEGIC))
    refused(stranger.call("POST", EVENTS.format("default"), event("node-a", "x")), "no name of a node")
    refused(stranger.call("POST", EVENTS.format("default"), event("", "x", reportingInstance="x")))
    refused(stranger.call("POST", OBJECTS, doorbell_node("node-a", "0")))


def test_others_are_not_bound_by_the_policies(cluster, start):
    change = {"status": {"conditions": [{"type": "Other", "status": "True"}]}}
    path = "/api/v1/nodes/node-b/status"
    assert cluster.admin.call("PATCH", path, change, STRATEGIC)[0] == 200
    change["status"]["conditions"][0]["$patch"] = "delete"
    assert cluster.admin.call("PATCH", path, change, STRATEGIC)[0] == 200


def test_says_once_that_it_has_the_token_of_another_node(cluster, start):
    driver = start(node="node-b", token_of="node-a")
    driver.say(devices=2, occurrences=[{"sequence": 1, "message": "m"}])
    driver.wait_for("it says so", lambda: "reason=forbidden" in driver.text())
    driver.wait_for("it has tried again", lambda: driver.passes() >= 3, idle_s=20)
    assert driver.text().count("reason=forbidden") <= 3, driver.text()
    assert "may not write" in driver.text()
    assert cluster.condition("node-b") is None
    assert cluster.admin.call("GET", f"{OBJECTS}/node-b")[0] == 404
    assert cluster.events() == []


def test_has_no_right_that_it_does_not_need(cluster, start):
    monitor = cluster.monitor_of("node-a")
    uid = cluster.uid_of("/api/v1/nodes/node-a")
    assert monitor.call("POST", OBJECTS, doorbell_node("node-a", uid))[0] == 201
    assert monitor.call("POST", EVENTS.format("default"), event("node-a", "mine"))[0] == 201
    for method, path, body, kind in [
            ("GET", "/api/v1/nodes/node-a", None, "application/json"),
            ("GET", "/api/v1/nodes", None, "application/json"),
            ("PATCH", "/api/v1/nodes/node-a", {"spec": {"unschedulable": True}}, STRATEGIC),
            ("PUT", "/api/v1/nodes/node-a/status", {}, "application/json"),
            ("DELETE", "/api/v1/nodes/node-a", None, "application/json"),
            ("GET", "/api/v1/namespaces/kube-system/pods/monitor-node-a", None, "application/json"),
            ("GET", "/api/v1/secrets", None, "application/json"),
            ("GET", EVENTS.format("default"), None, "application/json"),
            ("DELETE", f"{EVENTS.format('default')}/mine", None, "application/json"),
            ("POST", "/api/v1/namespaces/default/events", {}, "application/json"),
            ("GET", OBJECTS, None, "application/json"),
            ("PATCH", f"{OBJECTS}/node-a", [], JSON_PATCH),
            ("PUT", f"{OBJECTS}/node-a", {}, "application/json"),
            ("DELETE", f"{OBJECTS}/node-a", None, "application/json"),
            ("POST", f"/api/v1/namespaces/kube-system/serviceaccounts/{ACCOUNT}/token", {}, "application/json"),
    ]:
        status, answer = monitor.call(method, path, body, kind)
        assert status == 403 and "ValidatingAdmissionPolicy" not in answer["message"], f"{method} {path}: {status} {answer}"


def test_a_static_pod_can_have_no_token(cluster, start):
    """Why the monitor is in a DaemonSet's pod: the API server takes no mirror pod that has an account."""
    status, answer = cluster.admin.call("POST", "/api/v1/namespaces/kube-system/pods", {
        "metadata": {"name": "static-node-a", "annotations": {"kubernetes.io/config.mirror": "x"}},
        "spec": {"nodeName": "node-a", "serviceAccountName": ACCOUNT, "containers": [{"name": "c", "image": "none"}]}})
    assert status == 403
    assert "mirror pod" in answer["message"]

