# SPDX-License-Identifier: Apache-2.0
"""One emulated node: started, talked to, ended."""

import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

from . import cache, disks, machine, tools
from .errors import LabError
from .processes import Process
from .progress import step
from .waiting import wait_for

MANIFESTS = "/etc/kubernetes/manifests"
KUBELET_READ_ONLY_PORT = 10255
# Stages as node/init reports them on the console, with seconds of an idle machine between them.
STAGES = (("userspace", 5), ("containerd serves", 10), ("kubelet healthy", 20))
LOGS = {"kubelet": "/var/log/kubelet.log", "containerd": "/var/log/containerd.log",
        "sshd": "/var/log/sshd.log"}


class OwnNetwork:
    """A namespace with nothing in it but the loopback and the node's tap: no packet can leave the machine."""

    HOST_ADDRESS = "10.77.0.1/24"
    tap = "lab0"
    mac = "52:54:00:00:00:01"
    address = "10.77.0.2"
    # What node/init is told of it: nothing, as this address is what it has by itself.
    parameters = {}

    def __init__(self, name):
        self._namespace = f"vfio-lab-{name}"

    def make(self):
        """Makes it with the tap."""
        tools.run("ip", "netns", "add", self._namespace)
        for words in ("link set lo up", f"tuntap add {self.tap} mode tap",
                      f"address add {self.HOST_ADDRESS} dev {self.tap}", f"link set {self.tap} up"):
            tools.run(*self.inside(["ip", *words.split()]))

    def inside(self, command):
        """`command`, to be run in it."""
        # Not "ip netns exec": that one mounts a /sys of its own.
        return ["nsenter", f"--net=/run/netns/{self._namespace}", "--", *command]

    def remove(self):
        """Removes what is there of it."""
        if pathlib.Path("/run/netns", self._namespace).exists():
            tools.run("ip", "netns", "delete", self._namespace)


class Node:
    """A node by name. Its state lives in the cache directory, so any process can use it.

    network: where its tap is; a network of its own unless said otherwise.
    """

    # What it comes through when it is switched on for the first time.
    FIRST_STAGES = STAGES

    def __init__(self, name, network=None):
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name):
            raise LabError(f"a node's name is lower-case letters, digits and hyphens, not {name!r}")
        self.name = name
        self.directory = _nodes() / name
        self._network = network or OwnNetwork(name)

    # Beginning and end

    def up(self, kernel, rootfs, images, kinds, bound=False, vfio=True, gigantic_pages=0):
        """Boots the node and returns when its kubelet is healthy; on failure nothing stays.

        kernel: kernels.Kernel; rootfs: entry of rootfs.build(); images: from images.disk();
        kinds: device kinds, see machine.KINDS; bound: the machine ends with this process;
        vfio: whether the devices are handed to vfio-pci; gigantic_pages: hugepages of 1 GiB.
        """
        self.must_be_free()
        self.directory.mkdir(parents=True)
        try:
            self._boot(kernel, rootfs, images, kinds, bound, vfio, gigantic_pages)
        except BaseException:
            self.down()
            raise
        return self

    def _boot(self, kernel, rootfs, images, kinds, bound, vfio, gigantic_pages):
        devices = machine.make_devices(kinds, self.directory, vfio)
        disks.make_overlay(rootfs / "root.img", self.directory / "root.qcow2")
        disks.make_overlay(images, self.directory / "images.qcow2")
        shutil.copy(rootfs / "known_hosts", self.directory)
        shutil.copy(rootfs / "ssh_key", self.directory)
        self._network.make()
        self._start(kernel, devices, bound, gigantic_pages, self.FIRST_STAGES)

    def power_cycle(self, kernel, kinds, bound=False):
        """Cuts the power and switches it on again, with the same disks; the arguments as for up().

        What the node had not written to its disks is lost. The devices may be others.
        """
        state = self._read_state()
        for name in ("ssh", "qemu"):
            Process(**state[name]).stop(grace_s=0)
        self._file("ssh").unlink(missing_ok=True)
        with step(f"node {self.name}: power cut"):
            self._start(kernel, machine.make_devices(kinds, self.directory), bound, state["gigantic_pages"])

    def _start(self, kernel, devices, bound, gigantic_pages, stages=STAGES):
        self._file("serial.log").write_text("")
        command = machine.qemu_command(kernel, "root.qcow2", "images.qcow2", self._network, devices, gigantic_pages)
        qemu = Process.start(self._network.inside(command), self._file("qemu.log"), self.directory,
                             bound)
        self._write_state(qemu=qemu, bdfs=devices.bdfs, kernel=str(kernel.image),
                          gigantic_pages=gigantic_pages)
        for stage, idle_s in stages:
            self.wait_until_reached(stage, idle_s)
        self._connect(bound)

    def wait_until_reached(self, stage, idle_s):
        """Returns when the node has reported a stage of STAGES."""
        with step(f"node {self.name}: {stage}"):
            wait_for(f"node {self.name} reports: {stage}", lambda: self._reached(stage), idle_s,
                     evidence=self._last_words, give_up=self.death)

    def must_be_free(self):
        """LabError if the name is taken. What is left of a dead node is removed."""
        if "qemu" in self._read_state() and self.death():
            self.down()
        if self.directory.exists():
            raise LabError(f"node {self.name} is there already: lab down {self.name} ends it")

    def down(self):
        """Ends the node's own processes and removes everything it left."""
        state = self._read_state()
        for name in ("ssh", "qemu"):
            if name in state:
                Process(**state[name]).stop()
        self._network.remove()
        shutil.rmtree(self.directory)

    @staticmethod
    def existing(name):
        """The node `name`; LabError if there is none."""
        node = Node(name)
        if not node.directory.exists():
            raise LabError(f"there is no node {name}")
        return node

    @staticmethod
    def all():
        """Every node there is, by name."""
        return [Node(p.name) for p in sorted(_nodes().glob("*"))]

    def death(self):
        """A sentence if the emulated machine has ended, else None."""
        if Process(**self._read_state()["qemu"]).is_alive():
            return None
        return f"node {self.name} is dead\n{self._last_words()}"

    # Talking to it

    def exec(self, command, stdin=None, stdout=None, stderr=None, terminal=False):
        """Runs the list `command` on the node with these streams; returns its exit status.

        255 may be ssh's own: then it says on `stderr` why.
        """
        return subprocess.run(self._ssh(["-tt" if terminal else "-T"], shlex.join(command)),
                              cwd=self.directory, stdin=stdin, stdout=stdout, stderr=stderr,
                              check=False).returncode

    def ask(self, script, stdin=""):
        """Runs the shell `script` on the node; returns a tools.Answer whatever its status."""
        return tools.ask(*self._ssh(["-T"], script), cwd=self.directory, input=stdin)

    def run(self, script, stdin=""):
        """Runs the shell `script` on the node; returns its output, raises LabError if it fails."""
        answer = self.ask(script, stdin)
        if answer.status != 0:
            raise LabError(f"node {self.name}: {script!r} ended with status {answer.status}: "
                           f"{answer.err.strip() or answer.out.strip()}")
        return answer.out

    def put(self, path, content):
        """Writes the text `content` to the file `path` of the node, whole or not at all."""
        quoted, new = shlex.quote(path), shlex.quote(f"{path}.new~")
        self.run(f"mkdir -p {shlex.quote(os.path.dirname(path))} && cat > {new} && "
                 f"mv {new} {quoted}", stdin=content)

    def apply(self, name, manifest):
        """Gives the kubelet the static pod `manifest` (YAML) as the file NAME.yaml."""
        # The kubelet reads every file in the folder that does not start with a dot.
        self.run(f"cat > {MANIFESTS}/.{name} && mv {MANIFESTS}/.{name} {MANIFESTS}/{name}.yaml",
                 stdin=manifest)

    def withdraw(self, name):
        """Takes the static pod NAME.yaml away again."""
        self.run(f"rm {MANIFESTS}/{name}.yaml")

    def pods(self):
        """The kubelet's view of its pods: a list of Pod objects with status."""
        return json.loads(self.http_get(KUBELET_READ_ONLY_PORT, "/pods"))["items"] or []

    def http_get(self, port, path):
        """The body of http://127.0.0.1:PORT/PATH on the node."""
        # Through the connection that is there: the node needs no HTTP client for it.
        request = f"GET {path} HTTP/1.0\r\nHost: node\r\n\r\n"
        done = subprocess.run(self._ssh(["-W", f"127.0.0.1:{port}"]), cwd=self.directory,
                              input=request.encode(), capture_output=True, check=False)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        if not re.match(rb"HTTP/1\.[01] 200 ", head):
            status = head.splitlines()[0].decode() if head else done.stderr.decode().strip()
            raise LabError(f"node {self.name}: GET port {port} {path}: {status or 'no answer'}")
        return body.decode()

    def log(self, what, pod=None):
        """The text of a log: "serial", "qemu", "kernel", one of LOGS, or "pod" with the pod's name."""
        if what in ("serial", "qemu"):
            return self._file(f"{what}.log").read_text(errors="replace")
        if what == "pod":
            # Directories are NAMESPACE_NAME_UID; a static pod's name ends in the node's.
            return self.run(f"cat /var/log/pods/*_{shlex.quote(pod)}*_*/*/*.log")
        if what == "kernel":
            return self.run("dmesg")
        return self.run(f"cat {LOGS[what]}")

    def save_logs(self, place):
        """Writes its logs, and those of its pods, into the directory `place`; why not, of what it does not tell any more."""
        place.mkdir(parents=True, exist_ok=True)
        for what in ("serial", "qemu", "kernel", *LOGS):
            (place / f"{what}.log").write_text(_or_why_not(lambda: self.log(what)), encoding="utf-8")
        pods = _or_why_not(lambda: self.run("tail -n +1 /var/log/pods/*/*/*.log"))
        (place / "pods.log").write_text(pods, encoding="utf-8")

    @property
    def bdfs(self):
        """Addresses of the devices under test, in the order they were asked for."""
        return self._read_state()["bdfs"]

    def describe(self):
        """One line for `lab status`."""
        state = self._read_state()
        if "qemu" not in state:
            return f"{self.name}: being made, or left half-made"
        qemu = Process(**state["qemu"])
        reached = [stage for stage, _ in STAGES if self._reached(stage)]
        condition = (reached[-1] if reached else "booting") if qemu.is_alive() else "dead"
        return f"{self.name}: {condition}, pid {qemu.pid}, devices {' '.join(state['bdfs'])}"

    # Inner workings

    def _ssh(self, options, *command):
        """ssh through the connection kept open; relative paths, as socket paths must be short."""
        return self._network.inside(["ssh", "-S", "ssh", "-i", "ssh_key", "-o", "BatchMode=yes",
                             "-o", "UserKnownHostsFile=known_hosts", "-o", "HostKeyAlias=node",
                             "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR",
                             "-F", "none", *options, f"root@{self._network.address}", *command])

    def _connect(self, bound):
        """Opens the connection that every later command shares."""
        ssh = Process.start(self._ssh(["-M", "-N"]), self._file("ssh.log"), self.directory,
                            bound)
        self._write_state(**self._read_state() | {"ssh": dataclasses.asdict(ssh)})
        wait_for(f"node {self.name} answers ssh", self._file("ssh").exists, idle_s=10,
                 evidence=lambda: self._file("ssh.log").read_text(errors="replace"),
                 give_up=lambda: self.death() or (not ssh.is_alive() and "ssh has ended"))

    def _reached(self, stage):
        return re.search(rf"^lab: [\d.]+ {stage}\r?$", self.log("serial"), re.MULTILINE)

    def _last_words(self):
        return "".join(f"--- end of {what}.log\n" + "\n".join(self.log(what).splitlines()[-20:])
                       for what in ("qemu", "serial") if self._file(f"{what}.log").exists())

    def _file(self, name):
        return self.directory / name

    def _read_state(self):
        path = self._file("state.json")
        return json.loads(path.read_text()) if path.exists() else {}

    def _write_state(self, **state):
        for name, value in state.items():
            if isinstance(value, Process):
                state[name] = dataclasses.asdict(value)
        self._file("state.json").write_text(json.dumps(state))


def _or_why_not(tell):
    try:
        return tell()
    except LabError as error:
        return f"{error}\n"


def _nodes():
    return cache.root() / "nodes"
