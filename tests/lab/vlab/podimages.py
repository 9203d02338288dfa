# SPDX-License-Identifier: Apache-2.0
"""The container images of the lab: pause, the plugin, and a VM with stock QEMU."""

import pathlib
import shutil

from . import apt, images, kernels, tools
from .errors import LabError

SOURCES = pathlib.Path(__file__).parent.parent / "images"
PAUSE = "lab.local/pause:1"
VM = "lab.local/vm:1"
PLUGIN = "vfio-doorbell-plugin:dev"


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


def _make_guest(init, busybox, initrd):
    tree = initrd.with_suffix(".tree")
    for directory in ("bin", "dev", "proc"):
        (tree / directory).mkdir(parents=True)
    shutil.copy(busybox, tree / "bin/busybox")
    shutil.copy(init, tree / "init")
    kernels.pack_initrd(tree, initrd)
    shutil.rmtree(tree)
