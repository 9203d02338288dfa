# SPDX-License-Identifier: Apache-2.0
"""The chart on a cluster: installed, changed, looked at, taken away."""

import contextlib
import json
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from vlab import helm, waiting  # noqa: E402
from vlab.errors import LabError  # noqa: E402

CHART = ROOT / "helm" / "vfio-doorbell"
NAME = "vfio-doorbell"
NAMESPACE = "vfio-doorbell"
LABEL = f"app.kubernetes.io/instance={NAME}"


class Release:
    """The release of the chart on a cluster, with `values` unless said otherwise.

    cluster: a vlab.cluster.Cluster.
    """

    def __init__(self, cluster, values):
        self.cluster = cluster
        self._values = values
        # What is installed; None: nothing, or nobody knows.
        self._installed = None

    def ensure(self, changes=None):
        """Has it installed with its values and these changes, a document that is merged into them; returns when all is ready."""
        wanted = json.dumps(changes or {})
        if self._installed == wanted:
            return
        self._installed = None
        answer = self.upgrade(changes, "--wait", "--timeout", f"{int(30 * waiting.PATIENCE)}s")
        if answer.status != 0:
            raise LabError(f"helm: {answer.err.strip()}\n{self.cluster.state_of_pods()}")
        self._installed = wanted

    def upgrade(self, changes=None, *options):
        """Runs `helm upgrade --install`; returns its Answer."""
        self._installed = None
        files = []
        for number, document in enumerate((self._values, changes or {})):
            # JSON is YAML in which every reader takes a text for a text: PyYAML leaves 0108 and 11e8 without quotes.
            path = self.cluster.directory / f"values-{number}.json"
            path.write_text(json.dumps(document), encoding="utf-8")
            files += ["--values", path]
        return self.helm("upgrade", "--install", NAME, CHART, "--create-namespace", *files, *options)

    def uninstall(self):
        """Takes it away, if it is installed; returns when it is gone."""
        self._installed = None
        answer = self.helm("uninstall", NAME, "--ignore-not-found", "--wait", "--timeout", f"{int(30 * waiting.PATIENCE)}s")
        if answer.status != 0:
            raise LabError(f"helm: {answer.err.strip()}")

    def helm(self, *words):
        """Runs helm on its namespace; returns its Answer."""
        return self.cluster.ask([helm.helm(), "--namespace", NAMESPACE, *words])

    def pods(self, component="daemon"):
        """Its pods of a component, the oldest first, without those that are on their way out."""
        found = self.cluster.get("pods", "-n", NAMESPACE, "-l", f"{LABEL},app.kubernetes.io/component={component}",
                                 "--sort-by=.metadata.creationTimestamp")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def allocatable(self, node):
        """What a node has of its resources: {"lab.example/nvme": "1"}."""
        return offered(self.cluster.get("node", node)["status"]["allocatable"])


def offered(resources):
    """Those of a node's resources that are ours."""
    return {name: amount for name, amount in resources.items() if name.startswith("lab.example/")}


def is_ready(pod):
    """Whether a pod takes part."""
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in pod["status"].get("conditions", []))


def condition(cluster, node, kind="VfioDoorbellReady"):
    """A condition of a node, as its status has it; empty if there is none of this kind."""
    return next((found for found in cluster.get("node", node)["status"]["conditions"] if found["type"] == kind), {})


def define(cluster, crd):
    """Gives the server a CustomResourceDefinition; returns its name when the server knows the kind."""
    name = crd["metadata"]["name"]
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(crd))
    waiting.wait_for(f"the server knows {name}", lambda: cluster.ask(["kubectl", "get", name]).status == 0, 10, every_s=0.5)
    return name


@contextlib.contextmanager
def logs_kept_on_failure(request, cluster, workers=()):
    """Keeps what is known of the cluster and its workers in build/e2e if the case of this pytest request fails."""
    failed = request.session.testsfailed
    passed = False
    try:
        yield
        # pytest does not raise here what the case has raised.
        passed = request.session.testsfailed == failed
    finally:
        if not passed:
            place = ROOT / "build" / "e2e" / request.node.name
            shutil.rmtree(place, ignore_errors=True)
            cluster.save_logs(place)
            for worker in workers:
                worker.save_logs(place / f"worker-{worker.name}")


@contextlib.contextmanager
def watching(cluster, node, log):
    """Lets the API server tell each change of a node's resources into the file `log`, one line of JSON each."""
    command = cluster.command(["kubectl", "get", "node", node, "--watch", "-o", r"jsonpath={.status.allocatable}{'\n'}"])
    with open(log, "w", encoding="utf-8") as out, subprocess.Popen(command, env=cluster.environment(), stdout=out) as process:
        try:
            waiting.wait_for(f"the watch of {node} has begun", lambda: log.stat().st_size > 0, 5,
                             give_up=lambda: process.poll() is not None and "kubectl has ended")
            yield
            if process.poll() is not None:
                raise LabError(f"the watch of {node} has ended by itself with status {process.returncode}")
        finally:
            process.terminate()
