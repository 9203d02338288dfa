# SPDX-License-Identifier: Apache-2.0
"""The emulated arm64 hosts, and how one is booted with the tests (guest/) as its PID 1."""

import dataclasses
import os
import pathlib
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
KERNEL_BUILD = HERE.parent.parent / "kernel" / "build"

# An idle machine needs 5 seconds for the longest, and 3 minutes on a kernel that checks its locks.
BOOT_DEADLINE_S = 600

QEMU = ["qemu-system-aarch64", "-cpu", "cortex-a57", "-accel", "tcg,thread=multi,tb-size=128", "-smp", "2", "-m", "512",
        "-nographic", "-nodefaults", "-no-reboot", "-net", "none", "-serial", "stdio"]


def devices(kind):
    """The functions that guest/tests.h names."""
    return [word for place in ("addr=2", "addr=3", "addr=5.0,multifunction=on", "addr=5.1") for word in ("-device", f"{kind},{place}")]


@dataclasses.dataclass
class Machine:
    """One boot: QEMU's arguments, the kernel's, and what is appended to the device tree that QEMU makes."""

    qemu: list
    options: str = ""
    device_tree: str = ""


SMMUV3 = ["-M", "virt,gic-version=3,iommu=smmuv3", *devices("edu")]
# The kernel's own driver must not start the controller before the tests do.
NVME = ["-device", "nvme,addr=4,serial=1"]
WITHOUT_NVME_DRIVER = "initcall_blacklist=nvme_init"

# QEMU lets MSIs past its virtio-iommu where the machine has an MSI controller, and tells the guest so by a hardware MSI region.
VIRTIO_IOMMU = ["-M", "virt,gic-version=3", "-device", "virtio-iommu-pci,addr=1", *devices("edu")]
# Where it has none, the regions are ours to choose.
VIRTIO_IOMMU_WITHOUT_MSI = [
    "-M", "virt,gic-version=3,its=off", "-device",
    "virtio-iommu-pci,addr=1,len-reserved-regions=1,reserved-regions[0]=0xa000000:0xa1fffff:0", *devices("pci-testdev")]
# VFIO must be told that nobody isolates interrupts where there is no ITS.
WITHOUT_ISOLATION = "vfio_iommu_type1.allow_unsafe_interrupts=1 iommufd.allow_unsafe_interrupts=1"

# Memory that firmware wants mapped one-to-one for a device, where there is none in fact.
DIRECT_REGION = """
/ {
    reserved-memory {
        #address-cells = <2>;
        #size-cells = <2>;
        ranges;
        direct@c000000 {
            reg = <0 0xc000000 0 0x200000>;
            iommu-addresses = <&{/pcie@10000000/edu@2,0} 0 0 0xc000000 0 0x200000>;
        };
    };
};
&{/pcie@10000000} {
    edu@2,0 {
        reg = <0x1000 0 0 0 0>;
        memory-region = <&{/reserved-memory/direct@c000000}>;
    };
};
"""


def one_vector_frames(count):
    """GICv2m frames with one vector each, hence as many doorbell pages as vectors.

    QEMU's own frame is the first. The others lie in its flash, which can be read and ignores writes; they deliver nothing.
    """
    nodes = "".join(f"""
    v2m@{0x4000000 + 0x1000 * number:x} {{
        compatible = "arm,gic-v2m-frame";
        msi-controller;
        reg = <0 {0x4000000 + 0x1000 * number:#x} 0 0x1000>;
        arm,msi-base-spi = <{80 + number % 64}>;
        arm,msi-num-spis = <1>;
    }};""" for number in range(1, count))
    return f"""
&{{/intc@8000000/v2m@8020000}} {{
    arm,msi-base-spi = <80>;
    arm,msi-num-spis = <1>;
}};
&{{/intc@8000000}} {{{nodes}
}};
"""


# By the name that the tests know it by (guest/init.c).
MACHINES = {
    "smmuv3": Machine([*SMMUV3, *NVME], WITHOUT_NVME_DRIVER),
    "gicv2m": Machine(["-M", "virt,gic-version=2,iommu=smmuv3", *devices("edu"), *NVME], f"{WITHOUT_ISOLATION} {WITHOUT_NVME_DRIVER}"),
    "identity": Machine(SMMUV3, "iommu.passthrough=1"),
    "reserved": Machine(VIRTIO_IOMMU_WITHOUT_MSI, WITHOUT_ISOLATION),
    "direct": Machine(SMMUV3, device_tree=DIRECT_REGION),
    "hardware-msi": Machine(VIRTIO_IOMMU),
    # The NVMe has the most vectors.
    "doorbells": Machine(
        ["-M", "virt,gic-version=2,iommu=smmuv3", *devices("edu"), "-device", "nvme,addr=4,serial=1,msix_qsize=300"],
        f"{WITHOUT_ISOLATION} {WITHOUT_NVME_DRIVER}", one_vector_frames(300)),
}


class CannotRun(Exception):
    """The tests could not be started; the text says what is missing."""


def build_initrd(kernel, directory):
    """Compiles guest/ against the kernel's own headers; returns the path of an initial RAM disk with nothing but that program."""
    headers = kernel / "include"
    # What the series adds is known even where the kernel is one without it.
    series_headers = HERE.parent.parent / "kernel" / "uapi"
    if not (headers / "linux" / "iommufd.h").exists():
        raise CannotRun(f"{headers} does not hold the kernel's headers for user space; kernel/build puts them there")
    root = directory / "root"
    (root / "dev").mkdir(parents=True)
    compiler = ["aarch64-linux-gnu-gcc", "-std=gnu11", "-O1", "-static", "-Wall", "-Wextra", "-Werror",
                "-isystem", series_headers, "-isystem", headers, "-o", root / "init", *sorted((HERE / "guest").glob("*.c"))]
    result = subprocess.run(compiler, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        raise CannotRun(f"the test program does not compile:\n{result.stderr}")
    # PID 1 has no output before it has a console to open.
    os.mknod(root / "dev" / "console", 0o600 | 0o020000, os.makedev(5, 1))
    initrd = directory / "initrd"
    with open(initrd, "wb") as output:
        subprocess.run(["cpio", "--create", "--format=newc", "--quiet"], cwd=root, input=b"init\ndev\ndev/console\n", stdout=output,
                       check=True)
    return initrd


def tool(*command, stdin=None):
    """Runs a tool that has no reason to fail, and returns its output."""
    result = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if result.returncode:
        raise CannotRun(f"{' '.join(map(str, command))} failed:\n{result.stderr.decode(errors='replace')}")
    return result.stdout


def build_device_tree(machine, directory):
    """QEMU's own device tree for the machine with ours behind it."""
    dumped, built = directory / "qemu.dtb", directory / "machine.dtb"
    tool(*QEMU, *machine.qemu, "-machine", f"dumpdtb={dumped}")
    tool("dtc", "-q", "-I", "dts", "-O", "dtb", "-o", built,
         stdin=tool("dtc", "-q", "-I", "dtb", "-O", "dts", dumped) + machine.device_tree.encode())
    return built


def boot(name, image, initrd, directory, stress, structs):
    """Runs one machine to its end; returns its console's lines, and how long it took."""
    machine = MACHINES[name]
    command = ["unshare", "--net", *QEMU, *machine.qemu, "-kernel", image, "-initrd", initrd,
               "-append", f"console=ttyAMA0 quiet panic=-1 doorbell.machine={name} doorbell.stress={stress} "
                          f"doorbell.structs={structs} {machine.options}"]
    if machine.device_tree:
        own = directory / name
        own.mkdir()
        command += ["-dtb", build_device_tree(machine, own)]
    start = time.monotonic()
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                timeout=BOOT_DEADLINE_S + stress, check=False)
        output = result.stdout
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"") + f"\nBail out! no end after {BOOT_DEADLINE_S + stress} s\n".encode()
    return output.decode(errors="replace").replace("\r", "").splitlines(), time.monotonic() - start
