# SPDX-License-Identifier: Apache-2.0
"""The chart as Helm and Kubernetes take it, and what an administrator counts on: updates, probes, networks, names, notes.

    /usr/bin/python3 -m pytest tests/helm

builds Helm, kubeconform, kubectl and schemas where they are not in the cache. scripts/check-manifests holds manifests/ against it.
"""

import json
import re
import shutil
import subprocess

import pytest
import yaml

import schemas
from rendering import ALONE, BINDING, EVERYTHING, QUIET, ROOT, SETS, container, manifests, objects, pod_of
from vlab import helm, kubernetes


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
