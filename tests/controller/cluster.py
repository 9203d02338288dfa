# SPDX-License-Identifier: Apache-2.0
"""A control plane for tests: etcd, a real API server with KubeVirt's CRD, and the controller as a process.

It lives in a network namespace of its own that has nothing but a loopback interface, so nothing of it can reach anything, or be
reached.
"""

import json
import os
import pathlib
import ssl
import subprocess
import urllib.error
import urllib.request

import programs

from vlab import kubernetes, namespaces, tools, waiting
from vlab.errors import LabError

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CONTROLLER = pathlib.Path(os.environ.get("VFIO_DOORBELL_CONTROLLER",
                                         ROOT / "build" / "release" / "plugin" / "vfio-doorbell-controller"))
# An API server does not give a loopback address out as its own (TEST-NET-1, RFC 5737).
ADVERTISED = "192.0.2.1"
PORT = 6443
ETCD = "http://127.0.0.1:2379"
URL = f"https://{ADVERTISED}:{PORT}"
# It answers here too, and its certificate does not say so.
OTHER_URL = f"https://127.0.0.1:{PORT}"
KUBEVIRTS = "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts"
ACCOUNT = "system:serviceaccount:kube-system:vfio-doorbell-controller"


def enter_own_network():
    """Moves this process, and what it starts from now on, to a network namespace without uplink, in which an API server has an address."""
    namespaces.enter_own_network()
    tools.run("ip", "address", "add", f"{ADVERTISED}/32", "dev", "lo")


class Child:
    """A process of ours with its log; ended by its pid."""

    def __init__(self, command, log):
        self.log = pathlib.Path(log)
        with open(log, "ab") as out:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    @property
    def pid(self):
        return self._process.pid

    def is_alive(self):
        return self._process.poll() is None

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self):
        return "\n".join(self.text().splitlines()[-15:])

    def wait_for_log(self, text, idle_s=5, count=1):
        waiting.wait_for(f"{self.log.name} has {count} times {text!r}", lambda: self.text().count(text) >= count, idle_s,
                         evidence=self.tail)

    def end(self, idle_s=10):
        """Asks it to end; returns its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(idle_s * waiting.PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LabError(f"{self._process.args[0]} did not end on SIGTERM\n{self.tail()}") from None

    def kill(self):
        self._process.kill()
        self._process.wait()


def plural_of(kind):
    """The resource of a kind."""
    return kind.lower().removesuffix("y") + "ies" if kind.endswith("y") else kind.lower() + "s"


class Api:
    """The API server, as one of its users."""

    def __init__(self, token, authorities):
        self._token = token
        self._authorities = authorities

    def call(self, method, path, body=None, content_type="application/json", accept="application/json"):
        """The answer to a request: status and object."""
        request = urllib.request.Request(URL + path, method=method,
                                         data=None if body is None else json.dumps(body).encode())
        request.add_header("Authorization", f"Bearer {self._token}")
        request.add_header("Content-Type", content_type)
        request.add_header("Accept", accept)
        context = ssl.create_default_context(cafile=self._authorities)
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:  # "ok"
            return status, {"message": text.decode(errors="replace")}

    def do(self, method, path, body=None, content_type="application/json"):
        """The same, for what has to work."""
        status, answer = self.call(method, path, body, content_type)
        if status >= 300:
            raise LabError(f"{method} {path}: {status} {answer.get('message')}")
        return answer

    def table(self, path):
        """An object as `kubectl get -o wide` shows it."""
        return self.call("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io")[1]

    def merge(self, path, change):
        return self.do("PATCH", path, change, "application/merge-patch+json")


class Cluster:
    """etcd and an API server below `folder`."""

    # Whose requests the audit log has.
    ACCOUNTS = (ACCOUNT,)

    def __init__(self, folder):
        self._folder = pathlib.Path(folder)
        self._etcd = None
        self._server = None
        self.authorities = str(self._folder / "certificates" / "apiserver.crt")
        self.admin = Api("admin", self.authorities)

    def start(self):
        self._write_files()
        self._etcd = Child([kubernetes.program("etcd"), "--data-dir", self._folder / "etcd", "--listen-client-urls", ETCD,
                            "--advertise-client-urls", ETCD, "--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync"],
                           self._folder / "etcd.log")
        self.start_server()
        self._install()

    def start_server(self):
        keys = self._folder / "account.key"
        self._server = Child(
            [kubernetes.program("kube-apiserver"), f"--etcd-servers={ETCD}", "--bind-address=0.0.0.0", f"--secure-port={PORT}",
             f"--advertise-address={ADVERTISED}", f"--cert-dir={self._folder / 'certificates'}",
             "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-signing-key-file={keys}",
             f"--service-account-key-file={keys}", "--service-cluster-ip-range=10.96.0.0/24", "--authorization-mode=RBAC",
             f"--token-auth-file={self._folder / 'tokens.csv'}", f"--audit-policy-file={self._folder / 'audit.yaml'}",
             f"--audit-log-path={self._folder / 'audit.log'}", "--endpoint-reconciler-type=none"],
            self._folder / "kube-apiserver.log")
        waiting.wait_for("the API server is ready", self._is_ready, 60, evidence=self._server.tail,
                         give_up=lambda: None if self._server.is_alive() else "it has ended")

    def kill_server(self):
        self._server.kill()

    def stop(self):
        for child in (self._server, self._etcd):
            if child and child.is_alive():
                child.kill()

    def token(self, account, pod=None):
        """A token of an account in kube-system, as the kubelet would mount it; of a pod there, if one is named."""
        spec = {"expirationSeconds": 3600}
        if pod:
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod}
        answer = self.admin.do("POST", f"/api/v1/namespaces/kube-system/serviceaccounts/{account}/token",
                               {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
        return answer["status"]["token"]

    def account_token(self):
        """The controller's, in a file."""
        path = self._folder / "token"
        path.write_text(self.token("vfio-doorbell-controller"), encoding="utf-8")
        return path

    def requests(self, verbs):
        """What these accounts have asked for so far, by the server's own audit log."""
        found = []
        for line in (self._folder / "audit.log").read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event["user"]["username"] in self.ACCOUNTS and event["verb"] in verbs:
                found.append(event)
        return found

    def writes(self):
        return self.requests(("create", "update", "patch", "delete", "deletecollection"))

    def put_node(self, name, resources):
        """Makes a node that offers `resources`, {name: amount}."""
        self.admin.call("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        self.admin.merge(f"/api/v1/nodes/{name}/status", {"status": {"allocatable": resources, "capacity": resources}})

    def put_kubevirt(self, name, spec):
        return self.admin.do("POST", KUBEVIRTS, {"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt",
                                                 "metadata": {"name": name, "namespace": "kubevirt"}, "spec": spec})

    def kubevirt(self, name="kubevirt"):
        return self.admin.do("GET", f"{KUBEVIRTS}/{name}")

    def delete(self, path):
        self.admin.call("DELETE", path)
        waiting.wait_for(f"{path} is gone", lambda: self.admin.call("GET", path)[0] == 404, 5)

    def _is_ready(self):
        try:
            return self.admin.call("GET", "/readyz")[0] == 200
        except (OSError, ssl.SSLError):
            return False

    def _write_files(self):
        tools.run("openssl", "genrsa", "-out", self._folder / "account.key", "2048")
        (self._folder / "tokens.csv").write_text("admin,admin,admin,system:masters\n", encoding="utf-8")
        (self._folder / "audit.yaml").write_text(json.dumps(
            {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
             "rules": [{"level": "Metadata", "users": list(self.ACCOUNTS)}, {"level": "None"}]}), encoding="utf-8")

    def _install(self):
        """KubeVirt's CRD and namespace."""
        waiting.wait_for("there is a namespace kube-system",
                         lambda: self.admin.call("GET", "/api/v1/namespaces/kube-system")[0] == 200, 20)
        self.admin.do("POST", "/api/v1/namespaces", {"metadata": {"name": "kubevirt"}})
        self.install_crd()

    def install_crd(self):
        self.admin.do("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", programs.kubevirt_crd())
        waiting.wait_for("KubeVirt's API is served", lambda: self.admin.call("GET", KUBEVIRTS)[0] == 200, 20)

    def remove_crd(self):
        self.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/kubevirts.kubevirt.io")
        waiting.wait_for("KubeVirt's API is gone", lambda: self.admin.call("GET", KUBEVIRTS)[0] == 404, 20)

    def apply(self, document):
        """Creates an object of a manifest; one that is there stays."""
        version, kind = document["apiVersion"], document["kind"]
        prefix = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        plural = plural_of(kind)
        space = document["metadata"].get("namespace")
        path = f"{prefix}/namespaces/{space}/{plural}" if space else f"{prefix}/{plural}"
        status, answer = self.admin.call("POST", path, document)
        if status not in (201, 409):
            raise LabError(f"{kind} {document['metadata']['name']}: {status} {answer.get('message')}")


def run_once(*arguments):
    """Runs the controller to its end: exit code, output, log."""
    done = subprocess.run([CONTROLLER, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          check=False)
    return done.returncode, done.stdout, done.stderr


def memory_kib(pid):
    """Its resident set."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise LabError(f"/proc/{pid}/status has no VmRSS")
