# SPDX-License-Identifier: Apache-2.0
"""The chart: what it makes of values, and which ones it refuses.

    /usr/bin/python3 -m pytest tests/helm

builds Helm, kubeconform, kubectl and schemas where they are not in the cache. scripts/check-manifests holds manifests/ against it.
"""

import functools
import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml

import schemas

ROOT = schemas.ROOT
sys.path.insert(0, str(ROOT / "scripts"))

import rendered_manifests as manifests  # noqa: E402
from vlab import helm, kubernetes  # noqa: E402

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


# What Kubernetes and Helm say of it


@pytest.mark.parametrize("name", SETS)
def test_helm_has_no_objection(name):
    done = subprocess.run([helm.helm(), "lint", "--strict", manifests.CHART, "--values", "-"], input=json.dumps(
        manifests.values_of(SETS[name])), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def conforms(text):
    done = subprocess.run([helm.kubeconform(), "-strict", "-summary", "-output", "json", "-schema-location",
                           f"{schemas.folder()}/{schemas.PATTERN}"], input=text, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", SETS)
def test_all_objects_are_as_kubernetes_takes_them(name):
    made = objects(SETS[name])
    said = conforms(yaml.safe_dump_all(made.values()))
    assert said["summary"] == {"valid": len(made), "invalid": 0, "errors": 0, "skipped": 0}, said["resources"]


@pytest.mark.parametrize(("kind", "path"), [
    ("DaemonSet", ["spec", "template", "spec", "containers", 0, "securityContext"]), ("PodMonitor", ["spec"]),
    ("ValidatingAdmissionPolicy", ["spec", "validations", 0])])
def test_an_unknown_field_would_be_seen(kind, path):
    document = next(found for (of, _), found in objects(EVERYTHING).items() if of == kind)
    place = document
    for step in path:
        place = place[step]
    place["planted"] = True
    said = conforms(yaml.safe_dump(document))
    assert said["summary"]["invalid"] == 1 and "planted" in said["resources"][0]["msg"], said


def test_manifests_can_be_customized():
    # It looks at its own name.
    text = subprocess.run(["kubectl", "kustomize", ROOT / "manifests"], executable=kubernetes.program("kubectl"), capture_output=True,
                          text=True, check=True).stdout
    found = {(document["kind"], document["metadata"]["name"]): document for document in yaml.safe_load_all(text)}
    assert set(found) == set(objects({}, "--no-hooks", "--skip-tests"))
    assert found["ConfigMap", "vfio-doorbell"]["data"]["config.yaml"] == manifests.CONFIG.read_text(encoding="utf-8")


# Values


def resolved(schema):
    return SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def bad_leaves(schema):
    """Values that a schema of no object and no array must refuse."""
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    yield [] if types else {"of": "another type"}
    if "boolean" in types:
        yield "true"
    if "integer" in types and "string" not in types:
        yield "seven"
    if "string" in types:
        yield True
    if "enum" in schema or "const" in schema:
        yield "nonsense"
    if "pattern" in schema:
        yield "no such\tthing"
    if "minimum" in schema:
        yield schema["minimum"] - 1
    if "maximum" in schema:
        yield schema["maximum"] + 1
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if "minLength" in schema:
        yield ""


def bad(schema, number, place=""):
    """The bad value of that number in each place that has as many, and the places."""
    schema = resolved(schema)
    if schema.get("type") == "array":
        inner, places = bad(schema["items"], number - 1, f"{place}/0") if number else ("no list", [place])
        return ([inner] if places and number else inner), places
    if schema.get("type") != "object":
        leaves = list(bad_leaves(schema))
        return (leaves[number], [place]) if number < len(leaves) else (None, [])
    made, places = {}, []
    for name, inner in schema.get("properties", {}).items():
        value, found = bad(inner, number, f"{place}/{name}")
        if found:
            made[name] = value
            places += found
    if isinstance(schema.get("additionalProperties"), dict):
        value, found = bad(schema["additionalProperties"], number, f"{place}/key")
        if found:
            made["key"] = value
            places += found
    return made, places


def rounds():
    number = 0
    while (found := bad(SCHEMA, number))[1]:
        yield pytest.param(*found, id=f"{number}: {len(found[1])} values")
        number += 1


def refusals(values):
    """Places that the schema objects to, with what it says."""
    status, text = manifests.template(values)
    assert status != 0, "accepted"
    return re.findall(r"^ *- at '([^']*)': (.*)$", text, re.M)


@pytest.mark.parametrize(("values", "places"), rounds())
def test_each_bad_value_is_refused_by_its_name(values, places):
    named = {place for place, _ in refusals(values)}
    assert set(places) - named == set()


def objects_of(schema, place=""):
    """Places of all objects that have a fixed set of keys."""
    schema = resolved(schema)
    if schema.get("type") == "array":
        yield from objects_of(schema["items"], f"{place}/0")
    for name, inner in schema.get("properties", {}).items():
        yield from objects_of(inner, f"{place}/{name}")
    if schema.get("additionalProperties") is False:
        yield place


def test_each_unknown_key_is_refused():
    values = {}
    places = list(objects_of(SCHEMA))
    for place in places:
        here, steps = values, place.split("/")[1:]
        for step, following in zip(steps, [*steps[1:], ""]):
            if isinstance(here, list):
                if not here:
                    here.append({})
                here = here[0]
            else:
                here = here.setdefault(step, [] if following == "0" else {})
        here["unknown"] = True
    said = dict.fromkeys(place for place, text in refusals(values) if "additional properties 'unknown' not allowed" in text)
    assert set(places) - set(said) == set()


def keys_of(value, place=""):
    if not isinstance(value, dict) or not value:
        return {place}
    return {key for name, inner in value.items() for key in keys_of(inner, f"{place}/{name}")}


def test_values_yaml_has_each_value():
    def keys(schema, place=""):
        schema = resolved(schema)
        if schema.get("type") != "object" or not schema.get("properties"):
            return {place}
        return {key for name, inner in schema["properties"].items() for key in keys(inner, f"{place}/{name}")}

    # Of these the values of the chart are whole, and what they may have is Kubernetes' or the daemon's.
    whole = ("/config/window", "/daemon/resources", "/controller/resources", "/monitor/resources", "/daemon/seLinuxOptions",
             "/pod/affinity", "/controller/affinity", "/daemon/appArmorProfile")

    def shortened(found):
        return {next((place for place in whole if key.startswith(place)), key) for key in found}

    assert shortened(keys(SCHEMA)) - {"/global"} == shortened(
        key for key in keys_of(VALUES) if not key.startswith(("/pod/nodeSelector", "/controller/nodeSelector", "/dashboard/labels"))) | {
            "/pod/nodeSelector", "/controller/nodeSelector", "/dashboard/labels"}


def test_each_value_has_its_comment():
    lines = (manifests.CHART / "values.yaml").read_text(encoding="utf-8").split("\n")
    # What is Kubernetes' own, below a key with a comment.
    own = ("requests", "limits", "kubernetes.io/os", "kubernetes.io/arch")
    for above, line in zip(lines, lines[1:]):
        key = re.match(r"\s*([\w./]+): \S", line)
        assert not key or key[1] in own or above.lstrip().startswith("#"), line


def test_the_configuration_has_the_daemons_own_schema():
    own = json.loads((ROOT / "api" / "config" / "v1.schema.json").read_text(encoding="utf-8"))
    assert {name: SCHEMA["$defs"][name] for name in own["$defs"]} == own["$defs"]
    mine = SCHEMA["properties"]["config"]["properties"]
    assert {name: mine[name] for name in own["properties"] if name != "resources"} == {
        name: schema for name, schema in own["properties"].items() if name != "resources"}


def test_the_configuration_arrives_as_it_was_given():
    config = {"version": "v1", "mode": "enforce", "window": {"pool": {"start": "0x09100000", "end": 0x10000000}, "size": "1Mi"},
              "resources": [{"name": "vendor.example/nvme", "selectors": [{"vendor": "0010", "device": "1e10", "numaNode": 0}]}]}
    found = objects({"config": config})["ConfigMap", "vfio-doorbell"]["data"]["config.yaml"]
    assert yaml.safe_load(found) == config
    # yaml-cpp, which the daemon has, reads no exponents.
    assert "end: 268435456\n" in found and '"0010"' in found


REFUSED = [
    ({"config": {"resources": []}}, "config.resources: is empty"),
    ({"config": {"resources": [BIND | {"selectors": [{"vendor": "15b3"}]}] * 2}},
     "config.resources[1].name: vendor.example/bound is the name of config.resources[0] too"),
    ({"config": {"resources": [BIND]}}, "config.resources[0].selectors[0].bind: to bind drivers the daemon must be privileged"),
    (BINDING | {"config": {"mode": "observe", "resources": [BIND]}},
     "config.resources[0].selectors[0].bind: mode observe changes nothing"),
    ({"binding": {"enabled": True}, "config": {"mode": "observe"}}, "binding.enabled: mode observe changes nothing"),
    ({"daemon": {"appArmorProfile": {"type": "Localhost"}}}, "daemon.appArmorProfile.localhostProfile: is missing"),
    ({"daemon": {"appArmorProfile": {"localhostProfile": "x"}}}, "daemon.appArmorProfile.localhostProfile: is for type Localhost"),
    ({"pod": {"updateStrategy": {"rollingUpdate": {"maxSurge": 0}}}},
     "pod.updateStrategy.rollingUpdate: maxSurge and maxUnavailable are both 0"),
    ({"pod": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "10%"}}}},
     "pod.updateStrategy.rollingUpdate: Kubernetes takes maxSurge or maxUnavailable"),
    ({"monitor": {"status": {"condition": False, "events": False, "object": False}}}, "monitor.status.enabled: condition, events"),
    ({"monitor": {"status": {"events": False, "podUids": True}}}, "monitor.status.podUids: is for Events"),
    (ALONE | {"prometheusRule": {"enabled": True}}, "prometheusRule.enabled: the alerts are about metrics of the monitor"),
    (ALONE | {"dashboard": {"enabled": True}}, "dashboard.enabled: the dashboard shows metrics of the monitor"),
    (ALONE | {"podMonitor": {"enabled": True}}, "podMonitor.enabled: neither monitor nor controller is enabled"),
    ({"kubevirt": {"namespace": "kubevirt"}}, "kubevirt.name: is missing"),
    ({"kubevirt": {"name": "kubevirt"}}, "kubevirt.namespace: is missing"),
    ({"controller": {"disable": True}}, "controller.disable: it is the controller that takes back"),
    ({"networkPolicy": {"enabled": False, "metricsFrom": [{"podSelector": {}}]}}, "networkPolicy.metricsFrom: keeps nobody out"),
]


@pytest.mark.parametrize(("values", "reason"), REFUSED)
def test_a_combination_without_sense_is_refused_with_the_reason(values, reason):
    status, text = manifests.template(manifests.values_of(values))
    assert status != 0 and f"\n{reason}" in text, text


def test_each_combination_was_tried():
    text = (manifests.CHART / "templates" / "validation.yaml").read_text(encoding="utf-8")
    assert text.count("append $problems") == len(REFUSED)


def test_all_that_is_wrong_is_said_at_once():
    _, text = manifests.template({"kubevirt": {"name": "kubevirt"}})
    assert "\nconfig.resources: " in text and "\nkubevirt.namespace: " in text, text


def test_an_old_kubernetes_is_refused():
    status, text = manifests.template(manifests.values_of({}), "--kube-version", "1.31.9")
    assert status != 0 and "requires kubeVersion: >=1.32.0-0" in text


# Rights

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


# What else an administrator counts on


def test_a_new_daemon_starts_beside_the_old_one():
    spec = objects({})["DaemonSet", "vfio-doorbell"]["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    # Two pods on one node have no port of the node in common.
    assert [port for c in spec["template"]["spec"]["containers"] for port in c.get("ports", []) if "hostPort" in port] == []


def test_another_configuration_is_another_pod_unless_said_otherwise():
    def annotations(**values):
        return objects({"config": {"window": {"size": "2Mi"}}} | values)["DaemonSet", "vfio-doorbell"]["spec"]["template"][
            "metadata"]["annotations"]

    key = "vfio-doorbell.io/config-sha256"
    before = objects({})["DaemonSet", "vfio-doorbell"]["spec"]["template"]["metadata"]["annotations"][key]
    assert annotations()[key] != before
    assert key not in annotations(rolloutOnConfigChange=False)


@pytest.mark.parametrize("values", [ALONE, {}], ids=["alone", "with-monitor"])
def test_the_daemon_says_itself_whether_it_is_ready(values):
    assert container(pod_of(values), "daemon")["readinessProbe"]["exec"]["command"] == ["/vfio-doorbell-plugin", "--probe", "ready"]


@pytest.mark.parametrize("kind", ["DaemonSet", "Deployment", "Job", "Pod"])
def test_the_last_words_of_each_container_are_kept(kind):
    for (found, _), made in objects(EVERYTHING).items():
        if found != kind:
            continue
        spec = made["spec"]["template"]["spec"] if "template" in made["spec"] else made["spec"]
        for each in spec.get("initContainers", []) + spec["containers"]:
            assert each["terminationMessagePolicy"] == "FallbackToLogsOnError", each["name"]


def test_the_network_policy_lets_metrics_in_and_calls_of_the_api_server_out():
    made = objects(EVERYTHING)
    for name in ("vfio-doorbell", "vfio-doorbell-controller"):
        spec = made["NetworkPolicy", name]["spec"]
        assert spec["ingress"] == [{"ports": [{"port": "metrics", "protocol": "TCP"}],
                                    "from": EVERYTHING["networkPolicy"]["metricsFrom"]}]
        assert spec["egress"] == [{"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]}]
    for values in (QUIET, ALONE):
        assert "egress" not in objects(values)["NetworkPolicy", "vfio-doorbell"]["spec"]
    assert "ingress" not in objects(ALONE)["NetworkPolicy", "vfio-doorbell"]["spec"]


def test_prometheus_gets_the_alerts_of_the_chart_and_finds_the_pods():
    made = objects(EVERYTHING)
    alerts = yaml.safe_load((manifests.CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))
    assert made["PrometheusRule", "vfio-doorbell"]["spec"] == alerts
    dashboard = made["ConfigMap", "vfio-doorbell-dashboard"]["data"]["vfio-doorbell.json"]
    assert json.loads(dashboard) == json.loads((manifests.CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))
    for monitor, workload in (("vfio-doorbell", "DaemonSet"), ("vfio-doorbell-controller", "Deployment")):
        wanted = made["PodMonitor", monitor]["spec"]["selector"]["matchLabels"].items()
        assert wanted <= made[workload, monitor]["spec"]["template"]["metadata"]["labels"].items()


def test_uninstalling_takes_back_what_the_controller_has_entered():
    hooks = {key: found for key, found in objects(SETS["kubevirt"]).items()
             if found["metadata"].get("annotations", {}).get("helm.sh/hook") == "post-delete"}
    # All that the Job needs, since the rest of the release is gone by then.
    assert sorted(kind for kind, _ in hooks) == ["ClusterRole", "ClusterRoleBinding", "ConfigMap", "Job", "Role", "RoleBinding",
                                                 "ServiceAccount"]
    job = hooks["Job", "vfio-doorbell-cleanup"]
    assert job["metadata"]["annotations"]["helm.sh/hook-weight"] == "1", "after the others"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"][-2:] == ["--disable", "--once"]
    assert not [key for key in objects({"kubevirt": {"enabled": True, "cleanUp": False}}) if key[1] == "vfio-doorbell-cleanup"]


def test_the_version_is_that_of_the_programs():
    version = re.search(r"^project\(vfio-doorbell VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"), re.M)[1]
    chart = yaml.safe_load((manifests.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert container(pod_of({}), "daemon")["image"] == f"vfio-doorbell-plugin:{version}"


def test_an_image_can_be_of_another_registry_and_pinned():
    pod = pod_of(EVERYTHING)
    assert container(pod, "daemon")["image"] == f"registry.example/infra/vfio-doorbell-plugin@sha256:{'a' * 64}"
    assert container(pod, "monitor")["image"] == "registry.example/infra/vfio-doorbell-monitor:0.1.0"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


def test_two_releases_share_no_name():
    def names(release):
        text = subprocess.run([helm.helm(), "template", release, manifests.CHART, "--namespace", "kube-system", "--values", "-"],
                              input=json.dumps(manifests.values_of({"crd": {"create": False}, "kubevirt": {"enabled": True}})),
                              capture_output=True, text=True, check=True).stdout
        return {(document["kind"], document["metadata"]["name"]) for document in yaml.safe_load_all(text)}

    assert names("vfio-doorbell") & names("pool-b") == set()


@pytest.fixture(scope="session", name="notes_of")
def notes_of_fixture(tmp_path_factory):
    """What NOTES.txt says, which Helm shows only when it installs: in a copy of the chart it is part of an object."""
    chart = tmp_path_factory.mktemp("chart") / "vfio-doorbell"
    shutil.copytree(manifests.CHART, chart)
    (chart / "templates" / "NOTES.txt").rename(chart / "files" / "NOTES.txt")
    (chart / "templates" / "notes.yaml").write_text('notes: {{ tpl (.Files.Get "files/NOTES.txt") . | toJson }}\n', encoding="utf-8")

    def notes_of(profile):
        done = subprocess.run([helm.helm(), "template", "vfio-doorbell", chart, "--namespace", "kube-system", "--values", "-",
                               "--show-only", "templates/notes.yaml"], input=json.dumps(manifests.values_of(profile)),
                              capture_output=True, text=True, check=True)
        return yaml.safe_load(done.stdout)["notes"]

    return notes_of


def test_the_notes_say_how_to_see_that_it_works(notes_of):
    notes = notes_of(EVERYTHING | BINDING)
    for line in ("kubectl -n kube-system rollout status daemonset/vfio-doorbell", "helm -n kube-system test vfio-doorbell",
                 "kubectl get doorbellnodes", r"vendor.example/bound:.status.allocatable.vendor\.example/bound",
                 "logs deployment/vfio-doorbell-controller", "WARNING: the daemon is privileged"):
        assert line in notes, notes


def test_the_notes_name_nothing_that_is_not_there(notes_of):
    notes = notes_of(ALONE)
    for word in ("doorbellnodes", "VfioDoorbellReady", "controller", "WARNING"):
        assert word not in notes, notes
