# SPDX-License-Identifier: Apache-2.0
"""What SECURITY.md promises, tried on the kind cluster of kind_test.py: stolen tokens, and who reaches whom.

    /usr/bin/python3 -m pytest tests/e2e/security_test.py
"""

import contextlib
import json

import captured_node
import chart
import intruder
from vlab import waiting


def event(node, about, reporter=None):
    """An Event as the monitor of `node` writes it; reporter: in whose name."""
    return {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "stolen"}, "eventTime": "2026-11-26T12:00:00.000000Z",
            "type": "Normal", "reason": "Stolen", "action": "Stolen", "note": "stolen", "reportingController": "vfio-doorbell.io/monitor",
            "reportingInstance": reporter or node, "regarding": {"apiVersion": "v1", "kind": "Node", "name": about}}


def refused_to_all(cluster):
    """What no token of the release may do: the attempts of intruder.Token.statuses()."""
    of_release = f"/api/v1/namespaces/{chart.NAMESPACE}"
    rights = {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}, "metadata": {"name": "stolen"}}
    pod = {"metadata": {"name": "stolen"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    return {
        "read secrets": ("GET", "/api/v1/secrets"),
        "read the secrets of its namespace": ("GET", f"{of_release}/secrets"),
        "read the configuration": ("GET", f"{of_release}/configmaps"),
        "read the pods of its namespace": ("GET", f"{of_release}/pods"),
        "read VMs": ("GET", "/apis/kubevirt.io/v1/virtualmachines"),
        "read Events": ("GET", "/apis/events.k8s.io/v1/events"),
        "read a node": ("GET", f"/api/v1/nodes/{cluster.node}"),
        "make a pod": ("POST", f"{of_release}/pods", pod),
        "enter a pod": ("POST", f"{of_release}/pods/stolen/exec", {}),
        "end a pod": ("DELETE", f"{of_release}/pods/stolen"),
        "write the configuration": ("PATCH", f"{of_release}/configmaps/{chart.NAME}", {"data": {"config.yaml": ""}}),
        "get a token": ("POST", "/api/v1/namespaces/kube-system/serviceaccounts/default/token", {}),
        "give itself rights": ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", rights),
        "take a policy away": ("DELETE", f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{chart.NAME}-events"),
        "label its node": ("PATCH", f"/api/v1/nodes/{cluster.node}", {"metadata": {"labels": {"stolen": "true"}}}),
        "taint its node": ("PATCH", f"/api/v1/nodes/{cluster.node}", {"spec": {"taints": [{"key": "stolen", "effect": "NoExecute"}]}}),
    }


def test_the_stolen_token_of_a_monitor_can_do_nothing_else(release):
    """SECURITY.md, line by line."""
    cluster = release.cluster
    daemon, = release.pods()
    # The daemon, which has rights on the node, has no token, nor has the check of its configuration, as the server sees the pod.
    assert not intruder.has_token(cluster, "vfio-doorbell-plugin")
    assert intruder.has_token(cluster, "vfio-doorbell-monitor")
    assert ["monitor"] == [container["name"] for container in daemon["spec"]["initContainers"] + daemon["spec"]["containers"]
                           if any("serviceaccount" in mount["mountPath"] for mount in container["volumeMounts"])]
    token = intruder.Token(cluster, daemon)
    assert token.lifetime_s() <= 3600
    waiting.wait_for("the node has its DoorbellNode", lambda: cluster.ask(["kubectl", "get", "doorbellnode", cluster.node]).status == 0, 20,
                     evidence=cluster.state_of_pods, every_s=0.5)

    node, pod = f"/api/v1/nodes/{cluster.node}", daemon["metadata"]["name"]
    doorbells, events = "/apis/vfio-doorbell.io/v1alpha1/doorbellnodes", "/apis/events.k8s.io/v1/namespaces/default/events"
    ready = {"status": {"conditions": [{"type": "VfioDoorbellReady", "status": "True", "reason": "Stolen", "message": ""}]}}
    bad = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    others = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "other"}},
              {"apiVersion": "vfio-doorbell.io/v1alpha1", "kind": "DoorbellNode", "metadata": {"name": "other"}}]
    third = others[1] | {"metadata": {"name": "third"}}
    for other in others:
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(other))
    try:
        # What it is for, so that a token that is good for nothing at all would be seen.
        assert token.statuses({
            "mark its node": ("PATCH", f"{node}/status", ready, "strategic-merge"),
            "read its object": ("GET", f"{doorbells}/{cluster.node}"),
            "read the object of another node": ("GET", f"{doorbells}/other"),
            "write its object": ("PATCH", f"{doorbells}/{cluster.node}/status", {"status": {"ready": "False"}}),
            "report of its node": ("POST", events, event(cluster.node, cluster.node)),
        }) == {"mark its node": 200, "read its object": 200, "read the object of another node": 200, "write its object": 200,
               "report of its node": 201}
        attempts = refused_to_all(cluster) | {
            "read pods": ("GET", "/api/v1/pods"),
            "read its pod": ("GET", f"/api/v1/namespaces/{chart.NAMESPACE}/pods/{pod}"),
            "read nodes": ("GET", "/api/v1/nodes"),
            "list DoorbellNodes": ("GET", doorbells),
            "end its object": ("DELETE", f"{doorbells}/{cluster.node}"),
            "label its node by its status": ("PATCH", f"{node}/status", {"metadata": {"labels": {"stolen": "true"}}}),
            "size its node": ("PATCH", f"{node}/status", {"status": {"capacity": {"lab.example/stolen": "1"}}}),
            "set another condition of its node": ("PATCH", f"{node}/status", bad, "strategic-merge"),
            "mark another node": ("PATCH", "/api/v1/nodes/other/status", ready, "strategic-merge"),
            "write the object of another node": ("PATCH", f"{doorbells}/other/status", {"status": {"ready": "False"}}),
            "make the object of another node": ("POST", doorbells, third),
            "report of another node": ("POST", events, event(cluster.node, "other")),
            "report in the name of another": ("POST", events, event(cluster.node, cluster.node, reporter="other")),
        }
        assert token.statuses(attempts) == dict.fromkeys(attempts, 403)
    finally:
        cluster.kubectl("delete", "node/other", "doorbellnode/other")
    # A newer server may know more of a node's status than the policy was written for.
    schema = json.loads(cluster.kubectl("get", "--raw", "/openapi/v3/api/v1"))["components"]["schemas"]["io.k8s.api.core.v1.NodeStatus"]
    policy = json.dumps(cluster.get("validatingadmissionpolicy", f"{chart.NAME}-node-condition"))
    assert [field for field in schema["properties"] if f"object.?status.?{field}" not in policy] == []
    # Its pod has gone, and with it what the token is good for. The server believes what it has seen for a few seconds more.
    cluster.kubectl("delete", "pod", pod, "-n", chart.NAMESPACE)
    waiting.wait_for("the token is refused", lambda: token.status("GET", f"{doorbells}/{cluster.node}") == 401, 20, every_s=1)
    cluster.kubectl("rollout", "status", f"daemonset/{chart.NAME}", "-n", chart.NAMESPACE, f"--timeout={int(30 * waiting.PATIENCE)}s")


def test_the_uids_of_pods_are_the_only_price_of_asking_for_them(release):
    cluster = release.cluster
    release.ensure({"monitor": {"status": {"podUids": True}}})
    of_system = "/api/v1/namespaces/kube-system/pods"
    daemon, = release.pods()
    token = intruder.Token(cluster, daemon)
    assert token.status("GET", f"{of_system}/etcd-{cluster.node}") == 200
    attempts = refused_to_all(cluster) | {"list pods": ("GET", of_system)}
    assert token.statuses(attempts) == dict.fromkeys(attempts, 403)


def test_the_stolen_token_of_the_controller_can_do_nothing_else(release):
    """SECURITY.md, line by line."""
    cluster = release.cluster
    release.ensure({"kubevirt": {"enabled": True}})
    controller, = release.pods("controller")
    token = intruder.Token(cluster, controller)
    assert token.lifetime_s() <= 3600
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{chart.NAMESPACE}/leases"
    lease = {"metadata": {"name": f"{chart.NAME}-controller"}}
    crs = "/apis/kubevirt.io/v1/kubevirts"
    assert token.statuses({"list nodes": ("GET", "/api/v1/nodes"), "make a lease": ("POST", leases, lease)}) == {
        "list nodes": 200, "make a lease": 201}
    # There is no KubeVirt here. Its rights come first, so that this says that it has them.
    permitted = {"list KubeVirts": ("GET", crs), "patch a KubeVirt": ("PATCH", "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt", {})}
    assert token.statuses(permitted) == dict.fromkeys(permitted, 404)
    attempts = refused_to_all(cluster) | {
        "read pods": ("GET", "/api/v1/pods"),
        "read leases": ("GET", leases),
        "read the lease of another": ("GET", f"{leases}/other"),
        "change the lease of another": ("PATCH", f"{leases}/other", {"spec": {"holderIdentity": "stolen"}}),
        "make a lease elsewhere": ("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", lease),
        "end a KubeVirt": ("DELETE", "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt"),
        "make a KubeVirt": ("POST", "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts", {"metadata": {"name": "stolen"}}),
        "write a VM": ("PATCH", "/apis/kubevirt.io/v1/namespaces/default/virtualmachines/vm", {}),
        "mark a node": ("PATCH", f"/api/v1/nodes/{cluster.node}/status", {}),
        "read DoorbellNodes": ("GET", "/apis/vfio-doorbell.io/v1alpha1/doorbellnodes"),
    }
    assert token.statuses(attempts) == dict.fromkeys(attempts, 403)


@contextlib.contextmanager
def strangers(cluster):
    """For the length of a with block two namespaces with a pod each: the processes whose networks are theirs, by namespace."""
    names = ("admitted", "stranger")
    objects = []
    for name in names:
        objects += [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
                    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "namespace": name}, "spec": {
                        "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False,
                        "containers": [{"name": "pod", "image": captured_node.pause_image(cluster), "imagePullPolicy": "Never"}]}}]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    try:
        for name in names:
            cluster.kubectl("wait", "--for=condition=Ready", "pod/pod", "-n", name, f"--timeout={int(20 * waiting.PATIENCE)}s")
        yield {name: intruder.pid_of_pod(cluster, name, "pod") for name in names}
    finally:
        cluster.kubectl("delete", "namespace", *names)


def test_the_network_policies_let_in_and_out_what_they_say(release):
    """kube-router on the node enforces them. The same is asked before there are any."""
    cluster = release.cluster
    of_controller = {"kubevirt": {"enabled": True}}
    dns = cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"][0]["status"]["podIP"]
    server = cluster.get("service", "kubernetes")["spec"]["clusterIP"]
    with strangers(cluster) as askers:
        def reached():
            """Who reaches whom."""
            found = set()
            for component, port in (("daemon", 9465), ("controller", 9464)):
                pod, = release.pods(component)
                own = intruder.pid_of_pod(cluster, chart.NAMESPACE, pod["metadata"]["name"])
                metrics = f"http://{pod['status']['podIP']}:{port}/metrics"
                ways = {(asker, component): (pid, metrics) for asker, pid in askers.items()} | {
                    ("node", component): ("1", metrics),
                    (component, "API server"): (own, f"https://{server}/version"),
                    (component, "CoreDNS"): (own, f"http://{dns}:8080/health")}
                found |= {way for way, (pid, url) in ways.items() if intruder.reaches(cluster, pid, url)}
            return found

        def wait_until_reached(which, ways):
            waiting.wait_for(which, lambda: reached() == ways, 20, evidence=lambda: f"{sorted(reached() ^ ways)} is otherwise", every_s=1)

        release.ensure(of_controller | {"networkPolicy": {"enabled": False}})
        always = {(asker, component) for component in ("daemon", "controller") for asker in ("node", "admitted")} | {
            (component, "API server") for component in ("daemon", "controller")}
        everywhere = always | {way for component in ("daemon", "controller") for way in (("stranger", component), (component, "CoreDNS"))}
        wait_until_reached("all reach all without a policy", everywhere)
        admitted = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "admitted"}}}]
        release.ensure(of_controller | {"networkPolicy": {"metricsFrom": admitted}})
        wait_until_reached("only what the policies let through is reached", always)
