# SPDX-License-Identifier: Apache-2.0
"""What accounts and containers of the chart may do: no more than SECURITY.md says."""

import pytest

from rendering import BIND, BINDING, EVERYTHING, SETS, container, objects, pod_of

MONITOR_RULES = [
    {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": ["vfio-doorbell.io"], "resources": ["doorbellnodes"], "verbs": ["get", "create"]},
    {"apiGroups": ["vfio-doorbell.io"], "resources": ["doorbellnodes/status"], "verbs": ["patch"]},
]
POD_UID_RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
CONTROLLER_RULES = [
    {"apiGroups": ["kubevirt.io"], "resources": ["kubevirts"], "verbs": ["get", "list", "patch"]},
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]},
]
LEASE_RULES = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["vfio-doorbell-controller"],
     "verbs": ["get", "update"]},
]
MONITOR_ROLE = {("ClusterRole", "vfio-doorbell-monitor"): MONITOR_RULES}
CONTROLLER_ROLES = {
    ("ClusterRole", "vfio-doorbell-controller"): CONTROLLER_RULES,
    ("Role", "vfio-doorbell-controller"): LEASE_RULES,
    ("ClusterRole", "vfio-doorbell-cleanup"): CONTROLLER_RULES,
    ("Role", "vfio-doorbell-cleanup"): LEASE_RULES,
}


@pytest.mark.parametrize(("name", "roles"), [
    ("default", MONITOR_ROLE), ("observe", MONITOR_ROLE), ("kubevirt", MONITOR_ROLE | CONTROLLER_ROLES), ("quiet", {}), ("alone", {}),
    ("everything", MONITOR_ROLE | CONTROLLER_ROLES | {("ClusterRole", "vfio-doorbell-monitor-pod-uids"): POD_UID_RULES})])
def test_accounts_have_these_rights_and_no_others(name, roles):
    made = objects(SETS[name])
    assert {key: found["rules"] for key, found in made.items() if key[0] in ("Role", "ClusterRole")} == roles
    bindings = [found for key, found in made.items() if key[0] in ("RoleBinding", "ClusterRoleBinding")]
    assert sorted((found["roleRef"]["kind"], found["roleRef"]["name"]) for found in bindings) == sorted(roles)
    for found in bindings:
        account = found["roleRef"]["name"].removesuffix("-pod-uids")
        assert found["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}]


def test_rights_go_with_what_is_told():
    made = objects({"monitor": {"status": {"condition": False, "object": False}}})
    assert made["ClusterRole", "vfio-doorbell-monitor"]["rules"] == MONITOR_RULES[1:2]
    assert [name for kind, name in made if kind == "ValidatingAdmissionPolicy"] == ["vfio-doorbell-events"]


@pytest.mark.parametrize("name", ["default", "everything"])
def test_each_policy_is_about_the_account_of_the_pods_and_bound(name):
    made = objects(SETS[name])
    account = f"system:serviceaccount:kube-system:{pod_of(SETS[name])['serviceAccountName']}"
    policies = {key: found for key, found in made.items() if key[0] == "ValidatingAdmissionPolicy"}
    assert len(policies) == 3
    for (_, policy), found in policies.items():
        assert found["spec"]["failurePolicy"] == "Fail"
        assert [m["expression"] for m in found["spec"]["matchConditions"]] == [f"request.userInfo.username == '{account}'"]
        assert made["ValidatingAdmissionPolicyBinding", policy]["spec"] == {"policyName": policy, "validationActions": ["Deny"]}


NO_RIGHTS = {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
RUNTIME_DEFAULT = {"seccompProfile": {"type": "RuntimeDefault"}}
UNPRIVILEGED = NO_RIGHTS | RUNTIME_DEFAULT
ROOT_USER = {"runAsUser": 0, "runAsGroup": 0}
NOBODY = {"runAsNonRoot": True, "runAsUser": 65534, "runAsGroup": 65534}
ENFORCE = ROOT_USER | {"readOnlyRootFilesystem": True, "appArmorProfile": {"type": "Unconfined"},
           "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN", "SYS_RAWIO"]}} | RUNTIME_DEFAULT
MONITOR = UNPRIVILEGED | {"runAsNonRoot": True, "runAsUser": 65534, "runAsGroup": 9465}


@pytest.mark.parametrize(("name", "daemon"), [
    ("default", ENFORCE), ("kubevirt", ENFORCE), ("alone", ENFORCE), ("observe", UNPRIVILEGED | ROOT_USER),
    ("binding", ROOT_USER | {"readOnlyRootFilesystem": True, "privileged": True}),
    ("everything", ENFORCE | {"seLinuxOptions": {"type": "spc_t"}})])
def test_containers_on_the_nodes_have_these_rights(name, daemon):
    pod = pod_of(SETS[name])
    assert container(pod, "daemon")["securityContext"] == daemon
    assert container(pod, "check-config")["securityContext"] == UNPRIVILEGED | NOBODY
    if name not in ("alone", "everything"):
        assert container(pod, "monitor")["securityContext"] == MONITOR
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod)


def test_a_folder_of_root_makes_the_monitor_root_without_rights():
    assert container(pod_of(EVERYTHING), "monitor")["securityContext"] == UNPRIVILEGED | {"runAsUser": 0, "runAsGroup": 9465}


# The daemon's folders of the host: where it sees them, whether it may write there.
ALWAYS = {
    "/var/lib/kubelet/device-plugins": ("/var/lib/kubelet/device-plugins", True),
    "/var/lib/kubelet/pod-resources": ("/var/lib/kubelet/pod-resources", True),
    "/var/lib/vfio-doorbell": ("/var/lib/vfio-doorbell", True),
    "/run/vfio-doorbell": ("/run/vfio-doorbell", True),
}
NODES = {"/dev/vfio": ("/dev/vfio", False)}
KNOB = {"/sys/kernel/iommu_groups": ("/sys/kernel/iommu_groups", True)}


def host_paths(pod, name):
    volumes = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
    return {volumes[mount["name"]]: (mount["mountPath"], not mount.get("readOnly", False))
            for mount in container(pod, name)["volumeMounts"] if mount["name"] in volumes}


@pytest.mark.parametrize(("values", "paths"), [
    ({}, ALWAYS | NODES | KNOB),
    ({"config": {"mode": "observe"}}, ALWAYS | NODES),
    (BINDING, ALWAYS | {"/sys": ("/sys", True), "/dev": ("/host/dev", True)}),
    ({"registration": "plugins-registry"},
     ALWAYS | NODES | KNOB | {"/var/lib/kubelet/plugins_registry": ("/var/lib/kubelet/plugins_registry", True)}),
    ({"config": {"resources": [BIND | {"selectors": [{"vendor": "15b3"}], "cdi": True}]}},
     ALWAYS | NODES | KNOB | {"/run/cdi": ("/run/cdi", True)}),
    ({"kubevirt": {"nodeHook": {"enabled": True}}},
     ALWAYS | NODES | KNOB | {"/var/run/kubevirt/plugins": ("/var/run/kubevirt/plugins", True)}),
    # The folder of device plugins does not move with the others.
    ({"kubeletDir": "/opt/kubelet", "registration": "plugins-registry"}, NODES | KNOB | {
        path.replace("/var/lib/kubelet/p", "/opt/kubelet/p"): mounted for path, mounted in ALWAYS.items()} | {
            "/opt/kubelet/plugins_registry": ("/var/lib/kubelet/plugins_registry", True)})])
def test_the_daemon_has_these_folders_of_the_host(values, paths):
    pod = pod_of(values)
    assert host_paths(pod, "daemon") == paths
    assert host_paths(pod, "monitor") == {"/run/vfio-doorbell": ("/run/vfio-doorbell", False)}
    assert host_paths(pod, "check-config") == {}


@pytest.mark.parametrize("name", SETS)
def test_the_token_is_in_the_monitors_container_alone(name):
    pod = pod_of(SETS[name])
    assert pod["automountServiceAccountToken"] is False
    having = [c["name"] for c in pod["initContainers"] + pod["containers"]
              if any(mount["name"] == "token" for mount in c["volumeMounts"])]
    assert having == ([] if name in ("quiet", "alone") else ["monitor"])
    assert ("token" in [volume["name"] for volume in pod["volumes"]]) == bool(having)


def test_no_token_is_good_for_longer_than_an_hour():
    """Of 3607 seconds, which Kubernetes itself asks for where nobody else does, the API server makes a year."""
    pods = [found["spec"]["template"]["spec"] for (kind, _), found in objects(EVERYTHING).items() if kind in ("DaemonSet", "Deployment", "Job")]
    assert len(pods) == 3
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        volume, = [volume for volume in pod["volumes"] if volume["name"] == "token"]
        assert volume["projected"]["sources"][0] == {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}


def test_the_daemon_may_give_its_socket_to_the_group_of_the_monitor():
    pod = pod_of({"monitor": {"group": 4711}})
    assert pod["securityContext"] == {"supplementalGroups": [4711]}
    assert "--admin-gid=4711" in container(pod, "daemon")["args"]
    assert container(pod, "monitor")["securityContext"]["runAsGroup"] == 4711


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_the_controller_has_no_rights_on_its_node(kind):
    made = objects(EVERYTHING)
    pod = next(found["spec"]["template"]["spec"] for key, found in made.items() if key[0] == kind)
    assert pod["securityContext"] == NOBODY | RUNTIME_DEFAULT
    assert [c["securityContext"] for c in pod["containers"]] == [NO_RIGHTS]
    assert [volume["name"] for volume in pod["volumes"] if "hostPath" in volume] == []
