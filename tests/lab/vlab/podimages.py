# SPDX-License-Identifier: Apache-2.0
"""The container images of the lab: pause, the plugin, a VM with stock QEMU, and one by libvirt."""

import pathlib
import shutil

from . import apt, images, kernels, tools
from .errors import LabError

SOURCES = pathlib.Path(__file__).parent.parent / "images"
PAUSE = "lab.local/pause:1"
VM = "lab.local/vm:1"
LIBVIRT = "lab.local/libvirt:1"
PLUGIN = "docker.io/library/vfio-doorbell-plugin:dev"
QEMU_USER = 107  # KubeVirt's: pkg/util/util.go, NonRootUID


def pause():
    """The archive of the sandbox image that every pod has."""
    source = SOURCES / "pause.c"

    def fill(tree):
        tools.run("aarch64-linux-gnu-gcc", "-O2", "-static", "-s", "-o", tree / "pause", source)

    return images.archive("pause", PAUSE, [source], fill, ["/pause"])


def plugin(binary):
    """The archive of the plugin's image: the static arm64 `binary` and nothing else."""
    binary = pathlib.Path(binary)
    if not binary.is_file():
        raise LabError(f"there is no plugin at {binary}: build it with the preset arm64")

    def fill(tree):
        shutil.copyfile(binary, tree / "vfio-doorbell-plugin")
        (tree / "vfio-doorbell-plugin").chmod(0o755)

    return images.archive("plugin", PLUGIN, [binary], fill, ["/vfio-doorbell-plugin"])


def vm(guest_kernel):
    """The archive of a VM: Debian's qemu-system-aarch64, `guest_kernel` and a guest of ours."""
    debs = apt.packages("vm", ["qemu-system-arm", "busybox-static"])
    vm_files = SOURCES / "vm"

    def fill(tree):
        packages = tree / "packages"
        apt.unpack(debs, packages)
        for file in images.library_closure(packages, "usr/bin/qemu-system-aarch64"):
            target = tree / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(packages / file, target)
        (tree / "lib").symlink_to("usr/lib")
        (tree / "bin").symlink_to("usr/bin")
        for directory in ("dev", "proc", "sys", "tmp", "vm"):
            (tree / directory).mkdir()
        busybox = packages / "bin/busybox"
        shutil.copy(busybox, tree / "usr/bin/busybox")
        (tree / "usr/bin/sh").symlink_to("busybox")
        shutil.copy(vm_files / "run", tree / "vm/run")
        shutil.copyfile(guest_kernel, tree / "vm/Image")
        _make_guest(vm_files / "guest-init", busybox, tree / "vm/initrd")
        shutil.rmtree(packages)

    return images.archive("vm", VM, [str(debs), guest_kernel, vm_files, pathlib.Path(__file__)],
                          fill, ["/vm/run"])


def libvirt(guest):
    """The archive of a VM that Debian's libvirt starts from a domain, in place of virt-launcher.

    guest: a kernels.Kernel that UEFI can boot, whose initrd has its modules in /modules.
    """
    debs = apt.packages("libvirt", ["libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-clients",
                                    "qemu-system-arm", "qemu-efi-aarch64", "busybox-static"])
    own = SOURCES / "libvirt"
    guest_init = SOURCES / "vm" / "guest-init"

    def fill(tree):
        apt.unpack(debs, tree)
        for directory in ("dev", "domain", "proc", "sys", "tmp", "run", "vm"):
            (tree / directory).mkdir(exist_ok=True)
        (tree / "var/run").unlink(missing_ok=True)
        (tree / "var/run").symlink_to("/run")
        (tree / "etc/passwd").write_text(f"root:x:0:0::/:/bin/sh\nqemu:x:{QEMU_USER}:{QEMU_USER}::/run:/bin/sh\n")
        (tree / "etc/group").write_text(f"root:x:0:\nqemu:x:{QEMU_USER}:\n")
        for name in ("sh", "mkdir", "cat", "ln"):
            (tree / "usr/bin" / name).unlink(missing_ok=True)
            (tree / "usr/bin" / name).symlink_to("busybox")
        shutil.copy(own / "run", tree / "vm/run")
        shutil.copyfile(guest.image, tree / "vm/Image")
        _make_guest(guest_init, tree / "bin/busybox", tree / "vm/initrd", guest.initrd)

    return images.archive("libvirt", LIBVIRT, [str(debs), guest.image, guest.initrd, own, guest_init, pathlib.Path(__file__)],
                          fill, ["/vm/run"])


def _make_guest(init, busybox, initrd, modules_of=None):
    tree = initrd.with_suffix(".tree")
    for directory in ("bin", "dev", "proc"):
        (tree / directory).mkdir(parents=True)
    if modules_of:
        kernels.unpack_initrd(modules_of, tree, "modules")
    shutil.copy(busybox, tree / "bin/busybox")
    shutil.copy(init, tree / "init")
    kernels.pack_initrd(tree, initrd)
    shutil.rmtree(tree)
