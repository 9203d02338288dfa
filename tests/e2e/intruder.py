# SPDX-License-Identifier: Apache-2.0
"""What somebody can do on a cluster who has the token of a pod, or a place in its network."""

import base64
import json

from vlab.errors import LabError

TOKEN = "root/var/run/secrets/kubernetes.io/serviceaccount/token"
# Of curl: it has no connection, it has waited in vain.
NOT_REACHED = (7, 28)


def pid_of(cluster, program):
    """Of the node: the process whose command line begins with /`program`."""
    return cluster.on_node(f"pgrep --full --oldest '^/{program}'").strip()


class Token:
    """The one that a program's container has."""

    def __init__(self, cluster, program):
        self._cluster = cluster
        self._text = cluster.on_node(f"cat /proc/{pid_of(cluster, program)}/{TOKEN}")

    def lifetime_s(self):
        """For how long it is good."""
        claims = self._text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return claims["exp"] - claims["iat"]

    def status(self, method, path, body=None, patch="merge"):
        """What the API server answers; of a write it only thinks. Not by kubectl, which reads what it is to change."""
        write = [] if body is None else ["--data", json.dumps(body), "--header", "Content-Type: application/"
                                         + (f"{patch}-patch+json" if method == "PATCH" else "json")]
        url = f"https://{self._cluster.node}:6443{path}" + ("" if method == "GET" else "?dryRun=All")
        return int(self._cluster.run("docker", "exec", self._cluster.node, "curl", "--silent", "--output", "/dev/null",
                                     "--write-out", "%{http_code}", "--cacert", "/etc/kubernetes/pki/ca.crt",
                                     "--header", f"Authorization: Bearer {self._text}", "--request", method, *write, url))

    def statuses(self, attempts):
        """That of each attempt, which is the arguments of status(), by name."""
        return {name: self.status(*attempt) for name, attempt in attempts.items()}


def has_token(cluster, program):
    """Whether the container of a program has one."""
    return cluster.ask(["docker", "exec", cluster.node, "test", "-e", f"/proc/{pid_of(cluster, program)}/{TOKEN}"]).status == 0


def pid_of_pod(cluster, namespace, name):
    """Of the node: the first process of the first container of a pod, in whose network the others are too."""
    container = cluster.get("pod", name, "-n", namespace)["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    tasks = (line.split() for line in cluster.on_node("ctr --namespace k8s.io tasks list").splitlines())
    return next(pid for task, pid, *_ in tasks if task == container)


def reaches(cluster, pid, url):
    """Whether somebody answers to what is asked from the network of a process of the node."""
    answer = cluster.ask(["docker", "exec", cluster.node, "nsenter", f"--net=/proc/{pid}/ns/net", "curl", "--silent", "--show-error",
                          "--insecure", "--output", "/dev/null", "--max-time", "2", url])
    if answer.status not in (0, *NOT_REACHED):
        raise LabError(f"curl {url} ended with {answer.status}: {answer.err.strip()}")
    return answer.status == 0
