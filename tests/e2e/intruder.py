# SPDX-License-Identifier: Apache-2.0
"""What somebody can do on a cluster who has the token of a pod, or a place in its network."""

import base64
import json

from vlab.errors import LabError

# Of curl: it has no connection, it has waited in vain.
NOT_REACHED = (7, 28)


class Token:
    """The one that a pod has, where its kubelet keeps it."""

    def __init__(self, cluster, pod):
        self._cluster = cluster
        # Not by the links to it: since 1.37 they are the program's user's, in a folder that all may write, where root does not follow them.
        self._text = cluster.on_node(f"cat /var/lib/kubelet/pods/{pod['metadata']['uid']}/volumes/kubernetes.io~projected/token/..2*/token")

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
    """Whether one is mounted for the process whose command line begins with /`program`."""
    pid = cluster.on_node(f"pgrep --full --oldest '^/{program}'").strip()
    answer = cluster.ask(["docker", "exec", cluster.node, "grep", "--quiet", "/serviceaccount ", f"/proc/{pid}/mountinfo"])
    if answer.status not in (0, 1):
        raise LabError(f"what is mounted for {program} cannot be read: {answer.err.strip()}")
    return answer.status == 0


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
