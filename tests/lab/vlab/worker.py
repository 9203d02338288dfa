# SPDX-License-Identifier: Apache-2.0
"""The emulated arm64 node as a worker of a kind cluster: joined by kubeadm over a tap on kind's bridge."""

import ipaddress
import json

import yaml

from . import kubernetes, tools
from .errors import LabError
from .node import STAGES, Node
from .progress import step
from .rootfs import NODE_FILES
from .waiting import PATIENCE, wait_for

# In kind's network, beyond what docker gives out.
FIRST_HOST = 100
CNI = "/etc/cni/net.d/10-lab.conflist"
JOIN = "/etc/kubernetes/join.yaml"
# kubeadm merges what is there into the kubelet's configuration.
PATCHES = "/etc/kubernetes/patches"


class ClusterNetwork:
    """The network of a cluster's node, with the worker's tap on its bridge.

    The worker has no kube-proxy: it sends what is for services to the cluster's node, whose kube-proxy knows where they are.
    """

    def __init__(self, cluster, name, number):
        self._cluster = cluster
        self.tap = f"lab{number}"
        # Workers share a bridge, which knows its ports by these.
        self.mac = f"52:54:00:00:00:{FIRST_HOST + number:02x}"
        settings = json.loads(cluster.run("docker", "network", "inspect", "kind"))[0]
        self._bridge = f"br-{settings['Id'][:12]}"
        network = next(ipaddress.ip_network(entry["Subnet"]) for entry in settings["IPAM"]["Config"] if ":" not in entry["Subnet"])
        self.address = str(network[FIRST_HOST + number])
        self.gateway = cluster.get("node", cluster.node)["status"]["addresses"][0]["address"]
        self.parameters = {"name": name, "address": f"{self.address}/{network.prefixlen}", "gateway": self.gateway}

    def make(self):
        """Puts the tap on the bridge."""
        for words in (f"tuntap add {self.tap} mode tap", f"link set {self.tap} master {self._bridge}", f"link set {self.tap} up"):
            tools.run(*self.inside(["ip", *words.split()]))

    def inside(self, command):
        """`command`, to be run in it."""
        return self._cluster.command(command)

    def remove(self):
        """Takes the tap away, if the cluster is there still."""
        if not self._cluster.death():
            self._cluster.ask(["ip", "link", "delete", self.tap])


class Worker(Node):
    """An emulated node that is one of a cluster's. It must be ended before the cluster is.

    number: another one for each worker of a cluster.
    """

    # Its kubelet waits for what the cluster gives it.
    FIRST_STAGES = STAGES[:2]

    def __init__(self, cluster, name, number=0):
        super().__init__(name, ClusterNetwork(cluster, name, number))
        self._cluster = cluster

    def up(self, kernel, rootfs, images, kinds, bound=False, vfio=True):
        """Boots the node, joins it and returns when it is ready; the arguments as those of Node.up(). On failure nothing stays."""
        super().up(kernel, rootfs, images, kinds, bound, vfio)
        try:
            with step(f"node {self.name} joins {self._cluster.name}"):
                self._join()
                # What is written here must be there after a power cut: the node is not joined again.
                self.run("sync")
            self.wait_until_ready()
        except BaseException:
            self.down()
            raise
        return self

    def down(self):
        """Ends it and takes it out of the cluster, if that is there still."""
        super().down()
        if not self._cluster.death():
            self._cluster.ask(["kubectl", "delete", "node", self.name, "--ignore-not-found"])

    def wait_until_ready(self):
        """Returns when the cluster has it ready."""
        with step(f"node {self.name} is Ready"):
            wait_for(f"node {self.name} is Ready", self._is_ready, 40, evidence=lambda: self.log("kubelet")[-4000:],
                     give_up=self.death, every_s=1)

    def _is_ready(self):
        return self._cluster.ask(["kubectl", "wait", "--for=condition=Ready", "--timeout=5s", f"node/{self.name}"]).status == 0

    def _join(self):
        cluster = self._cluster
        # Its image is for amd64, and the worker does without. The one that runs is left alone: a kube-proxy 1.34 that finds the rules
        # of an earlier one leaves the map of services empty (nft 1.0.6).
        cluster.kubectl("patch", "daemonset", "kube-proxy", "-n", "kube-system", "-p", json.dumps(
            {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None},
                      "template": {"spec": {"nodeSelector": {"kubernetes.io/arch": "amd64"}}}}}))
        self.run(f"echo '{self._network.gateway} {cluster.node}' >> /etc/hosts")
        self.put(f"{PATCHES}/kubeletconfiguration+merge.yaml", (NODE_FILES / "kubelet-of-cluster.yaml").read_text(encoding="utf-8"))
        self.put(JOIN, yaml.safe_dump(self._join_configuration()))
        self._put_program("kubeadm")
        self.run(f"kubeadm join --config {JOIN}")
        self.wait_until_reached(*STAGES[2])
        pods = wait_for(f"node {self.name} has a range for its pods", self._pod_range, 10, every_s=1,
                        evidence=lambda: self.log("kubelet")[-4000:])
        cluster.on_node(f"ip route replace {pods} via {self._network.address}")
        conflist = json.loads((NODE_FILES / "10-lab.conflist").read_text(encoding="utf-8"))
        conflist["plugins"][0]["ipam"] |= {"ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]}
        self.put(CNI, json.dumps(conflist))

    def _pod_range(self):
        answer = self._cluster.ask(["kubectl", "get", "node", self.name, "-o", "jsonpath={.spec.podCIDR}"])
        return answer.out if answer.status == 0 else None

    def _put_program(self, name):
        path = f"/usr/local/bin/{name}"
        with open(kubernetes.program(name, architecture="arm64"), "rb") as program:
            if self.exec(["sh", "-c", f"cat > {path} && chmod 755 {path}"], stdin=program) != 0:
                raise LabError(f"{name} cannot be put on node {self.name}")

    def _join_configuration(self):
        command = self._cluster.on_node("kubeadm token create --print-join-command").split()
        patience = f"{int(60 * PATIENCE)}s"
        return {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "JoinConfiguration",
            "discovery": {"bootstrapToken": {
                "apiServerEndpoint": command[2],
                "token": command[command.index("--token") + 1],
                "caCertHashes": [command[command.index("--discovery-token-ca-cert-hash") + 1]],
            }},
            "nodeRegistration": {
                "name": self.name,
                "criSocket": "unix:///run/containerd/containerd.sock",
                "kubeletExtraArgs": [{"name": "node-ip", "value": self._network.address}],
                # Debian's kernels have their configuration in /boot, and the node's disk has no kernel.
                "ignorePreflightErrors": ["SystemVerification"],
            },
            "patches": {"directory": PATCHES},
            "timeouts": {name: patience for name in ("discovery", "kubeletHealthCheck", "kubernetesAPICall", "tlsBootstrap")},
        }
