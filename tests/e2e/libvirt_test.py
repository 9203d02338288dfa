# SPDX-License-Identifier: Apache-2.0
"""A domain that KubeVirt's own code makes of a VMI and of the plugin's answer, started by a real libvirt.

    /usr/bin/python3 -m pytest tests/e2e/libvirt_test.py

What is missing of KubeVirt is virt-launcher and virt-handler themselves: images/libvirt/run and the test do for them what they do for a
domain.
"""

import os
import pathlib
import subprocess
import xml.etree.ElementTree

import pytest
import yaml

import chain
from first_light_test import assert_doorbells_in, assert_vm_worked, moved_window
from vlab import golang, kernels, podimages
from vlab.progress import step

HERE = pathlib.Path(__file__).parent
POD = "libvirt"
FOLDER = "/var/lib/lab-domain"  # on the node; libvirt.yaml mounts it


def make_domain(environment):
    """The XML that KubeVirt makes of vmi.yaml in a container with these variables."""
    with step("KubeVirt makes the domain"):
        program = golang.program(chain.ROOT / "tests" / "kubevirt", "./domain", "-tags=libvirt_dlopen")
        return subprocess.run([program, HERE / "vmi.yaml"], env=os.environ | environment, check=True, capture_output=True,
                              text=True).stdout


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


@pytest.fixture(scope="module", name="run")
def run_fixture():
    """Facts of the VM, and the domain."""
    archives = [podimages.libvirt(kernels.find("stock"))]
    with chain.running_node("test-libvirt", "patched", archives=archives) as node:
        chain.start_plugin(node, "enforce")
        node.run(f"mkdir -p {FOLDER}; chmod 666 /dev/kvm")
        domain = []

        def define():
            log = chain.wait_for(node, f"the pod {POD} says what it was given",
                                 lambda: "vm: settings" in (text := chain.pod_output(node, POD)) and text,
                                 idle_s=15, evidence=lambda: chain.pod_evidence(node, POD))
            domain.append(make_domain(chain.environment_of(log)))
            script, console = preparation(domain[0])
            give_nodes(node)
            node.put(f"{FOLDER}/domain.xml", domain[0])
            node.put(f"{FOLDER}/prepare", script)
            node.put(f"{FOLDER}/ready", f"console {console}\n")

        manifest = yaml.safe_load((HERE / "libvirt.yaml").read_text(encoding="utf-8"))
        yield chain.run_vm(node, POD, manifest, define), domain[0]


def test_domain_has_the_device_of_the_answer(run):
    facts, domain = run
    addresses = [address.attrib for address in xml.etree.ElementTree.fromstring(domain).findall("devices/hostdev/source/address")]
    bdfs = ["{:04x}:{:02x}:{:02x}.{:x}".format(*(int(address[part], 16) for part in ("domain", "bus", "slot", "function")))
            for address in addresses]
    assert ",".join(bdfs) == facts.environment["PCI_RESOURCE_LAB_EXAMPLE_NVME"]


def test_libvirt_started_it(run):
    facts, _ = run
    assert "Domain 'default_vm' defined" in facts.output
    assert "Running hypervisor: QEMU" in facts.output


def test_interrupts_go_through_the_moved_window(run):
    facts, _ = run
    assert chain.knob_window(facts.during.knob) == moved_window(facts)
    assert_doorbells_in(facts, moved_window(facts))
    assert_vm_worked(facts)
