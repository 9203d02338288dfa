# SPDX-License-Identifier: Apache-2.0
"""What is done with the chain, as functions that return facts.

`make demo` prints these facts, the tests assert them. Nothing here judges.
"""

import base64
import dataclasses
import json
import pathlib
import re
import tempfile
import time

import yaml

import kubelet_log
from chain import (CHECKPOINT, CONFIG, CONFIG_PATH, DEVICES, EDU, FailedPod, Group, NVME, PLUGIN_POD, READ_BYTES, ROOT,
                   VmRun, apply, describe_group, end_pod, find_pod, kernel_release, kubelet_version, latest_attempt, nvme, offered,
                   plugin_manifest, pod_evidence, pod_output, reads_of, refused_vm, release_windows, reservations,
                   run_vm, settings_of, start_plugin, start_vm, stop_plugin, vm_manifest, wait_for, wait_offered,
                   wait_registered)
from vlab import disks, kernels
from vlab.progress import step

BINDING_MANIFEST = ROOT / "manifests" / "binding.yaml"
DRIVERS = "/var/lib/vfio-doorbell/drivers.json"
BOUND_DEVICES = ["nvme", "nvme", "edu"]  # of a node whose devices are left to the kernel


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
    hung: float                 # seconds from a stop of the plugin until the kubelet had started it anew
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
class Return:
    """A node whose power is cut twice under a VM whose pod goes on, with the answer to Allocate that the kubelet once got."""
    before: Group           # the NVMe's group while the VM runs at first
    woken: Group            # after the first cut, before the plugin runs again
    after: Group            # while the VM runs again
    settings: list[dict]    # in the pod, both times
    sums: list[str]         # of what the VM has read, both times
    held: list[dict]        # reservations of the ledger then
    plugin_log: str         # of the plugin after the first cut
    moved: Group            # the NVMe's group after the second cut, with a device in front of it
    namesake: Group         # that device's group then
    refusal: str            # why the container does not start then
    again: VmRun            # the next VM


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
        release=kernel_release(node), kubelet=kubelet_version(node), bdfs=node.bdfs, offered=offer, observed=observed,
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
    manifest = vm_manifest("vm-lease")
    manifest["spec"]["containers"][0]["resources"]["limits"][EDU] = 1
    with step("VM vm-lease: manifest to checksum"):
        log = start_vm(node, "vm-lease", manifest)
    edu = node.bdfs[DEVICES.index("edu")]
    groups = describe_group(node, nvme(node)), describe_group(node, edu)
    held = reservations(node)
    with step("VM vm-lease: end"):
        end_pod(node, "vm-lease", "vm-lease")
    ended = time.monotonic()
    with step("its window is given back"):
        wait_for(node, "the windows of the ended pod are the kernel's default",
                 lambda: all(describe_group(node, bdf).knob == describe_group(node, node.bdfs[-1]).knob
                             for bdf in (nvme(node), edu)),
                 idle_s=30, evidence=lambda: pod_evidence(node, PLUGIN_POD))
        seconds = time.monotonic() - ended
        wait_for(node, "the ledger is empty", lambda: not reservations(node), idle_s=5,
                 evidence=lambda: pod_evidence(node, PLUGIN_POD))
    plugin_log = pod_output(node, PLUGIN_POD)
    left = reservations(node)
    stop_plugin(node)
    return Lease(*groups, settings_of(log), held, describe_group(node, nvme(node)), left, seconds, plugin_log)


def registration(node, way):
    """Registers with `--registration=way`, survives a kubelet, and is updated."""
    kubelet_log.make_talk(node)
    began = len(kubelet_log.lines_of(node))
    arguments = [f"--registration={way}"]
    offer = start_plugin(node, "enforce", plugin_manifest(args=arguments))
    with step("the kubelet is killed"):
        node.run(f"rm -f {CHECKPOINT}; pkill -KILL -x kubelet")
        again = wait_offered(node, offer.keys(), PLUGIN_POD)
    new = f"{PLUGIN_POD}-new"
    manifest = plugin_manifest(args=arguments)
    manifest["metadata"]["name"] = new
    with step("a new plugin beside the old one"):
        apply(node, "plugin-new", manifest)
        wait_registered(node, new, len(offer))
    plugin_log = pod_output(node, PLUGIN_POD)
    update = len(kubelet_log.lines_of(node))
    stop_plugin(node)
    with step("the new plugin serves alone"):
        wait_for(node, "the kubelet has the devices of the new plugin",
                 lambda: kubelet_log.is_allocatable(kubelet_log.lines_of(node), NVME), idle_s=15,
                 evidence=lambda: pod_evidence(node, new))
        by_new = offered(node)
        gaps = kubelet_log.gaps_of(kubelet_log.lines_of(node)[update:], NVME)
        end_pod(node, "plugin-new", new)
    calls = sum("Got registration request" in line for line in kubelet_log.lines_of(node)[began:])
    return Registration(offer, again, by_new, calls, gaps, plugin_log)


def endure(node, kills, restarts):
    """A VM under a plugin that is killed `kills` times and a kubelet that is killed `restarts` times."""
    kubelet_log.make_talk(node)
    start_plugin(node, "enforce")
    with step("VM vm-endures: manifest to checksum"):
        start_vm(node, "vm-endures")
    windows, reads = [describe_group(node, nvme(node)).knob], [reads_of(node, "vm-endures")[-1][0]]

    def look():
        count = reads[-1]
        wait_for(node, "the VM goes on reading",
                 lambda: (seen := reads_of(node, "vm-endures")) and seen[-1][0] > count, idle_s=15,
                 evidence=lambda: pod_evidence(node, "vm-endures"))
        windows.append(describe_group(node, nvme(node)).knob)
        reads.append(reads_of(node, "vm-endures")[-1][0])

    with step(f"{kills} kills of the plugin"):
        for _ in range(kills):
            node.run("pkill -KILL -x vfio-doorbell-p")
            # A pod of its own each time: the kubelet waits longer and longer before it starts one again.
            end_pod(node, "plugin", PLUGIN_POD)
            before = len(kubelet_log.lines_of(node))
            apply(node, "plugin", plugin_manifest())
            kubelet_log.wait_for_lists(node, before, (NVME, EDU), lambda: pod_evidence(node, PLUGIN_POD))
            look()
    with step(f"{restarts} kills of the kubelet"):
        for _ in range(restarts):
            before = len(kubelet_log.lines_of(node))
            node.run("pkill -KILL -x kubelet")
            # By the log of the kubelets: the plugin may register more than once with each.
            wait_for(node, "the next kubelet has both resources",
                     lambda: sum("Got registration request" in line for line in kubelet_log.lines_of(node)[before:]) >= 2,
                     idle_s=30, evidence=lambda: pod_evidence(node, PLUGIN_POD))
            look()
    with step("the plugin hangs, and the kubelet starts it anew"):
        node.run("pkill -STOP -x vfio-doorbell-p")
        hung = time.monotonic()
        wait_for(node, "the kubelet has started the plugin anew", lambda: _restarts_of(node, PLUGIN_POD) > 0, idle_s=90,
                 evidence=lambda: pod_evidence(node, PLUGIN_POD))
        hung = time.monotonic() - hung
        look()
    held = reservations(node)
    log = pod_output(node, PLUGIN_POD)
    sums = {checksum for count, checksum in reads_of(node, "vm-endures") if count}
    with step("VM vm-endures: end"):
        end_pod(node, "vm-endures", "vm-endures")
    stop_plugin(node)
    return Endurance(kills, restarts, hung, windows, held, reads, sums, log)


def _restarts_of(node, pod):
    """How often the kubelet has started the pod's container again."""
    found = find_pod(node, pod)
    return found["status"]["containerStatuses"][0]["restartCount"] if found else 0


def reboot(node):
    """The power is cut under a VM; later there is another one."""
    start_plugin(node, "enforce")
    with step("VM vm-rebooted: manifest to checksum"):
        start_vm(node, "vm-rebooted")
    # The plugin is started anew by hand, so that the node can be seen as it woke up.
    node.withdraw("plugin")
    node.run("sync")
    node.power_cycle(kernels.find("patched"), DEVICES, bound=True)
    woken, held = describe_group(node, nvme(node)), reservations(node)
    start_plugin(node, "enforce")
    pod = wait_for(node, "the kubelet says what has become of the pod",
                   lambda: (found := find_pod(node, "vm-rebooted")) and found["status"].get("phase") and found,
                   idle_s=15, evidence=lambda: pod_evidence(node, "vm-rebooted"))
    with step("the pod that was is taken away"):
        end_pod(node, "vm-rebooted", "vm-rebooted")
        wait_for(node, "the ledger is empty", lambda: not reservations(node), idle_s=40,
                 evidence=lambda: pod_evidence(node, PLUGIN_POD))
    left = reservations(node)
    again = run_vm(node, "vm-again")
    stop_plugin(node)
    return Reboot(held, woken, pod["status"], left, again)


def come_back(node):
    """The power is cut under a VM whose pod goes on; the second time its group has another number afterwards."""
    name = "vm-comes-back"
    start_plugin(node, "enforce")
    manifest = vm_manifest(name)
    manifest["spec"]["restartPolicy"] = "Always"
    with step(f"VM {name}: manifest to checksum"):
        start_vm(node, name, manifest)
    before = describe_group(node, nvme(node))
    attempt, first = latest_attempt(node, name)
    _cut_power(node, name, DEVICES)
    woken = describe_group(node, nvme(node))
    plugin = _bring_back(node, name, manifest)
    with step(f"VM {name}: reads again"):
        second = wait_for(node, "the guest has read its disk again", lambda: _done_after(node, name, attempt),
                          idle_s=25, evidence=lambda: pod_evidence(node, name))
    after, held = describe_group(node, nvme(node)), reservations(node)
    output, plugin_log = f"{first}\n{second}", _output_of(node, plugin)

    _cut_power(node, name, [*DEVICES, "early"])
    _bring_back(node, name, manifest)
    with step(f"VM {name}: is not started with the node of another group"):
        refusal = wait_for(node, "the container is refused", lambda: _waiting_message(node, name, "GroupChanged"),
                           idle_s=25, evidence=lambda: pod_evidence(node, name))
    moved, namesake = describe_group(node, nvme(node)), describe_group(node, node.bdfs[-1])
    end_pod(node, name, name)
    again = run_vm(node, "vm-after-it")
    stop_plugin(node)
    return Return(before, woken, after, settings_of(output), re.findall(r"^guest: sha256 (\w+)", output, re.MULTILINE),
                  held, plugin_log, moved, namesake, refusal, again)


def binding(node):
    """Devices bound by the plugin, and given back when the configuration does not want them."""
    wanted = binding_config(bind=True)
    at_first = drivers(node)
    second = node.bdfs[1]
    _mount_in_a_namespace(node, second)
    offer = start_plugin(node, "enforce", plugin_manifest(BINDING_MANIFEST), config=wanted)
    log = lambda: pod_output(node, PLUGIN_POD)  # noqa: E731
    evidence = lambda: pod_evidence(node, PLUGIN_POD)  # noqa: E731
    with step("all but the mounted disk are bound"):
        wait_for(node, "the plugin has refused the mounted disk",
                 lambda: "driver not bound" in log(), idle_s=15, evidence=evidence)
        wait_for(node, "the kubelet knows the devices that are bound",
                 lambda: (known := offered(node)) == {NVME: [nvme(node)], EDU: [node.bdfs[2]]} and known,
                 idle_s=15, evidence=evidence)
    mounted, offer = drivers(node), offered(node)
    with step("it is bound when it is not mounted any more"):
        node.run("kill $(cat /run/mounter)")
        wait_for(node, "the disk is bound", lambda: drivers(node)[1].startswith("vfio-pci"), idle_s=45,
                 evidence=evidence)
    freed, recorded = drivers(node), json.loads(node.run(f"cat {DRIVERS}"))["functions"]
    with step("VM vm-bound: manifest to checksum"):
        start_vm(node, "vm-bound")
    reads = [reads_of(node, "vm-bound")[-1][0]]
    with step("drivers are given back, but not under the VM"):
        node.put(CONFIG_PATH, yaml.safe_dump(binding_config(bind=False)))
        wait_for(node, "the second disk and the device without driver are given back",
                 lambda: drivers(node)[1:] == at_first[1:], idle_s=30, evidence=evidence)
        wait_for(node, "the plugin says that the first disk is held",
                 lambda: "driver not given back" in log(), idle_s=15, evidence=evidence)
        held = drivers(node)
        wait_for(node, "the VM goes on reading",
                 lambda: reads_of(node, "vm-bound")[-1][0] > reads[0] + 1, idle_s=30,
                 evidence=lambda: pod_evidence(node, "vm-bound"))
    reads.append(reads_of(node, "vm-bound")[-1][0])
    with step("the first disk is given back after its end"):
        end_pod(node, "vm-bound", "vm-bound")
        wait_for(node, "the first disk is given back", lambda: drivers(node)[0].startswith("nvme"),
                 idle_s=75, evidence=evidence)
    given_back, said = drivers(node), log()
    disk = wait_for(node, "the first disk is there", lambda: disk_of(node, nvme(node)), idle_s=15,
                    evidence=lambda: node.log("serial"))
    checksum = node.run(f"head -c {READ_BYTES} {disk} | sha256sum").split()[0]
    stop_plugin(node)
    return Binding(node.bdfs, at_first, mounted, offer, freed, recorded, held, reads, given_back, checksum, said)


def without_knob(node):
    """A plugin that is told to enforce where it cannot."""
    offer = start_plugin(node, "enforce")
    run = run_vm(node, "vm-stock")
    log = pod_output(node, PLUGIN_POD)
    stop_plugin(node)
    return WithoutKnob(kernel_release(node), node.bdfs, offer, run, log)


# A pod that a reboot does not end


def _cut_power(node, vm, kinds):
    """Cuts the power under the VM `vm`; afterwards the node has the devices `kinds`, and no pod yet."""
    # A stopped kubelet does not see that its pods are withdrawn.
    node.run("pkill -STOP -x kubelet")
    node.withdraw(vm)
    node.withdraw("plugin")
    node.run("sync")
    node.power_cycle(kernels.find("patched"), kinds, bound=True)


def _bring_back(node, vm, manifest):
    """Starts the plugin, and gives the kubelet the pod of before as soon as the plugin has registered; returns the plugin's manifest.

    As on a node of a cluster, where the kubelet hears of its pods later than it starts: it refuses a pod with devices whose plugin
    has not registered (kubernetes #125579).
    """
    plugin = plugin_manifest()
    apply(node, "plugin", plugin)
    with step("the plugin registers, and the pod comes back"):
        wait_for(node, "the plugin has registered",
                 lambda: _output_of(node, plugin).count("registered resource=") >= 2,
                 idle_s=30, evidence=lambda: pod_evidence(node, PLUGIN_POD))
        node.apply(vm, yaml.safe_dump(manifest))
    return plugin


def _output_of(node, manifest):
    """What this very pod has printed, and none of its name before it."""
    return node.ask(f"cat /var/log/pods/*_{manifest['metadata']['uid']}/*/*.log").out


def _done_after(node, vm, attempt):
    """What the VM's container has printed, if it is a later attempt than `attempt` and the guest is done."""
    number, output = latest_attempt(node, vm)
    return output if number > attempt and re.search(r"^guest: done", output, re.MULTILINE) else None


def _waiting_message(node, vm, word):
    """What the kubelet says of the container it does not start, if there is `word` in it."""
    pod = find_pod(node, vm)
    for status in pod["status"].get("containerStatuses", []) if pod else []:
        message = status["state"].get("waiting", {}).get("message", "")
        if word in message:
            return message
    return None


# Devices that are left to the kernel


def _mount_in_a_namespace(node, bdf):
    """Makes a file system on the NVMe `bdf` and mounts it where only one process sees it, whose number is in
    /run/mounter."""
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        (place / "tree").mkdir()
        disks.make_ext4(place / "tree", place / "image", 1, journal=False)
        image = base64.b64encode((place / "image").read_bytes()).decode()
    node.run(f"base64 -d > {disk_of(node, bdf)}", stdin=image)
    node.run(f"""
        mkdir /run/mounted
        setsid unshare --mount sh -c 'mount {disk_of(node, bdf)} /run/mounted && echo $$ > /run/mounter.new &&
            mv /run/mounter.new /run/mounter && exec sleep infinity' < /dev/null > /dev/null 2>&1 &""")
    wait_for(node, f"{bdf} is mounted", lambda: node.ask("cat /run/mounter").out, idle_s=5,
             evidence=lambda: node.log("serial"))


def binding_config(bind):
    """The plugin's configuration, with `bind` at each selector."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    for resource in config["resources"]:
        for selector in resource["selectors"]:
            selector["bind"] = bind
    return config


def drivers(node):
    """The driver and the driver_override of each device, in the order of the devices."""
    return node.run("".join(f"""
        echo "$(sed -n s/^DRIVER=//p /sys/bus/pci/devices/{bdf}/uevent)" \\
             "$(cat /sys/bus/pci/devices/{bdf}/driver_override)"\n""" for bdf in node.bdfs)).splitlines()


def disk_of(node, bdf):
    """The block device of the NVMe `bdf`; empty if there is none."""
    names = node.ask(f"cd /sys/bus/pci/devices/{bdf}/nvme && ls -d nvme*/nvme*n1").out.split()
    return f"/dev/{pathlib.PurePath(names[0]).name}" if names else ""
