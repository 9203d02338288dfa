# SPDX-License-Identifier: Apache-2.0
"""The VMs of manifests/examples, each as a domain that KubeVirt's own code makes of it and of the plugin's answer, started by a real
libvirt.

    /usr/bin/python3 -m pytest tests/e2e/libvirt_test.py

What is missing of KubeVirt is virt-launcher and virt-handler themselves: images/libvirt/run and the test do for them what they do for a
domain. What of an example the lab does not have is in for_the_lab().
"""

import dataclasses
import functools
import os
import pathlib
import re
import subprocess
import xml.etree.ElementTree

import pytest
import yaml

import chain
from first_light_test import POOL, assert_doorbells_in, assert_vm_worked, moved_window
from vlab import golang, kernels, podimages
from vlab.progress import step

HERE = pathlib.Path(__file__).parent
EXAMPLES = chain.ROOT / "manifests" / "examples"
FOLDER = "/var/lib/lab-domain"  # on the node; libvirt.yaml mounts it
NVME = "vendor.example/nvme"
GIGANTIC_PAGES = 1  # of the node


@dataclasses.dataclass(frozen=True)
class Run:
    """A VM of an example, while it runs."""
    spec: dict                    # of the VirtualMachineInstance
    domain: str                   # libvirt's XML
    output: str                   # of the pod
    groups: dict[str, chain.Group]  # by function of the host
    free_pages: int               # hugepages of 1 GiB that the node has left
    vm: chain.VmRun | None        # what its NVMe did; None: it has none


def resources_of(spec):
    """Resources that a VM asks for."""
    return [device["deviceName"] for device in spec["domain"]["devices"]["hostDevices"]]


def for_the_lab(example):
    """The VirtualMachineInstance of an example's VirtualMachine.

    Less memory and fewer processors than it asks for, and in place of its disk the kernel that is in the image lab.local/libvirt.
    """
    spec = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text(encoding="utf-8"))["spec"]["template"]["spec"]
    domain = spec["domain"]
    domain["cpu"]["cores"] = 1
    domain["memory"]["guest"] = domain["memory"].get("hugepages", {"pageSize": "512Mi"})["pageSize"]
    domain["firmware"] = {"kernelBoot": {
        "kernelArgs": f"console=ttyAMA0 quiet panic=-1 lab.disk={'yes' if NVME in resources_of(spec) else 'no'}",
        "container": {"image": podimages.LIBVIRT, "kernelPath": "/vm/Image", "initrdPath": "/vm/initrd"}}}
    del domain["devices"]["disks"], spec["volumes"]
    # What would need an image, a network or a service of KubeVirt's.
    domain["devices"] |= {f"autoattach{name}": False for name in ("GraphicsDevice", "MemBalloon", "PodInterface")}
    return {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "spec": spec,
            "metadata": {"name": "vm", "namespace": "default", "uid": "6b2c0a3e-0000-4000-8000-000000000001"}}


def lab_config(node):
    """The examples' configuration, with the lab's devices in place of those that the lab does not have."""
    config = yaml.safe_load((EXAMPLES / "config.yaml").read_text(encoding="utf-8"))
    _, edu, pair, _ = node.bdfs
    substitutes = {"vendor.example/nic": edu, "vendor.example/gpu": pair}
    for resource in config["resources"]:
        if bdf := substitutes.get(resource["name"]):
            resource["selectors"] = [{"addresses": [bdf]}]
    return config


def pod_of(vmi, name):
    """The pod that KubeVirt would have made: libvirt.yaml with what the VM asks for."""
    manifest = yaml.safe_load((HERE / "libvirt.yaml").read_text(encoding="utf-8"))
    manifest["metadata"]["name"] = name
    domain = vmi["spec"]["domain"]
    [container] = manifest["spec"]["containers"]
    limits = {resource: 1 for resource in resources_of(vmi["spec"])}
    if "hugepages" in domain["memory"]:
        size = domain["memory"]["hugepages"]["pageSize"]
        limits |= {f"hugepages-{size}": domain["memory"]["guest"], "memory": "512Mi"}
        manifest["spec"]["volumes"].append({"name": "hugepages", "emptyDir": {"medium": f"HugePages-{size}"}})
        container["volumeMounts"].append({"name": "hugepages", "mountPath": "/dev/hugepages"})
    container["resources"] = {"limits": limits}
    return manifest


def make_domain(vmi, environment):
    """The XML that KubeVirt makes of the VMI in a container with these variables."""
    with step("KubeVirt makes the domain"):
        program = golang.program(chain.ROOT / "tests" / "kubevirt", "./domain", "-tags=libvirt_dlopen")
        return subprocess.run([program, "/dev/stdin"], input=yaml.safe_dump(vmi), env=os.environ | environment, check=True,
                              capture_output=True, text=True).stdout


def preparation(domain):
    """What virt-launcher would have made in its container: a shell script. And where the console is logged."""
    root = xml.etree.ElementTree.fromstring(domain)
    log = root.find("devices/serial/log").get("file")
    kernel, initrd, nvram = (root.find(f"os/{name}").text for name in ("kernel", "initrd", "nvram"))
    lines = [f"mkdir -p {pathlib.Path(path).parent}" for path in (log, kernel, nvram)]
    lines += [f"ln -s /vm/Image {kernel}", f"ln -s /vm/initrd {initrd}"]
    return "\n".join(lines) + "\n", log


def give_nodes(node):
    """Gives the pod's device nodes to KubeVirt's user, as virt-handler does (pkg/virt-handler/non-root.go)."""
    node.run(f"""
        for process in /proc/[0-9]*; do
          if tr '\\0' ' ' < $process/cmdline | grep -q '^/bin/sh /vm/run' 2> /dev/null; then
            chown {podimages.QEMU_USER}:{podimages.QEMU_USER} $process/root/dev/vfio/*
            exit 0
          fi
        done
        echo "no process of the pod" >&2; exit 1""")


def run_example(node, example):
    """Starts the VM of manifests/examples/EXAMPLE.yaml, looks at it, and ends it."""
    vmi, domains, groups, free_pages = for_the_lab(example), [], {}, []

    def define():
        log = chain.wait_for(node, f"the pod {example} says what it was given",
                             lambda: "vm: settings" in (text := chain.pod_output(node, example)) and text,
                             idle_s=15, evidence=lambda: chain.pod_evidence(node, example))
        domains.append(make_domain(vmi, chain.environment_of(log)))
        script, console = preparation(domains[0])
        give_nodes(node)
        node.put(f"{FOLDER}/domain.xml", domains[0])
        node.put(f"{FOLDER}/prepare", script)
        node.put(f"{FOLDER}/ready", f"console {console}\n")

    def look():
        groups.update({bdf: chain.describe_group(node, bdf) for bdf in node.bdfs})
        free_pages.append(int(node.run("cat /sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages")))

    node.run(f"rm -rf {FOLDER}; mkdir -p {FOLDER}")
    if NVME in resources_of(vmi["spec"]):
        vm = chain.run_vm(node, example, pod_of(vmi, example), define, look)
        return Run(vmi["spec"], domains[0], vm.output, groups, free_pages[0], vm)
    with step(f"VM {example}: manifest to the list of its functions"):
        output = chain.start_vm(node, example, pod_of(vmi, example), define)
    look()
    with step(f"VM {example}: end"):
        chain.end_pod(node, example, example)
    return Run(vmi["spec"], domains[0], output, groups, free_pages[0], None)


@pytest.fixture(scope="module", name="node")
def node_fixture():
    """A node whose plugin has the examples' configuration."""
    archives = [podimages.libvirt(kernels.find("stock"))]
    with chain.running_node("test-libvirt", "patched", archives=archives, gigantic_pages=GIGANTIC_PAGES) as node:
        chain.start_plugin(node, "enforce", config=lab_config(node))
        node.run("chmod 666 /dev/kvm")
        yield node


@pytest.fixture(scope="module", name="runs")
def runs_fixture(node):
    """The VM of an example by its name; each runs once."""
    return functools.cache(lambda example: run_example(node, example))


@pytest.fixture(name="run", params=sorted(path.stem for path in EXAMPLES.glob("vm-*.yaml")))
def run_fixture(runs, request):
    """The VM of each example."""
    return runs(request.param)


@pytest.fixture(name="nvme_run", params=["vm-hugepages", "vm-one-device", "vm-two-resources"])
def nvme_run_fixture(runs, request):
    """Those with an NVMe, which is all that the guest has a driver for."""
    return runs(request.param)


def functions_of(run):
    """Functions of the host that the domain has."""
    addresses = [address.attrib for address in xml.etree.ElementTree.fromstring(run.domain).findall("devices/hostdev/source/address")]
    return ["{:04x}:{:02x}:{:02x}.{:x}".format(*(int(address[part], 16) for part in ("domain", "bus", "slot", "function")))
            for address in addresses]


def test_domain_has_the_devices_of_the_answer(run):
    given = chain.environment_of(run.output)
    names = ["PCI_RESOURCE_" + resource.upper().replace("/", "_").replace(".", "_") for resource in resources_of(run.spec)]
    assert names
    assert functions_of(run) == [given[name] for name in names]


def test_libvirt_started_it(run):
    assert "Domain 'default_vm' defined" in run.output
    assert "Running hypervisor: QEMU" in run.output


def test_guest_has_these_functions_alone(run):
    seen = re.findall(r"^guest: function (1b36:0010|1234:11e8)$", run.output, re.MULTILINE)
    ids = {"vendor.example/nvme": "1b36:0010", "vendor.example/nic": "1234:11e8", "vendor.example/gpu": "1234:11e8"}
    assert sorted(seen) == sorted(ids[resource] for resource in resources_of(run.spec))


def test_all_its_groups_have_one_window(run):
    told = {int(document["window"]["base"], 16) for document in chain.settings_of(run.output)}
    assert len(told) == 1
    assert {window.start for bdf in functions_of(run) for window in run.groups[bdf].msi} == told
    assert all(POOL.holds(run.groups[bdf].msi[0].start) for bdf in functions_of(run))
    theirs = {run.groups[bdf].number for bdf in functions_of(run)}
    assert all(not POOL.holds(group.msi[0].start) for group in run.groups.values() if group.number not in theirs)


def test_interrupts_go_through_the_window(nvme_run):
    vm = nvme_run.vm
    assert chain.knob_window(vm.during.knob) == moved_window(vm)
    assert_doorbells_in(vm, moved_window(vm))
    assert_vm_worked(vm)


def test_hugepages_are_used_where_they_are_asked_for(run):
    pages = run.spec["domain"]["memory"].get("hugepages")
    assert (xml.etree.ElementTree.fromstring(run.domain).find("memoryBacking/hugepages") is not None) == bool(pages)
    assert run.free_pages == (0 if pages else GIGANTIC_PAGES)
