# SPDX-License-Identifier: Apache-2.0
"""The whole chain on real parts: a node, the plugin on it, pod VMs, and what is seen of them.

Kernel, kubelet, containerd, plugin, pod, QEMU, guest. What is done with them is in scenarios.py.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time
import uuid

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from vlab import images, kernels, machine, podimages, rootfs, waiting  # noqa: E402
from vlab.errors import LabError  # noqa: E402
from vlab.node import Node  # noqa: E402
from vlab.processes import clean_up_on_sigterm  # noqa: E402
from vlab.progress import step  # noqa: E402

PLUGIN_MANIFEST = ROOT / "manifests" / "static-pod.yaml"
CONFIG = pathlib.Path(__file__).parent / "config.yaml"
VM_MANIFEST = pathlib.Path(__file__).parent / "vm.yaml"
PLUGIN_POD = "vfio-doorbell-plugin"
CONFIG_PATH = "/etc/vfio-doorbell/config.yaml"
LEDGER = "/var/lib/vfio-doorbell/ledger.json"
CHECKPOINT = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"
DEVICES = ["nvme", "edu", "pair"]
READ_BYTES = 4 << 20  # what the guest reads: tests/lab/images/vm/guest-init
NVME = "lab.example/nvme"
EDU = "lab.example/edu"


@dataclasses.dataclass(frozen=True)
class Window:
    """A range of I/O addresses, both ends included."""
    start: int
    end: int

    def holds(self, address):
        """Whether `address` lies in it."""
        return self.start <= address <= self.end

    def __str__(self):
        return f"0x{self.start:08x}-0x{self.end:08x}"


KERNEL_DEFAULT = Window(0x08000000, 0x080FFFFF)
POOL = Window(0x09100000, 0x0FFFFFFF)  # what the daemon takes unless said otherwise
# GITS_TRANSLATER is register 0x040 of the ITS' translation page (GICv3 specification, 12.19).
TRANSLATER = 0x40


@dataclasses.dataclass(frozen=True)
class Group:
    """An IOMMU group as the kernel describes it."""
    number: int
    members: list[str]
    msi: list[Window]        # the MSI regions of reserved_regions
    knob: str | None         # content of msi_window; None: this kernel has none


@dataclasses.dataclass(frozen=True)
class VmRun:
    """One pod VM: what it was given, what it did, and what the host saw meanwhile."""
    before: Group
    during: Group
    environment: dict[str, str]   # PCI_RESOURCE_* and VFIO_DOORBELL_* in the pod
    settings: list[dict]          # the settings files in the pod
    doorbells: list[int]          # addresses in the device's real MSI-X table while the VM runs
    host_interrupts: int          # of the device, counted on the node
    guest_interrupts: dict[str, int]  # by name, counted in the VM
    sha256: str                   # of what the VM read through the device
    seconds: float                # from the manifest to the checksum
    output: str                   # what the pod has printed


@dataclasses.dataclass(frozen=True)
class FailedPod:
    """A pod the kubelet refused."""
    reason: str
    message: str


# The node


@contextlib.contextmanager
def running_node(name, kernel, **options):
    """start_node() for the length of a with block, which ends on SIGTERM too."""
    clean_up_on_sigterm()
    node = start_node(name, kernel, **options)
    try:
        yield node
    finally:
        node.down()


def build_plugin():
    """The plugin cross-built for arm64."""
    with step("build the plugin for arm64"):
        done = subprocess.run(["cmake", "--workflow", "--preset", "arm64"], cwd=ROOT,
                              capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"the plugin does not build for arm64:\n{(done.stdout + done.stderr)[-4000:]}")
    return ROOT / "build" / "arm64" / "plugin" / "vfio-doorbell-plugin"


def start_node(name, kernel, kinds=tuple(DEVICES), vfio=True, archives=(), gigantic_pages=0):
    """A node called `name` with these devices and the images of this scenario, its kubelet healthy.

    archives: images beside those of every scenario; gigantic_pages: hugepages of 1 GiB.
    """
    archives = [podimages.pause(), podimages.vm(kernels.find("patched").image),
                podimages.plugin(build_plugin()), *archives]
    return Node(name).up(kernels.find(kernel), rootfs.build(), images.disk(archives), kinds,
                         bound=True, vfio=vfio, gigantic_pages=gigantic_pages)


def expected_sha256():
    """Checksum of what the guest reads, from the image on the host."""
    with open(machine.nvme_image(), "rb") as image:
        return hashlib.sha256(image.read(READ_BYTES)).hexdigest()


def nvme(node):
    """Address of the NVMe on `node`."""
    return node.bdfs[DEVICES.index("nvme")]


def describe_group(node, bdf):
    """The group of the function `bdf`."""
    out = node.run(f"""
        cd "$(readlink -f /sys/bus/pci/devices/{bdf}/iommu_group)"
        basename "$PWD"; echo $(ls devices)
        if [ -e msi_window ]; then cat msi_window; else echo; fi
        cat reserved_regions""")
    number, members, knob, *regions = out.splitlines()
    msi = [Window(*(int(bound, 16) for bound in region.split()[:2]))
           for region in regions if region.split()[2] == "msi"]
    return Group(int(number), members.split(), msi, knob or None)


def knob_window(text):
    """The window that msi_window's "0xBASE 0xSIZE" names."""
    base, size = (int(number, 16) for number in text.split())
    return Window(base, base + size - 1)


# The plugin


def plugin_manifest(shipped=PLUGIN_MANIFEST, **changes):
    """The shipped manifest; `changes` replace fields of its container."""
    manifest = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    manifest["spec"]["containers"][0] |= changes
    return manifest


def start_plugin(node, mode, manifest=None, config=None):
    """Starts the plugin in `mode`; returns what the node then offers: {resource: device IDs}."""
    config = (config or yaml.safe_load(CONFIG.read_text(encoding="utf-8"))) | {"mode": mode}
    node.put(CONFIG_PATH, yaml.safe_dump(config))
    with step(f"plugin registers ({mode})"):
        # The kubelet writes it when a list of devices comes in, not when a plugin goes away.
        node.run(f"rm -f {CHECKPOINT}")
        apply(node, "plugin", manifest or plugin_manifest())
        wanted = {resource["name"] for resource in config["resources"]}
        return wait_offered(node, wanted, PLUGIN_POD)


def wait_offered(node, wanted, pod):
    """Waits until the node offers the resources `wanted`; returns as offered()."""
    return wait_for(node, f"the kubelet knows devices of {', '.join(sorted(wanted))}",
                    lambda: (known := offered(node)).keys() >= set(wanted) and known,
                    idle_s=15, evidence=lambda: pod_evidence(node, pod))


def wait_registered(node, pod, count):
    """Waits until the plugin in `pod` has registered `count` times."""
    wait_for(node, f"{pod} has registered {count} times",
             lambda: pod_output(node, pod).count("registered resource=") >= count,
             idle_s=15, evidence=lambda: pod_evidence(node, pod))


def stop_plugin(node):
    """Ends the plugin's pod."""
    with step("plugin ends"):
        end_pod(node, "plugin", PLUGIN_POD)


def release_windows(node):
    """Runs the plugin once to give every window back, as before it is uninstalled; returns what
    it printed."""
    manifest = plugin_manifest(args=["--release"])
    manifest["metadata"]["name"] = "release"
    manifest["spec"]["restartPolicy"] = "Never"
    with step("plugin gives all windows back"):
        apply(node, "release", manifest)
        wait_for(node, "the plugin has released its windows",
                 lambda: find_pod(node, "release", phase="Succeeded"), idle_s=15,
                 give_up=lambda: find_pod(node, "release", phase="Failed") and "the pod has failed",
                 evidence=lambda: pod_evidence(node, "release"))
        said = pod_output(node, "release").splitlines()
        end_pod(node, "release", "release")
    return said


def reservations(node):
    """What the plugin's ledger says is reserved."""
    return json.loads(node.run(f"cat {LEDGER}"))["content"]["reservations"]


def offered(node):
    """Resources with devices that the kubelet holds healthy: {resource: sorted device IDs}."""
    text = node.ask(f"cat {CHECKPOINT}").out
    if not text:
        return {}
    registered = json.loads(text)["Data"]["RegisteredDevices"] or {}
    return {resource: sorted(ids) for resource, ids in registered.items() if ids}


# The VM


def run_vm(node, name, manifest=None, meanwhile=lambda: None, look=lambda: None):
    """Runs the VM pod with the NVMe until it has read its disk; returns what was seen.

    meanwhile: called once the kubelet has the pod; look: called while the VM runs.
    """
    bdf = nvme(node)
    before = describe_group(node, bdf)
    began = time.monotonic()
    with step(f"VM {name}: manifest to checksum"):
        log = start_vm(node, name, manifest, meanwhile)
    seconds = time.monotonic() - began
    during = describe_group(node, bdf)
    doorbells = [int(line.split()[2], 16) for line in node.run(f"msi-address {bdf}").splitlines()]
    host_interrupts = _host_interrupts(node, bdf)
    look()
    with step(f"VM {name}: end"):
        end_pod(node, name, name)
    return VmRun(
        before=before, during=during, doorbells=doorbells, host_interrupts=host_interrupts,
        environment=environment_of(log), settings=settings_of(log),
        guest_interrupts={device: int(count) for count, device in
                          re.findall(r"^guest: interrupts (\d+) \S+ (\S+)", log, re.MULTILINE)},
        sha256=_only(r"^guest: sha256 (\w+)", log), seconds=seconds, output=log)


def refused_vm(node, name):
    """Gives the kubelet the VM pod and returns why it failed; the pod is taken away again."""
    with step(f"VM {name}: refused"):
        apply(node, name, vm_manifest(name))
        pod = wait_for(node, f"pod {name} has failed",
                       lambda: find_pod(node, name, phase="Failed"), idle_s=15,
                       give_up=lambda: find_pod(node, name, phase="Running") and "it runs",
                       evidence=lambda: pod_evidence(node, name))
        end_pod(node, name, name)
    return FailedPod(pod["status"].get("reason", ""), pod["status"].get("message", ""))


def vm_manifest(name):
    manifest = yaml.safe_load(VM_MANIFEST.read_text(encoding="utf-8"))
    manifest["metadata"]["name"] = name
    return manifest


def environment_of(log):
    """The variables that the pod has printed."""
    return dict(re.findall(r"^vm: env ([^=]+)=(.*)$", log, re.MULTILINE))


def settings_of(log):
    """The settings files that the pod has printed."""
    return [json.loads(text) for text in re.findall(r"^vm: settings (.*)$", log, re.MULTILINE)]


def start_vm(node, name, manifest=None, meanwhile=lambda: None):
    """Starts the VM; returns the pod's output up to the point where the guest is done."""
    apply(node, name, manifest or vm_manifest(name))
    meanwhile()

    def output():
        text = pod_output(node, name)
        return text if re.search(r"^guest: done", text, re.MULTILINE) else None

    def failure():
        pod = find_pod(node, name)
        if pod and pod["status"]["phase"] in ("Failed", "Succeeded"):
            return f"the pod has ended: {pod['status'].get('message', 'see its output')}"
        return None

    return wait_for(node, f"the guest of VM {name} has read its disk", output, idle_s=25,
                    give_up=failure, evidence=lambda: pod_evidence(node, name))


def reads_of(node, name):
    """What the VM has read so far: [(how often, checksum)]."""
    return [(int(count), checksum) for count, checksum in
            re.findall(r"^guest: read (\d+) (\w+)$", pod_output(node, name), re.MULTILINE)] or [(0, "")]


def _host_interrupts(node, bdf):
    """Interrupts of `bdf` the node has handed to VFIO, over all vectors and processors."""
    total = 0
    for line in node.run("cat /proc/interrupts").splitlines():
        if re.search(rf"vfio-msix\[\d+\]\({bdf}\)$", line):
            total += sum(int(word) for word in line.split()[1:] if word.isdigit())
    return total


# Pods


def wait_for(node, what, condition, idle_s, evidence, give_up=lambda: None):
    """waiting.wait_for() for something on `node`, which must live for it.

    The pace leaves the emulated processors to the node: each poll is a command there.
    """
    return waiting.wait_for(f"{what} (node {node.name})", condition, idle_s, evidence,
                            give_up=lambda: node.death() or give_up(), every_s=0.5)


def apply(node, file_name, manifest):
    """Gives the kubelet a static pod that it has never seen."""
    # Without a UID it takes a hash of the manifest, and thinks of the same manifest as of a pod
    # that has ended already.
    manifest["metadata"]["uid"] = str(uuid.uuid4())
    node.apply(file_name, yaml.safe_dump(manifest))


def find_pod(node, name, phase=None):
    """The pod `name` (its static name ends in the node's), if there is one in `phase`."""
    for pod in node.pods():
        if pod["metadata"]["name"] == f"{name}-node":
            return pod if phase in (None, pod["status"].get("phase")) else None
    return None


def end_pod(node, manifest, name):
    """Withdraws a static pod and waits until nothing of it runs."""
    pod = find_pod(node, name)
    node.withdraw(manifest)
    if not pod:
        return
    uid = pod["metadata"]["uid"]
    # What find walks through may vanish under its feet.
    cgroups = f"find /sys/fs/cgroup -type d -name pod{uid} 2> /dev/null || true"
    wait_for(node, f"pod {name} is gone",
             lambda: not node.run(cgroups) and not find_pod(node, name),
             idle_s=15, evidence=lambda: pod_evidence(node, name))


def kernel_release(node):
    return node.run("uname -r").strip()


def kubelet_version(node):
    return node.run("kubelet --version").removeprefix("Kubernetes ").strip()


def pod_output(node, name):
    """What the pod has printed so far, without containerd's prefixes."""
    return _without_prefixes(node.ask(f"cat /var/log/pods/*_{name}-node_*/*/*.log").out)


def latest_attempt(node, name):
    """Which attempt at the pod's container is the latest, and what it has printed; the kubelet keeps few of the former ones."""
    paths = node.ask(f"ls /var/log/pods/*_{name}-node_*/*/*.log").out.split()
    if not paths:
        return -1, ""
    latest = max(paths, key=lambda path: int(pathlib.PurePath(path).stem))
    return int(pathlib.PurePath(latest).stem), _without_prefixes(node.ask(f"cat {latest}").out)


def _without_prefixes(log):
    # TIME STREAM F TEXT
    return "\n".join(line.split(" ", 3)[-1].rstrip("\r") for line in log.splitlines())


def pod_evidence(node, name):
    pod = find_pod(node, name)
    status = json.dumps(pod["status"], indent=1) if pod else "the kubelet knows no such pod"
    kubelet = "\n".join(node.log("kubelet").splitlines()[-15:])
    return (f"--- status of pod {name}\n{status}\n--- its output\n{pod_output(node, name)[-3000:]}\n"
            f"--- end of the kubelet's log\n{kubelet}")


def _only(pattern, text):
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise LabError(f"the VM did not print {pattern!r}:\n{text[-3000:]}")
    return found[1]
