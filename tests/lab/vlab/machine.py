# SPDX-License-Identifier: Apache-2.0
"""The emulated arm64 machine: what QEMU is told, and which PCI devices the node is given."""

import dataclasses

from . import cache, disks
from .errors import LabError

CPUS = 2
MEMORY_MIB = 1536
NVME_MIB = 16
NVME_SEED = "vfio-doorbell lab"
FIRST_DEVICE_SLOT = 0x10
EARLY_SLOT = 0x0f
KINDS = {
    "nvme": "an NVMe disk with a known pattern (MSI-X)",
    "edu": "QEMU's edu device (MSI)",
    "pair": "two edu functions of one slot: without ACS one IOMMU group",
    "early": "an edu device in front of all others, which gives their IOMMU groups other numbers",
}


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices under test."""
    arguments: list[str]
    bdfs: list[str]    # in the order asked for: "0000:00:10.0"
    vfio: bool = True  # all handed to vfio-pci when the node starts; else left to the kernel


def nvme_image():
    """The raw image every NVMe of a node starts from."""
    return cache.entry("nvme", [NVME_SEED, str(NVME_MIB)], lambda place: disks.write_pattern(
        place / "nvme.img", NVME_MIB, NVME_SEED)) / "nvme.img"


def check_kinds(kinds):
    """LabError unless every one of `kinds` can be made."""
    for kind in kinds:
        if kind not in KINDS:
            known = "; ".join(f"{name}: {text}" for name, text in KINDS.items())
            raise LabError(f"no device is called {kind!r} ({known})")


def make_devices(kinds, directory, vfio=True):
    """Arguments for the devices `kinds`, one slot each; their disks are made in `directory`."""
    arguments, bdfs = [], []
    for number, kind in enumerate(kinds):
        slot = f"{EARLY_SLOT if kind == 'early' else FIRST_DEVICE_SLOT + number:02x}"
        bdfs.append(f"0000:00:{slot}.0")
        if kind == "nvme":
            overlay = directory / f"nvme{number}.qcow2"
            disks.make_overlay(nvme_image(), overlay)
            arguments += ["-drive", f"file={overlay},if=none,id=nvme{number},cache=unsafe",
                          "-device", f"nvme,drive=nvme{number},serial=lab{number},addr={slot}.0"]
        elif kind in ("edu", "early"):
            arguments += ["-device", f"edu,addr={slot}.0"]
        elif kind == "pair":
            bdfs.append(f"0000:00:{slot}.1")
            arguments += ["-device", f"edu,addr={slot}.0,multifunction=on",
                          "-device", f"edu,addr={slot}.1"]
    return Devices(arguments, bdfs, vfio)


def qemu_command(kernel, root, images, network, devices, gigantic_pages=0):
    """QEMU for a node: GICv3 with ITS, SMMUv3 in front of PCI, and EL2 so that KVM works in it.

    network: its tap, its mac, and the parameters that node/init is told; gigantic_pages: hugepages of 1 GiB beside its other memory.
    """
    # A device has its group from the moment it gets a driver: with lab.vfio in that order, and so not from the kernel's own before.
    # iomem=relaxed: a kernel with strict checks (Debian's) would not let msi-address read a BAR that
    # vfio-pci holds.
    append = ("console=ttyAMA0 quiet root=/dev/vda rw iomem=relaxed "
              + (f"initcall_blacklist=nvme_init lab.vfio={','.join(sorted(devices.bdfs))}" if devices.vfio else "")
              + (f" hugepagesz=1G hugepages={gigantic_pages}" if gigantic_pages else "")
              + "".join(f" lab.{name}={value}" for name, value in network.parameters.items()))
    # What the node has flushed must be there after a power cut, as on a disk: not cache=unsafe.
    return [
        "qemu-system-aarch64",
        "-M", "virt,gic-version=3,iommu=smmuv3,virtualization=on", "-cpu", "max,pauth-impdef=on",
        # Without a bound on the translation buffer QEMU grows to 2 GB.
        "-accel", "tcg,thread=multi,tb-size=256",
        "-smp", str(CPUS), "-m", str(MEMORY_MIB + 1024 * gigantic_pages),
        "-nodefaults", "-display", "none", "-serial", "file:serial.log",
        "-kernel", str(kernel.image), *(["-initrd", str(kernel.initrd)] if kernel.initrd else []),
        "-append", append,
        "-drive", f"file={root},if=none,id=root,cache=writeback",
        "-device", "virtio-blk-pci,drive=root,addr=1",
        "-drive", f"file={images},if=none,id=images,cache=writeback",
        "-device", "virtio-blk-pci,drive=images,addr=2",
        "-netdev", f"tap,id=net,ifname={network.tap},script=no,downscript=no",
        "-device", f"virtio-net-pci,netdev=net,mac={network.mac},addr=3,romfile=",
        "-device", "virtio-rng-pci,addr=4",
        *devices.arguments,
    ]
