# SPDX-License-Identifier: Apache-2.0
"""Kernels a node can boot: ours with the patches, Debian's as it is, or any directory's."""

import dataclasses
import gzip
import lzma
import pathlib
import re
import shutil
import subprocess

from . import apt, cache, tools
from .errors import LabError

LAB = pathlib.Path(__file__).parent.parent
KERNEL_BUILD = LAB.parent.parent / "kernel" / "build"
STOCK_PATTERN = r"^linux-image-6\.12\..*-cloud-arm64-unsigned$"
# What a node needs of Debian's modules beside their dependencies.
STOCK_MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4", "overlay",
                 "bridge", "veth", "nvme", "vfio_pci", "vfio_iommu_type1"]


@dataclasses.dataclass(frozen=True)
class Kernel:
    """What QEMU is given to boot: an uncompressed Image and, where modules are needed, an initrd."""
    image: pathlib.Path
    initrd: pathlib.Path | None = None


def find(name):
    """The kernel called "patched" or "stock", or the one in the directory `name`."""
    if name == "patched":
        done = subprocess.run([KERNEL_BUILD], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"{KERNEL_BUILD} failed with status {done.returncode}")
        directory = pathlib.Path(done.stdout.strip())
    elif name == "stock":
        directory = _stock()
    else:
        directory = pathlib.Path(name).absolute()
    if not (directory / "Image").is_file():
        raise LabError(f"--kernel {name}: there is no Image in {directory}")
    initrd = directory / "initrd"
    return Kernel(directory / "Image", initrd if initrd.is_file() else None)


def _stock():
    debs = apt.packages("busybox", ["busybox-static"]), stock_package()

    def make(place):
        tree, initrd = place / "tree", place / "tree-initrd"
        for directory in debs:
            apt.unpack(directory, tree)
        image = next((tree / "boot").glob("vmlinuz-*"))
        version = image.name.removeprefix("vmlinuz-")
        shutil.copyfile(image, place / "Image")
        _fill_initrd(tree, version, initrd)
        pack_initrd(initrd, place / "initrd")
        shutil.rmtree(tree)
        shutil.rmtree(initrd)

    inputs = [*map(str, debs), LAB / "node" / "stock-init", pathlib.Path(__file__)]
    return cache.entry("kernel-stock", inputs, make)


def stock_package():
    """A cache entry with the package of Debian's kernel."""
    # Asked once: the name of the newest package is an entry of its own.
    name = cache.entry("stock-kernel-name", [STOCK_PATTERN], lambda place: (
        place / "name").write_text(apt.newest(STOCK_PATTERN)))
    return apt.packages("stock-kernel", [(name / "name").read_text()], closure=False)


def _fill_initrd(tree, version, initrd):
    tools.run("depmod", "-b", tree, version)
    folder = tree / "lib/modules" / version
    needs = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[_module_name(path)] = (path, rest.split())
    builtin = {_module_name(p) for p in (folder / "modules.builtin").read_text().split()}
    order = []
    for name in STOCK_MODULES:
        if name in builtin:
            continue
        if name not in needs:
            raise LabError(f"Debian's kernel {version} has no module {name}")
        path, dependencies = needs[name]
        # modules.dep lists what is needed last first.
        order += [p for p in [*reversed(dependencies), path] if p not in order]
    (initrd / "modules").mkdir(parents=True)
    for number, path in enumerate(order):
        data = (folder / path).read_bytes()
        if path.endswith(".xz"):
            data = lzma.decompress(data)
        # The number keeps the order; the loader takes them as the shell sorts them.
        (initrd / "modules" / f"{number:03}-{_module_name(path)}.ko").write_bytes(data)
    for directory in ("dev", "proc", "root", "bin"):
        (initrd / directory).mkdir()
    shutil.copy(tree / "bin/busybox", initrd / "bin/busybox")
    shutil.copy(LAB / "node" / "stock-init", initrd / "init")
    (initrd / "init").chmod(0o755)


def _module_name(path):
    return re.sub(r"\.ko(\.\w+)?$", "", pathlib.PurePath(path).name).replace("-", "_")


def pack_initrd(tree, path):
    """Writes the directory `tree` as an initrd: gzip of a cpio owned by root."""
    names = sorted(p.relative_to(tree).as_posix() for p in tree.rglob("*"))
    cpio = path.with_suffix(".cpio")
    tools.run("cpio", "--quiet", "--create", "--format=newc", "--owner=0:0", "--reproducible",
              "-O", cpio, cwd=tree, input="\n".join(names))
    with open(path, "wb") as out:
        # No name, no time: the same tree gives the same bytes.
        out.write(gzip.compress(cpio.read_bytes(), mtime=0))
    cpio.unlink()


def unpack_initrd(path, tree, folder):
    """Unpacks the directory `folder` of an initrd that pack_initrd() has written into `tree`."""
    cpio = tree / "initrd.cpio"
    cpio.write_bytes(gzip.decompress(path.read_bytes()))
    tools.run("cpio", "--quiet", "--extract", "--make-directories", "-F", cpio, f"{folder}/*", cwd=tree)
    cpio.unlink()
