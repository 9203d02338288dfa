# SPDX-License-Identifier: Apache-2.0
"""The whole chain on real parts, as functions that return facts.

Kernel, kubelet, containerd, plugin, pod, QEMU, guest: `make demo` prints these facts, the tests
assert them. Nothing here judges.
"""

import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import uuid

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from vlab import disks, golang, images, kernels, machine, podimages, rootfs, waiting  # noqa: E402
from vlab.errors import LabError  # noqa: E402
from vlab.node import Node  # noqa: E402
from vlab.processes import clean_up_on_sigterm  # noqa: E402
from vlab.progress import step  # noqa: E402

KUBELET = os.environ.get("VFIO_DOORBELL_KUBELET", golang.DEFAULT_KUBELET)
PLUGIN_MANIFEST = ROOT / "manifests" / "static-pod.yaml"
BINDING_MANIFEST = ROOT / "manifests" / "binding.yaml"
CONFIG = pathlib.Path(__file__).parent / "config.yaml"
VM_MANIFEST = pathlib.Path(__file__).parent / "vm.yaml"
PLUGIN_POD = "vfio-doorbell-plugin"
CONFIG_PATH = "/etc/vfio-doorbell/config.yaml"
KUBELET_CONFIG = "/etc/kubernetes/kubelet.yaml"
LEDGER = "/var/lib/vfio-doorbell/ledger.json"
CHECKPOINT = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"
DRIVERS = "/var/lib/vfio-doorbell/drivers.json"
DEVICES = ["nvme", "edu", "pair"]
BOUND_DEVICES = ["nvme", "nvme", "edu"]  # of a node whose devices are left to the kernel
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


@dataclasses.dataclass(frozen=True)
class FailedPod:
    """A pod the kubelet refused."""
    reason: str
    message: str


@dataclasses.dataclass(frozen=True)
class FirstLight:
    """The chain on a kernel with the knob: first only observed, then with a window moved."""
    release: str                   # uname -r of the node
    kubelet: str                   # its version: "v1.34.2"
    bdfs: list[str]                # the devices, in the order of DEVICES; "pair" has two
    offered: dict[str, list[str]]  # resources of the node and their device IDs
    pair: Group
    observed: VmRun
    enforced: VmRun
    release_said: list[str]        # what the plugin printed when it gave everything back
    released: Group                # the NVMe's group after that


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An allocation whose write the kernel refuses."""
    group: Group
    pod: FailedPod


@dataclasses.dataclass(frozen=True)
class WithoutKnob:
    """The chain on a kernel without the knob, the plugin being told to enforce."""
    release: str
    bdfs: list[str]
    offered: dict[str, list[str]]
    run: VmRun
    plugin_log: str


@dataclasses.dataclass(frozen=True)
class Lease:
    """A pod VM with a device of each of two resources, from its start until its window is free."""
    nvme: Group                # while the VM runs
    edu: Group
    settings: list[dict]       # in the pod
    held: list[dict]           # reservations of the ledger meanwhile
    freed: Group               # the NVMe's group afterwards
    left: list[dict]           # reservations of the ledger then
    seconds: float             # from the end of the pod to the last window that was put back
    plugin_log: str


@dataclasses.dataclass(frozen=True)
class Registration:
    """A plugin that registers in one way, a kubelet that is killed, and a new plugin beside the old one."""
    offered: dict[str, list[str]]        # as in FirstLight, at first
    offered_again: dict[str, list[str]]  # by the next kubelet
    offered_by_new: dict[str, list[str]]  # when the old plugin has gone
    register_calls: int                  # that kubelets have got in all this
    gaps: list[float]                    # seconds during the update in which the kubelet had no NVMe to allocate
    plugin_log: str                      # of the old one


@dataclasses.dataclass(frozen=True)
class Endurance:
    """A VM that reads its disk while plugin and kubelet are killed, again and again."""
    kills: int                  # of the plugin
    restarts: int               # of the kubelet
    windows: list[str | None]   # msi_window of the NVMe's group: at first, and after each of them
    held: list[dict]            # reservations of the ledger in the end
    reads: list[int]            # how often the VM had read by then; as `windows`
    sums: set[str]              # of all that it has read
    plugin_log: str


@dataclasses.dataclass(frozen=True)
class Reboot:
    """A node whose power is cut while a VM runs."""
    held: list[dict]       # reservations of the ledger after it
    woken: Group           # the NVMe's group, before the plugin runs again
    pod: dict              # status of the VM's pod
    left: list[dict]       # reservations when the grace time is over
    again: VmRun           # the next VM


@dataclasses.dataclass(frozen=True)
class Binding:
    """A plugin that binds: two NVMe disks, one of them mounted at first, and a device without driver.

    The drivers of the devices are in the order of BOUND_DEVICES, as "DRIVER OVERRIDE".
    """
    bdfs: list[str]
    at_first: list[str]
    mounted: list[str]             # while the second disk is mounted
    offered: dict[str, list[str]]  # meanwhile: resources of the node and their device IDs
    freed: list[str]               # when it is not mounted any more
    recorded: list[dict]           # what the plugin knows of the former drivers then
    held: list[str]                # bind is gone from the configuration, and a VM has the first disk
    reads: list[int]               # how often that VM had read by then, and some time later
    given_back: list[str]          # after its end
    sha256: str                    # of what the first disk holds, read by the node
    plugin_log: str


# Scenarios


def first_light(node):
    """The VM in the kernel's own window, then in one of the pool, then everything given back."""
    offer = start_plugin(node, "observe")
    observed = run_vm(node, "vm-observed")
    stop_plugin(node)
    start_plugin(node, "enforce")
    enforced = run_vm(node, "vm-enforced")
    stop_plugin(node)
    said = release_windows(node)
    return FirstLight(
        release=_kernel_release(node), kubelet=_kubelet_version(node), bdfs=node.bdfs, offered=offer, observed=observed,
        enforced=enforced, release_said=said, released=describe_group(node, nvme(node)),
        pair=describe_group(node, node.bdfs[-1]))


def refused_write(node):
    """A plugin without CAP_SYS_RAWIO: the kernel refuses its write."""
    start_plugin(node, "enforce", plugin_manifest(
        securityContext={"readOnlyRootFilesystem": True,
                         "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}))
    pod = refused_vm(node, "vm-refused")
    stop_plugin(node)
    return Refusal(describe_group(node, nvme(node)), pod)


def lease(node):
    """One window for all devices of a pod, given back when the pod has gone."""
    start_plugin(node, "enforce")
    manifest = _vm_manifest("vm-lease")
    manifest["spec"]["containers"][0]["resources"]["limits"][EDU] = 1
    with step("VM vm-lease: manifest to checksum"):
        log = _start_vm(node, "vm-lease", manifest)
    edu = node.bdfs[DEVICES.index("edu")]
    groups = describe_group(node, nvme(node)), describe_group(node, edu)
    held = reservations(node)
    with step("VM vm-lease: end"):
        _end_pod(node, "vm-lease", "vm-lease")
    ended = time.monotonic()
    with step("its window is given back"):
        _wait_for(node, "the windows of the ended pod are the kernel's default",
                  lambda: all(describe_group(node, bdf).knob == describe_group(node, node.bdfs[-1]).knob
                              for bdf in (nvme(node), edu)),
                  idle_s=30, evidence=lambda: _pod_evidence(node, PLUGIN_POD))
        seconds = time.monotonic() - ended
        _wait_for(node, "the ledger is empty", lambda: not reservations(node), idle_s=5,
                  evidence=lambda: _pod_evidence(node, PLUGIN_POD))
    plugin_log = _pod_output(node, PLUGIN_POD)
    left = reservations(node)
    stop_plugin(node)
    return Lease(*groups, _settings(log), held, describe_group(node, nvme(node)), left, seconds, plugin_log)


def registration(node, way):
    """Registers with `--registration=way`, survives a kubelet, and is updated."""
    _make_kubelet_talk(node)
    began = len(_kubelet_log(node))
    arguments = [f"--registration={way}"]
    offer = start_plugin(node, "enforce", plugin_manifest(args=arguments))
    with step("the kubelet is killed"):
        node.run(f"rm -f {CHECKPOINT}; pkill -KILL -x kubelet")
        again = _wait_offered(node, offer.keys(), PLUGIN_POD)
    new = f"{PLUGIN_POD}-new"
    manifest = plugin_manifest(args=arguments)
    manifest["metadata"]["name"] = new
    with step("a new plugin beside the old one"):
        _apply(node, "plugin-new", manifest)
        _wait_registered(node, new, len(offer))
    plugin_log = _pod_output(node, PLUGIN_POD)
    update = len(_kubelet_log(node))
    stop_plugin(node)
    with step("the new plugin serves alone"):
        _wait_for(node, "the kubelet has the devices of the new plugin",
                  lambda: _is_allocatable(_kubelet_log(node), NVME), idle_s=15,
                  evidence=lambda: _pod_evidence(node, new))
        by_new = offered(node)
        gaps = _gaps(_kubelet_log(node)[update:], NVME)
        _end_pod(node, "plugin-new", new)
    calls = sum("Got registration request" in line for line in _kubelet_log(node)[began:])
    return Registration(offer, again, by_new, calls, gaps, plugin_log)


def endure(node, kills, restarts):
    """A VM under a plugin that is killed `kills` times and a kubelet that is killed `restarts` times."""
    start_plugin(node, "enforce")
    with step("VM vm-endures: manifest to checksum"):
        _start_vm(node, "vm-endures")
    windows, reads = [describe_group(node, nvme(node)).knob], [_reads(node, "vm-endures")[-1][0]]

    def look():
        count = reads[-1]
        _wait_for(node, "the VM goes on reading",
                  lambda: (seen := _reads(node, "vm-endures")) and seen[-1][0] > count, idle_s=15,
                  evidence=lambda: _pod_evidence(node, "vm-endures"))
        windows.append(describe_group(node, nvme(node)).knob)
        reads.append(_reads(node, "vm-endures")[-1][0])

    with step(f"{kills} kills of the plugin"):
        for _ in range(kills):
            node.run("pkill -KILL -x vfio-doorbell-p")
            # A pod of its own each time: the kubelet waits longer and longer before it starts one again.
            _end_pod(node, "plugin", PLUGIN_POD)
            start_plugin(node, "enforce")
            look()
    with step(f"{restarts} kills of the kubelet"):
        for _ in range(restarts):
            registered = _pod_output(node, PLUGIN_POD).count("registered resource=")
            node.run("pkill -KILL -x kubelet")
            _wait_for(node, "the plugin has registered with the next kubelet",
                      lambda: _pod_output(node, PLUGIN_POD).count("registered resource=") >= registered + 2,
                      idle_s=30, evidence=lambda: _pod_evidence(node, PLUGIN_POD))
            look()
    held = reservations(node)
    log = _pod_output(node, PLUGIN_POD)
    sums = {checksum for count, checksum in _reads(node, "vm-endures") if count}
    with step("VM vm-endures: end"):
        _end_pod(node, "vm-endures", "vm-endures")
    stop_plugin(node)
    return Endurance(kills, restarts, windows, held, reads, sums, log)


def reboot(node):
    """The power is cut under a VM; later there is another one."""
    start_plugin(node, "enforce")
    with step("VM vm-rebooted: manifest to checksum"):
        _start_vm(node, "vm-rebooted")
    # The plugin is started anew by hand, so that the node can be seen as it woke up.
    node.withdraw("plugin")
    node.run("sync")
    node.power_cycle(kernels.find("patched"), DEVICES, bound=True)
    woken, held = describe_group(node, nvme(node)), reservations(node)
    start_plugin(node, "enforce")
    pod = _wait_for(node, "the kubelet says what has become of the pod",
                    lambda: (found := _pod(node, "vm-rebooted")) and found["status"].get("phase") and found,
                    idle_s=15, evidence=lambda: _pod_evidence(node, "vm-rebooted"))
    with step("the pod that was is taken away"):
        _end_pod(node, "vm-rebooted", "vm-rebooted")
        _wait_for(node, "the ledger is empty", lambda: not reservations(node), idle_s=40,
                  evidence=lambda: _pod_evidence(node, PLUGIN_POD))
    left = reservations(node)
    again = run_vm(node, "vm-again")
    stop_plugin(node)
    return Reboot(held, woken, pod["status"], left, again)


def binding(node):
    """Devices bound by the plugin, and given back when the configuration does not want them."""
    wanted = binding_config(bind=True)
    at_first = drivers(node)
    second = node.bdfs[1]
    _mount_in_a_namespace(node, second)
    offer = start_plugin(node, "enforce", plugin_manifest(BINDING_MANIFEST), config=wanted)
    log = lambda: _pod_output(node, PLUGIN_POD)  # noqa: E731
    evidence = lambda: _pod_evidence(node, PLUGIN_POD)  # noqa: E731
    with step("all but the mounted disk are bound"):
        _wait_for(node, "the plugin has refused the mounted disk",
                  lambda: "driver not bound" in log(), idle_s=15, evidence=evidence)
        _wait_for(node, "the kubelet knows the devices that are bound",
                  lambda: (known := offered(node)) == {NVME: [nvme(node)], EDU: [node.bdfs[2]]} and known,
                  idle_s=15, evidence=evidence)
    mounted, offer = drivers(node), offered(node)
    with step("it is bound when it is not mounted any more"):
        node.run("kill $(cat /run/mounter)")
        _wait_for(node, "the disk is bound", lambda: drivers(node)[1].startswith("vfio-pci"), idle_s=45,
                  evidence=evidence)
    freed, recorded = drivers(node), json.loads(node.run(f"cat {DRIVERS}"))["functions"]
    with step("VM vm-bound: manifest to checksum"):
        _start_vm(node, "vm-bound")
    reads = [_reads(node, "vm-bound")[-1][0]]
    with step("drivers are given back, but not under the VM"):
        node.put(CONFIG_PATH, yaml.safe_dump(binding_config(bind=False)))
        _wait_for(node, "the second disk and the device without driver are given back",
                  lambda: drivers(node)[1:] == at_first[1:], idle_s=30, evidence=evidence)
        _wait_for(node, "the plugin says that the first disk is held",
                  lambda: "driver not given back" in log(), idle_s=15, evidence=evidence)
        held = drivers(node)
        _wait_for(node, "the VM goes on reading",
                  lambda: _reads(node, "vm-bound")[-1][0] > reads[0] + 1, idle_s=30,
                  evidence=lambda: _pod_evidence(node, "vm-bound"))
    reads.append(_reads(node, "vm-bound")[-1][0])
    with step("the first disk is given back after its end"):
        _end_pod(node, "vm-bound", "vm-bound")
        _wait_for(node, "the first disk is given back", lambda: drivers(node)[0].startswith("nvme"),
                  idle_s=75, evidence=evidence)
    given_back, said = drivers(node), log()
    disk = _wait_for(node, "the first disk is there", lambda: disk_of(node, nvme(node)), idle_s=15,
                     evidence=lambda: node.log("serial"))
    checksum = node.run(f"head -c {READ_BYTES} {disk} | sha256sum").split()[0]
    stop_plugin(node)
    return Binding(node.bdfs, at_first, mounted, offer, freed, recorded, held, reads, given_back, checksum, said)


def without_knob(node):
    """A plugin that is told to enforce where it cannot."""
    offer = start_plugin(node, "enforce")
    run = run_vm(node, "vm-stock")
    log = _pod_output(node, PLUGIN_POD)
    stop_plugin(node)
    return WithoutKnob(_kernel_release(node), node.bdfs, offer, run, log)


# The node


@contextlib.contextmanager
def running_node(name, kernel, **devices):
    """start_node() for the length of a with block, which ends on SIGTERM too."""
    clean_up_on_sigterm()
    node = start_node(name, kernel, **devices)
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


def start_node(name, kernel, kinds=tuple(DEVICES), vfio=True):
    """A node called `name` with these devices and the images of this scenario, its kubelet healthy."""
    archives = [podimages.pause(), podimages.vm(kernels.find("patched").image),
                podimages.plugin(build_plugin())]
    return Node(name).up(kernels.find(kernel), rootfs.build(KUBELET), images.disk(archives), kinds,
                         bound=True, vfio=vfio)


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


def drivers(node):
    """The driver and the driver_override of each device, in the order of the devices."""
    return node.run("".join(f"""
        echo "$(sed -n s/^DRIVER=//p /sys/bus/pci/devices/{bdf}/uevent)" \\
             "$(cat /sys/bus/pci/devices/{bdf}/driver_override)"\n""" for bdf in node.bdfs)).splitlines()


def disk_of(node, bdf):
    """The block device of the NVMe `bdf`; empty if there is none."""
    names = node.ask(f"cd /sys/bus/pci/devices/{bdf}/nvme && ls -d nvme*/nvme*n1").out.split()
    return f"/dev/{pathlib.PurePath(names[0]).name}" if names else ""


def _mount_in_a_namespace(node, bdf):
    """Makes a file system on the NVMe `bdf` and mounts it where only one process sees it, whose number is in
    /run/mounter."""
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        (place / "tree").mkdir()
        disks.make_ext4(place / "tree", place / "image", 1)
        image = base64.b64encode((place / "image").read_bytes()).decode()
    node.run(f"base64 -d > {disk_of(node, bdf)}", stdin=image)
    node.run(f"""
        mkdir /run/mounted
        setsid unshare --mount sh -c 'mount {disk_of(node, bdf)} /run/mounted && echo $$ > /run/mounter.new &&
            mv /run/mounter.new /run/mounter && exec sleep infinity' < /dev/null > /dev/null 2>&1 &""")
    _wait_for(node, f"{bdf} is mounted", lambda: node.ask("cat /run/mounter").out, idle_s=5,
              evidence=lambda: node.log("serial"))


def knob_window(text):
    """The window that msi_window's "0xBASE 0xSIZE" names."""
    base, size = (int(number, 16) for number in text.split())
    return Window(base, base + size - 1)


# The plugin


def binding_config(bind):
    """The plugin's configuration, with `bind` at each selector."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    for resource in config["resources"]:
        for selector in resource["selectors"]:
            selector["bind"] = bind
    return config


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
        _apply(node, "plugin", manifest or plugin_manifest())
        wanted = {resource["name"] for resource in config["resources"]}
        return _wait_offered(node, wanted, PLUGIN_POD)


def _wait_offered(node, wanted, pod):
    """Waits until the node offers the resources `wanted`; returns as offered()."""
    return _wait_for(node, f"the kubelet knows devices of {', '.join(sorted(wanted))}",
                     lambda: (known := offered(node)).keys() >= set(wanted) and known,
                     idle_s=15, evidence=lambda: _pod_evidence(node, pod))


def _wait_registered(node, pod, count):
    """Waits until the plugin in `pod` has registered `count` times."""
    _wait_for(node, f"{pod} has registered {count} times",
              lambda: _pod_output(node, pod).count("registered resource=") >= count,
              idle_s=15, evidence=lambda: _pod_evidence(node, pod))


def stop_plugin(node):
    """Ends the plugin's pod."""
    with step("plugin ends"):
        _end_pod(node, "plugin", PLUGIN_POD)


def release_windows(node):
    """Runs the plugin once to give every window back, as before it is uninstalled; returns what
    it printed."""
    manifest = plugin_manifest(args=["--release"])
    manifest["metadata"]["name"] = "release"
    manifest["spec"]["restartPolicy"] = "Never"
    with step("plugin gives all windows back"):
        _apply(node, "release", manifest)
        _wait_for(node, "the plugin has released its windows",
                  lambda: _pod(node, "release", phase="Succeeded"), idle_s=15,
                  give_up=lambda: _pod(node, "release", phase="Failed") and "the pod has failed",
                  evidence=lambda: _pod_evidence(node, "release"))
        said = _pod_output(node, "release").splitlines()
        _end_pod(node, "release", "release")
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


# What the kubelet says of devices, in its log


def _make_kubelet_talk(node):
    """Lets the kubelet log when devices come and go, if it does not yet."""
    if "verbosity" in node.run(f"cat {KUBELET_CONFIG}"):
        return
    with step("the kubelet gets talkative"):
        node.run(f"echo 'logging: {{verbosity: 2}}' >> {KUBELET_CONFIG}; pkill -KILL -x kubelet")
        _wait_for(node, "the talkative kubelet has started its plugin manager",
                  lambda: any("Plugin Watcher Start" in line for line in _kubelet_log(node)), idle_s=15,
                  evidence=lambda: node.log("kubelet")[-2000:])


def _kubelet_log(node):
    return node.log("kubelet").splitlines()


def _allocatable_changes(lines, resource):
    """[(seconds of the day, whether there is a device to allocate)], as the kubelet logs them."""
    changes = []
    for line in lines:
        found = re.match(r'I\d{4} (\d\d):(\d\d):(\d\d\.\d+) .*\] "(Mark all resources Unhealthy|Processed device updates)[^"]*" '
                         rf'resourceName="{re.escape(resource)}"(?:.* healthyCount=(\d+))?', line)
        if found:
            hours, minutes, seconds, what, healthy = found.groups()
            changes.append((int(hours) * 3600 + int(minutes) * 60 + float(seconds),
                            what.startswith("Processed") and int(healthy) > 0))
    return changes


def _is_allocatable(lines, resource):
    changes = _allocatable_changes(lines, resource)
    return bool(changes) and changes[-1][1]


def _gaps(lines, resource):
    """How long each time without a device was, in seconds."""
    gaps, since = [], None
    for when, there in _allocatable_changes(lines, resource):
        if there and since is not None:
            gaps.append((when - since) % 86400)
        since = None if there else since if since is not None else when
    return gaps


# The VM


def run_vm(node, name):
    """Runs the VM pod with the NVMe until it has read its disk; returns what was seen."""
    bdf = nvme(node)
    before = describe_group(node, bdf)
    began = time.monotonic()
    with step(f"VM {name}: manifest to checksum"):
        log = _start_vm(node, name)
    seconds = time.monotonic() - began
    during = describe_group(node, bdf)
    doorbells = [int(line.split()[2], 16) for line in node.run(f"msi-address {bdf}").splitlines()]
    host_interrupts = _host_interrupts(node, bdf)
    with step(f"VM {name}: end"):
        _end_pod(node, name, name)
    return VmRun(
        before=before, during=during, doorbells=doorbells, host_interrupts=host_interrupts,
        environment=dict(re.findall(r"^vm: env ([^=]+)=(.*)$", log, re.MULTILINE)),
        settings=_settings(log),
        guest_interrupts={device: int(count) for count, device in
                          re.findall(r"^guest: interrupts (\d+) \S+ (\S+)", log, re.MULTILINE)},
        sha256=_only(r"^guest: sha256 (\w+)", log), seconds=seconds)


def refused_vm(node, name):
    """Gives the kubelet the VM pod and returns why it failed; the pod is taken away again."""
    with step(f"VM {name}: refused"):
        _apply(node, name, _vm_manifest(name))
        pod = _wait_for(node, f"pod {name} has failed",
                        lambda: _pod(node, name, phase="Failed"), idle_s=15,
                        give_up=lambda: _pod(node, name, phase="Running") and "it runs",
                        evidence=lambda: _pod_evidence(node, name))
        _end_pod(node, name, name)
    return FailedPod(pod["status"].get("reason", ""), pod["status"].get("message", ""))


def _vm_manifest(name):
    manifest = yaml.safe_load(VM_MANIFEST.read_text(encoding="utf-8"))
    manifest["metadata"]["name"] = name
    return manifest


def _settings(log):
    """The settings files that the pod has printed."""
    return [json.loads(text) for text in re.findall(r"^vm: settings (.*)$", log, re.MULTILINE)]


def _start_vm(node, name, manifest=None):
    """Starts the VM; returns the pod's output up to the point where the guest is done."""
    _apply(node, name, manifest or _vm_manifest(name))

    def output():
        text = _pod_output(node, name)
        return text if re.search(r"^guest: done", text, re.MULTILINE) else None

    def failure():
        pod = _pod(node, name)
        if pod and pod["status"]["phase"] in ("Failed", "Succeeded"):
            return f"the pod has ended: {pod['status'].get('message', 'see its output')}"
        return None

    return _wait_for(node, f"the guest of VM {name} has read its disk", output, idle_s=25,
                     give_up=failure, evidence=lambda: _pod_evidence(node, name))


def _reads(node, name):
    """What the VM has read so far: [(how often, checksum)]."""
    return [(int(count), checksum) for count, checksum in
            re.findall(r"^guest: read (\d+) (\w+)$", _pod_output(node, name), re.MULTILINE)] or [(0, "")]


def _host_interrupts(node, bdf):
    """Interrupts of `bdf` the node has handed to VFIO, over all vectors and processors."""
    total = 0
    for line in node.run("cat /proc/interrupts").splitlines():
        if re.search(rf"vfio-msix\[\d+\]\({bdf}\)$", line):
            total += sum(int(word) for word in line.split()[1:] if word.isdigit())
    return total


# Pods


def _wait_for(node, what, condition, idle_s, evidence, give_up=lambda: None):
    """waiting.wait_for() for something on `node`, which must live for it.

    The pace leaves the emulated processors to the node: each poll is a command there.
    """
    return waiting.wait_for(f"{what} (node {node.name})", condition, idle_s, evidence,
                            give_up=lambda: node.death() or give_up(), every_s=0.5)


def _apply(node, file_name, manifest):
    """Gives the kubelet a static pod that it has never seen."""
    # Without a UID it takes a hash of the manifest, and thinks of the same manifest as of a pod
    # that has ended already.
    manifest["metadata"]["uid"] = str(uuid.uuid4())
    node.apply(file_name, yaml.safe_dump(manifest))


def _pod(node, name, phase=None):
    """The pod `name` (its static name ends in the node's), if there is one in `phase`."""
    for pod in node.pods():
        if pod["metadata"]["name"] == f"{name}-node":
            return pod if phase in (None, pod["status"].get("phase")) else None
    return None


def _end_pod(node, manifest, name):
    """Withdraws a static pod and waits until nothing of it runs."""
    pod = _pod(node, name)
    node.withdraw(manifest)
    if not pod:
        return
    uid = pod["metadata"]["uid"]
    # What find walks through may vanish under its feet.
    cgroups = f"find /sys/fs/cgroup -type d -name pod{uid} 2> /dev/null || true"
    _wait_for(node, f"pod {name} is gone",
              lambda: not node.run(cgroups) and not _pod(node, name),
              idle_s=15, evidence=lambda: _pod_evidence(node, name))


def _kernel_release(node):
    return node.run("uname -r").strip()


def _kubelet_version(node):
    return node.run("kubelet --version").removeprefix("Kubernetes ").strip()


def _pod_output(node, name):
    """What the pod has printed so far, without containerd's prefixes."""
    text = node.ask(f"cat /var/log/pods/*_{name}-node_*/*/*.log").out
    # TIME STREAM F TEXT
    return "\n".join(line.split(" ", 3)[-1].rstrip("\r") for line in text.splitlines())


def _pod_evidence(node, name):
    pod = _pod(node, name)
    status = json.dumps(pod["status"], indent=1) if pod else "the kubelet knows no such pod"
    kubelet = "\n".join(node.log("kubelet").splitlines()[-15:])
    return (f"--- status of pod {name}\n{status}\n--- its output\n{_pod_output(node, name)[-3000:]}\n"
            f"--- end of the kubelet's log\n{kubelet}")


def _only(pattern, text):
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise LabError(f"the VM did not print {pattern!r}:\n{text[-3000:]}")
    return found[1]
