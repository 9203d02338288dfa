# SPDX-License-Identifier: Apache-2.0
"""The emulated arm64 hosts, and how one is booted with the tests (guest/) as its PID 1."""

import dataclasses
import os
import pathlib
import shutil
import struct
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
KERNEL_BUILD = HERE.parent.parent / "kernel" / "build"

# An idle machine needs 5 seconds for the longest, and minutes on a kernel that checks its locks and memory.
BOOT_DEADLINE_S = 1200
# Generated strings and structs that the slowest kernel tries in a second, at least.
HOSTILE_PER_S = 50

QEMU = ["qemu-system-aarch64", "-cpu", "cortex-a57", "-m", "512", "-nographic", "-nodefaults", "-no-reboot", "-net", "none",
        "-serial", "stdio"]
TWO_PROCESSORS = ("-accel", "tcg,thread=multi,tb-size=128", "-smp", "2")
# Its time is the count of its instructions, so that each boot is like the last, and its processor can count them.
COUNTED_PROCESSOR = ("-accel", "tcg,thread=single,tb-size=128", "-smp", "1", "-icount", "shift=0,sleep=off")


def devices(kind):
    """The functions that guest/tests.h names."""
    return [word for place in ("addr=2", "addr=3", "addr=5.0,multifunction=on", "addr=5.1") for word in ("-device", f"{kind},{place}")]


@dataclasses.dataclass
class Machine:
    """One boot: QEMU's arguments, the kernel's, what is appended to QEMU's device tree, and what lies in memory: (address, bytes)."""

    qemu: list
    options: str = ""
    device_tree: str = ""
    memory: tuple = ()
    processors: tuple = TWO_PROCESSORS


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


def one_vector_frames(count, vectors_of_first=1):
    """GICv2m frames with one vector each, hence as many doorbell pages as vectors.

    QEMU's own frame is the first, and may have more. The others lie in its flash, which can be read and ignores writes; they deliver nothing.
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
    arm,msi-num-spis = <{vectors_of_first}>;
}};
&{{/intc@8000000}} {{{nodes}
}};
"""


# In QEMU only bridges can do no more than 32-bit MSI, and VFIO does not take bridges. So there is a second host bridge, whose
# configuration space is memory that the kernel does not know of: what lies there is the device, and what the kernel writes stays. VFIO,
# the IOMMU and the interrupt controller see a function like any other, and it can have vectors; it only never raises one.
NARROW_CONFIG = 0x5ff00000


def narrow_bridge(msi_controller):
    """The bridge, with the path of what its function interrupts through."""
    return f"""
/ {{
    pcie@{NARROW_CONFIG:x} {{
        compatible = "pci-host-ecam-generic";
        device_type = "pci";
        #address-cells = <3>;
        #size-cells = <2>;
        linux,pci-domain = <1>;
        bus-range = <0 0>;
        reg = <0 {NARROW_CONFIG:#x} 0 0x100000>;
        ranges = <0x2000000 0 0xf000000 0 0xf000000 0 0x100000>;
        iommu-map = <0 &{{/smmuv3@9050000}} 0x800 0x100>;
        msi-map = <0 &{{{msi_controller}}} 0x800 0x100>;
        dma-coherent;
    }};
}};
"""


def narrow_device():
    """The configuration space of a bus with one function (PCI Local Bus Specification 3.0, 6.1 and 6.8.1)."""
    function = bytearray(4096)
    capability = 0x40
    struct.pack_into("<HHHHI", function, 0, 0x1234, 0x5678, 0, 0x10, 0xff000000)  # vendor, device, -, has capabilities, class "other"
    function[0x34] = capability
    struct.pack_into("<BBH", function, capability, 5, 0, 2 << 1)  # MSI, the last one, 4 vectors and 32 bits
    return bytes(function).ljust(1 << 20, b"\xff")


# By the name that the tests know it by (guest/init.c).
MACHINES = {
    "smmuv3": Machine([*SMMUV3, *NVME], WITHOUT_NVME_DRIVER),
    "gicv2m": Machine(["-M", "virt,gic-version=2,iommu=smmuv3", *devices("edu"), *NVME], f"{WITHOUT_ISOLATION} {WITHOUT_NVME_DRIVER}"),
    "identity": Machine(SMMUV3, "iommu.passthrough=1"),
    "reserved": Machine(VIRTIO_IOMMU_WITHOUT_MSI, WITHOUT_ISOLATION),
    "direct": Machine(SMMUV3, device_tree=DIRECT_REGION),
    "hardware-msi": Machine(VIRTIO_IOMMU),
    "no-iommu": Machine(["-M", "virt,gic-version=3", *devices("edu")], "vfio.enable_unsafe_noiommu_mode=1"),
    "msi-32-bit": Machine(SMMUV3, "mem=511M", narrow_bridge("/intc@8000000/its@8080000"), ((NARROW_CONFIG, narrow_device()),)),
    # The NVMe has the most vectors.
    "doorbells": Machine(
        ["-M", "virt,gic-version=2,iommu=smmuv3", *devices("edu"), "-device", "nvme,addr=4,serial=1,msix_qsize=300"],
        f"{WITHOUT_ISOLATION} {WITHOUT_NVME_DRIVER}", one_vector_frames(300)),
    # The same, and a frame with vectors for several devices.
    "shared-frame": Machine(
        ["-M", "virt,gic-version=2,iommu=smmuv3", *devices("edu"), "-device", "nvme,addr=4,serial=1,msix_qsize=300"],
        f"{WITHOUT_ISOLATION} {WITHOUT_NVME_DRIVER} mem=511M",
        one_vector_frames(300, 4) + narrow_bridge("/intc@8000000/v2m@8020000"), ((NARROW_CONFIG, narrow_device()),)),
    # A test of iommufd wants 64 huge pages, of 2 MiB each, and KASAN an eighth of all memory and some more of each allocation.
    "selftests": Machine([*SMMUV3, "-m", "1024"], "hugepages=80"),
}

# Not for tests: what tests/kernel/cost measures on.
COST = Machine([*SMMUV3, *NVME], WITHOUT_NVME_DRIVER, processors=COUNTED_PROCESSOR)


class CannotRun(Exception):
    """The tests could not be started; the text says what is missing."""


def build_initrd(kernel, directory):
    """Compiles guest/ against the kernel's own headers; returns the path of an initial RAM disk with that program and the selftests."""
    if not (kernel / "Image").exists():
        raise CannotRun(f"{kernel}/Image does not exist")
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
    # A kernel without the series comes without them, and fails every test in them.
    if (kernel / "selftests").exists():
        shutil.copytree(kernel / "selftests", root / "selftests")
    names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
    initrd = directory / "initrd"
    with open(initrd, "wb") as output:
        subprocess.run(["cpio", "--create", "--format=newc", "--quiet"], cwd=root, input=names.encode(), stdout=output, check=True)
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
    tool(*QEMU, *machine.processors, *machine.qemu, "-machine", f"dumpdtb={dumped}")
    tool("dtc", "-q", "-I", "dts", "-O", "dtb", "-o", built,
         stdin=tool("dtc", "-q", "-I", "dtb", "-O", "dts", dumped) + machine.device_tree.encode())
    return built


def deadline_s(options):
    """How long a boot with these options may take."""
    return BOOT_DEADLINE_S + options["stress"] + (options["structs"] + options["strings"]) // HOSTILE_PER_S


def boot(name, kernel, initrd, directory, options):
    """Runs one machine to its end; the tests get the options as doorbell.NAME. Returns the console's lines, and how long it took."""
    machine = COST if name == "cost" else MACHINES[name]
    words = " ".join(f"doorbell.{key}={value}" for key, value in {"machine": name, **options}.items())
    command = ["unshare", "--net", *QEMU, *machine.processors, *machine.qemu, "-kernel", kernel / "Image", "-initrd", initrd,
               "-append", f"console=ttyAMA0 quiet panic=-1 {words} {machine.options}"]
    own = directory / name
    own.mkdir()
    if machine.device_tree:
        command += ["-dtb", build_device_tree(machine, own)]
    for address, content in machine.memory:
        (own / f"{address:x}").write_bytes(content)
        command += ["-device", f"loader,file={own / f'{address:x}'},addr={address:#x},force-raw=on"]
    start = time.monotonic()
    limit = deadline_s(options)
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit,
                                check=False)
        output = result.stdout
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"") + f"\nBail out! no end after {limit} s\n".encode()
    return output.decode(errors="replace").replace("\r", "").splitlines(), time.monotonic() - start


def find_kernel(*arguments):
    """The directory of a kernel, as kernel/build with these arguments prints it."""
    built = subprocess.run([KERNEL_BUILD, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode:
        raise CannotRun("kernel/build failed")
    return pathlib.Path(built.stdout.strip())
