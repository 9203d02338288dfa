# SPDX-License-Identifier: Apache-2.0
"""Debian's docker in namespaces of its own, sealed: nothing of it can leave them, and all of it ends with them.

It is unpacked, not installed: the package would start a service that changes the machine's network.
"""

import dataclasses
import errno
import json
import os
import pathlib
import re

from . import apt, cache, kubernetes, tools
from .errors import LabError
from .processes import Process
from .progress import step
from .waiting import wait_for

FILES = kubernetes.LAB / "kind"
CGROUPS = pathlib.Path("/sys/fs/cgroup")
CAP_SYS_RESOURCE = 24  # capabilities(7)


def _tree():
    """A directory with docker and what it needs."""
    debs = apt.packages("docker", ["docker.io"], architecture=apt.machine_architecture())

    def make(place):
        tree = place / "tree"
        apt.unpack(debs, tree)
        # Done by the package's maintainer scripts otherwise.
        for name in ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"):
            (tree / "usr/sbin" / name).unlink(missing_ok=True)
            (tree / "usr/sbin" / name).symlink_to("xtables-nft-multi")

    return cache.entry("docker", [str(debs), pathlib.Path(__file__)], make) / "tree"


def _lacks_a_capability():
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    return not int(re.search(r"^CapBnd:\s*([0-9a-f]+)$", status, re.MULTILINE)[1], 16) >> CAP_SYS_RESOURCE & 1


class Docker:
    """A docker daemon whose files are below `directory`; `name` tells its control groups from those of others."""

    def __init__(self, name, directory):
        self._directory = directory
        self._cgroup = f"vfio-doorbell-{name}"
        self._tree = _tree()
        self._socket = directory / "docker.sock"

    def start(self, bound):
        """Starts it; returns when it serves. bound: it ends with this process."""
        library = next((self._tree / "usr/lib").glob("*-linux-gnu"))
        environment = {"PATH": self.path(), "LD_LIBRARY_PATH": library, "XTABLES_LIBDIR": library / "xtables"}
        runtime = ["--add-runtime", f"able={FILES / 'runc'}", "--default-runtime", "able"] if _lacks_a_capability() else []
        command = [FILES / "init", "dockerd", "--data-root", self._directory / "docker", "--exec-root", "/run/docker",
                   "--pidfile", "/run/docker.pid", "--host", f"unix://{self._socket}", "--group", "root",
                   # Names of the world are asked for nowhere.
                   "--dns", "127.0.0.1", "--cgroup-parent", f"/{self._cgroup}", *runtime]
        outer = Process.start(["env", *(f"{key}={value}" for key, value in environment.items()),
                               "unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "--", *map(str, command)],
                              self._directory / "docker.log", self._directory, bound)
        self._write_state(outer=outer)
        with step("docker"):
            inner = wait_for("the namespaces have a first process", lambda: _child_of(outer), 5, evidence=self.log,
                             give_up=lambda: not outer.is_alive() and "unshare has ended")
            self._write_state(outer=outer, inner=inner)
            wait_for("docker answers", self._answers, 10, evidence=self.log,
                     give_up=lambda: not inner.is_alive() and "it has ended")

    def stop(self):
        """Ends it, with every process in its namespaces, and removes what the kernel keeps of them."""
        # The inner one is the first of its namespace, so that when it has ended all others have.
        for process in self._processes().values():
            process.stop(grace_s=0)
        for parent in (*CGROUPS.glob(self._cgroup), *CGROUPS.glob(f"*/{self._cgroup}")):
            _remove_cgroup(parent)

    def first_process(self):
        """The first process of its namespaces; None if it does not run."""
        inner = self._processes().get("inner")
        return inner if inner and inner.is_alive() else None

    def path(self):
        """PATH with its programs, before those of the machine."""
        return f"{self._tree}/usr/sbin:{self._tree}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    def environment(self):
        """For its clients."""
        return {"PATH": self.path(), "DOCKER_HOST": f"unix://{self._socket}"}

    def run(self, *arguments):
        """Runs the client; returns what it printed."""
        return tools.run("docker", *arguments, env=os.environ | self.environment())

    def log(self):
        """The end of what the daemon has said."""
        path = self._directory / "docker.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-20:]) if path.exists() else ""

    def _answers(self):
        try:
            self.run("version")
        except LabError:
            return False
        return True

    def _processes(self):
        path = self._directory / "docker.json"
        state = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return {name: Process(**fields) for name, fields in state.items()}

    def _write_state(self, **processes):
        text = json.dumps({name: dataclasses.asdict(process) for name, process in processes.items()})
        (self._directory / "docker.json").write_text(text, encoding="utf-8")


def _child_of(process):
    """The one child of a process, or None."""
    try:
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    except FileNotFoundError:
        return None
    return Process.of(int(children[0])) if children else None


def _remove_cgroup(parent):
    """Removes a control group and those below it, none of which has a process any more."""
    for group, _, _ in os.walk(parent, topdown=False):
        # The kernel may still be busy with processes that have ended.
        wait_for(f"the control group {group} is removed", lambda: _is_removed(group), 5)


def _is_removed(group):
    try:
        os.rmdir(group)
    except OSError as error:
        return error.errno == errno.ENOENT
    return True
