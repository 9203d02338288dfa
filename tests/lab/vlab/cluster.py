# SPDX-License-Identifier: Apache-2.0
"""A kind cluster of one node, in namespaces of its own without uplink: made, talked to, ended."""

import json
import os
import re
import shutil

import yaml

from . import cache, kindnode, kubernetes, tools
from .docker import Docker
from .errors import LabError
from .progress import step
from .waiting import wait_for

NODE = "control-plane"


class Cluster:
    """A cluster by name. Its state lives in the cache directory, so any process can use it."""

    def __init__(self, name):
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,20}", name):
            raise LabError(f"a cluster's name is lower-case letters, digits and hyphens, not {name!r}")
        self.name = name
        self.directory = _clusters() / name
        self.kubeconfig = self.directory / "kubeconfig"
        self.node = f"{name}-{NODE}"

    # Beginning and end

    def up(self, mounts=(), bound=False, version=kubernetes.DEFAULT):
        """Makes it; returns when its node is ready and CoreDNS answers. On failure nothing stays.

        mounts: pairs of a path on this machine and the path where the node has it; bound: it ends with this process;
        version: the minor version of Kubernetes.
        """
        node_archive = kindnode.archive(version)
        programs = {name: kubernetes.program(name, version) for name in ("kind", "kubectl")}
        self.must_be_free()
        self._programs().mkdir(parents=True)
        for name, program in programs.items():
            (self._programs() / name).symlink_to(program)
        try:
            self._make(node_archive, f"kind-node:{kubernetes.release(version)}", mounts, bound)
        except BaseException:
            self.down()
            raise
        return self

    def _make(self, node_archive, image, mounts, bound):
        docker = self._docker()
        docker.start(bound)
        with step("node image"):
            docker.run("import", "--change", "ENV container=docker",
                       "--change", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                       "--change", 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]', node_archive, image)
        with step(f"kind {self.name}: control plane"):
            self._create(image, mounts)
        wait = ["kubectl", "wait", "--namespace=kube-system", "--timeout=5s"]
        for what, question in (("node is Ready", [*wait, "--for=condition=Ready", f"node/{self.node}"]),
                               ("CoreDNS is Available", [*wait, "--for=condition=Available", "deployment/coredns"]),
                               ("kube-router is healthy", ["docker", "exec", self.node, "curl", "--fail", "http://127.0.0.1:20244/healthz"])):
            with step(f"kind {self.name}: {what}"):
                wait_for(f"cluster {self.name}: {what}", lambda: self.ask(question).status == 0, 60,
                         evidence=lambda: f"{self.state_of_pods()}\n{self._journal()}", give_up=self.death, every_s=1)

    def _create(self, image, mounts):
        config = yaml.safe_load((kindnode.FILES / "cluster.yaml").read_text(encoding="utf-8"))
        config["nodes"][0]["extraMounts"] = [{"hostPath": str(ours), "containerPath": str(theirs)} for ours, theirs in mounts]
        config["kubeadmConfigPatches"].append(json.dumps({"kind": "ClusterConfiguration", "dns": {"imageTag": kubernetes.COREDNS_VERSION}}))
        path = self.directory / "cluster.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        # Kept on failure, for what it can tell.
        answer = self.ask(["kind", "create", "cluster", "--name", self.name, "--image", image, "--config", path, "--retain",
                           "--kubeconfig", self.kubeconfig])
        if answer.status != 0:
            raise LabError(f"kind could not make cluster {self.name}:\n{answer.err}\n{self._journal()}")

    def must_be_free(self):
        """LabError if the name is taken. What is left of a dead cluster is removed."""
        if self.directory.exists() and self.death():
            self.down()
        if self.directory.exists():
            raise LabError(f"cluster {self.name} is there already: cluster down {self.name} ends it")

    def down(self):
        """Ends every process of the cluster and removes everything it left."""
        self._docker().stop()
        shutil.rmtree(self.directory)

    @staticmethod
    def existing(name):
        """The cluster `name`; LabError if there is none."""
        cluster = Cluster(name)
        if not cluster.directory.exists():
            raise LabError(f"there is no cluster {name}")
        return cluster

    @staticmethod
    def all():
        """Every cluster there is, by name."""
        return [Cluster(path.name) for path in sorted(_clusters().glob("*"))]

    def death(self):
        """A sentence if its first process has ended, else None."""
        return None if self._docker().first_process() else f"cluster {self.name} is dead\n{self._docker().log()}"

    # Talking to it

    def command(self, words):
        """`words`, to be run inside its network."""
        process = self._docker().first_process()
        if not process:
            raise LabError(f"cluster {self.name} does not run")
        return ["nsenter", f"--net=/proc/{process.pid}/ns/net", "--", *map(str, words)]

    def environment(self):
        """For what is run there: kubectl, kind, docker and helm find the cluster."""
        docker = self._docker().environment()
        return os.environ | docker | {"PATH": f"{self._programs()}:{docker['PATH']}", "KUBECONFIG": str(self.kubeconfig)}

    def ask(self, words, stdin=""):
        """Runs a program inside its network; returns a tools.Answer whatever its status."""
        return tools.ask(*self.command(words), env=self.environment(), input=stdin)

    def run(self, *words, stdin=""):
        """The same; returns what it printed, raises LabError if it fails."""
        answer = self.ask(words, stdin)
        if answer.status != 0:
            raise LabError(f"{' '.join(map(str, words[:8]))} ended with status {answer.status}: {answer.err.strip() or answer.out.strip()}")
        return answer.out

    def kubectl(self, *words, stdin=""):
        """Runs kubectl as the administrator; returns what it printed."""
        return self.run("kubectl", *words, stdin=stdin)

    def get(self, *words):
        """The object, or list of objects, that `kubectl get` names."""
        return json.loads(self.kubectl("get", "-o", "json", *words))

    def on_node(self, script):
        """Runs a shell script on its node; returns what it printed."""
        return self.run("docker", "exec", self.node, "sh", "-c", script)

    def load(self, archive):
        """Gives its node the images of an archive, docker's or OCI's."""
        with open(archive, "rb") as image:
            answer = tools.ask(*self.command(["docker", "exec", "-i", self.node, "ctr", "--namespace", "k8s.io", "images", "import", "-"]),
                               env=self.environment(), stdin=image)
        if answer.status != 0:
            raise LabError(f"{archive} cannot be loaded: {answer.err.strip()}")

    def state_of_pods(self):
        """What a person would look at first."""
        return "\n".join(self.ask(words).out for words in (
            ["kubectl", "get", "nodes,pods", "--all-namespaces", "-o", "wide"],
            ["kubectl", "get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"]))

    def save_logs(self, place):
        """Writes what is known of it into the directory `place`."""
        place.mkdir(parents=True, exist_ok=True)
        (place / "state.txt").write_text(self.state_of_pods(), encoding="utf-8")
        self.ask(["kind", "export", "logs", "--name", self.name, place])

    def describe(self):
        """One line for `cluster status`."""
        return f"{self.name}: {'dead' if self.death() else 'runs'}, kubeconfig {self.kubeconfig}"

    # Inner workings

    def _programs(self):
        return self.directory / "bin"

    def _docker(self):
        return Docker(f"cluster-{self.name}", self.directory)

    def _journal(self):
        return self.ask(["docker", "exec", self.node, "journalctl", "--no-pager", "--lines=40", "--unit=kubelet", "--unit=containerd",
                         "--unit=kube-router"]).out


def _clusters():
    return cache.root() / "clusters"
