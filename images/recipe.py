# SPDX-License-Identifier: Apache-2.0
"""What is in the images. The stage, one tree for each layer, is the only place that says so: images/build packs it, and
images/Dockerfile copies it.

    <stage>/<architecture>/base        shared libraries, CA certificates and accounts, for the programs that are no static file
    <stage>/<architecture>/<program>   the program, and the licences of what is linked into it
"""

import dataclasses
import hashlib
import os
import pathlib
import re

from vlab import apt, cache, images, tools
from vlab.errors import LabError

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOBODY = "65534:65534"
BASE = "base"
# Debian's packages of which the base takes the files that the programs need. Whatever these depend on comes along.
BASE_PACKAGES = ["base-files", "ca-certificates", "libcivetweb1", "libcpprest2.10", "libprometheus-cpp-core1.0",
                 "libprometheus-cpp-pull1.0", "libssl3", "libstdc++6", "zlib1g"]
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
FILES = {
    "etc/passwd": "root:x:0:0:root:/:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}
# Scanners know by these which Debian it is.
RELEASE_FILES = ["etc/debian_version", "usr/lib/os-release"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """How Debian calls it, and where the programs for it are built."""

    name: str
    triplet: str
    configure_preset: str
    build_preset: str
    cross: bool = False    # its libraries are in the sysroot

    @property
    def build(self):
        """The build folder."""
        return ROOT / "build" / self.configure_preset

    def tool(self, name):
        """A program of binutils that understands this architecture."""
        return f"{self.triplet}-{name}"


@dataclasses.dataclass(frozen=True)
class Image:
    """One program, in a repository of its name."""

    name: str
    description: str
    user: str = NOBODY
    # Of a library that it needs Debian has no archive, so it stands on the base.
    shared: bool = False


ARCHITECTURES = [Architecture("amd64", "x86_64-linux-gnu", "release", "programs"),
                 Architecture("arm64", "aarch64-linux-gnu", "arm64", "programs-arm64", cross=True)]
IMAGES = [
    # Its sockets and the kernel's knob are root's.
    Image("vfio-doorbell-plugin", "Device plugin that reserves MSI doorbell windows for VFIO devices", user="0:0"),
    Image("vfio-doorbell-monitor", "Metrics, probes and Kubernetes status of vfio-doorbell-plugin", shared=True),
    Image("vfio-doorbell-controller", "Has KubeVirt permit what vfio-doorbell-plugin offers", shared=True),
    Image("vfio-doorbell-checker", "Checks a VM against the MSI doorbell windows of its devices before it starts"),
    # So are the daemon's admin socket and its ledger.
    Image("doorbellctl", "Shows and diagnoses MSI doorbell windows on a node", user="0:0"),
]


@dataclasses.dataclass(frozen=True)
class Package:
    """A Debian package of which something is in a layer."""

    name: str
    version: str
    source: str
    source_version: str
    architecture: str
    maintainer: str
    homepage: str
    copyright: str    # the text of its copyright file


def compile_programs(architecture):
    """Builds the programs of all images."""
    for command in (["cmake", "--preset", architecture.configure_preset],
                    ["cmake", "--build", "--preset", architecture.build_preset]):
        tools.run(*command, cwd=ROOT)


def stage(architecture, place):
    """Makes the trees of an architecture in the directory `place`; by tree, the Package list of what is in it."""
    packages = {}
    for image in IMAGES:
        built = architecture.build / "plugin" / image.name
        if not built.is_file():
            raise LabError(f"{built} is not there: build the preset {architecture.build_preset}")
        tree = place / image.name
        tree.mkdir(parents=True)
        tools.run(architecture.tool("strip"), "--strip-all", "-o", tree / image.name, built)
        needs_loader = "INTERP" in tools.run("readelf", "--program-headers", "--wide", built)
        if needs_loader != image.shared:
            raise LabError(f"{built} is {'not ' if needs_loader else ''}static, unlike what images/recipe.py says")
        packages[image.name] = _linked_packages(architecture, image.name)
        _add_licences(tree, packages[image.name])
    shared = [place / image.name / image.name for image in IMAGES if image.shared]
    packages[BASE] = _stage_base(architecture, place / BASE, shared)
    for item in place.rglob("*"):
        item.chmod(0o755 if item.is_dir() or item.stat().st_mode & 0o100 else 0o644)
    return packages


def layers_of(image):
    """The names of its trees in the stage, the lowest first."""
    return [BASE, image.name] if image.shared else [image.name]


def config_of(image):
    """How it is started, as the image specification has it."""
    config = {"Entrypoint": [f"/{image.name}"], "User": image.user, "WorkingDir": "/"}
    if image.shared:
        config["Env"] = [f"SSL_CERT_FILE=/{CERTIFICATES}"]
    return config


def _stage_base(architecture, tree, programs):
    debs = apt.packages(f"image-{architecture.name}", BASE_PACKAGES, architecture=architecture.name)

    def unpack(place):
        # As the packages have it, without a merged /usr: a base image of others may have a directory /lib.
        for deb in sorted(debs.glob("*.deb")):
            tools.run("dpkg-deb", "--extract", deb, place)
        apt.register(debs, place)

    unpacked = cache.entry("image-packages", [str(debs), pathlib.Path(apt.__file__), pathlib.Path(__file__)], unpack)
    folders = [f"lib/{architecture.triplet}", f"usr/lib/{architecture.triplet}"]
    files = set(RELEASE_FILES)
    for program in programs:
        files.update(images.library_closure(unpacked, program, folders))
    for file in files:
        _copy(unpacked, file, tree)
    (tree / "etc/os-release").symlink_to("../usr/lib/os-release")
    for path, text in FILES.items():
        _write(tree / path, text.encode())
    authorities = sorted((unpacked / "usr/share/ca-certificates").rglob("*.crt"))
    _write(tree / CERTIFICATES, b"".join(path.read_bytes().rstrip(b"\n") + b"\n" for path in authorities))
    owners = _owners(unpacked, [unpacked / file for file in files] + authorities)
    packages = _describe(unpacked, set(owners.values()))
    _add_licences(tree, packages)
    _tell_scanners(unpacked, tree, {file: owners[unpacked / file] for file in files})
    return packages


def _linked_packages(architecture, program):
    """The packages that are in a program: of the archives and of the headers that went into it.

    The linker's map names the objects, and Ninja the headers that each of ours was compiled with.
    """
    linked = (architecture.build / "plugin" / f"{program}.map").read_text(encoding="utf-8", errors="replace")
    objects = set(re.findall(r"^(\S+\(\S+\))$", linked, re.M)) | set(re.findall(r"^LOAD (\S+\.o)$", linked, re.M))
    paths = {name.partition("(")[0] for name in objects if name.startswith("/")}
    for compiled in tools.run("ninja", "-C", architecture.build, "-t", "deps").split("\n\n"):
        name, *headers = [line.split(": #")[0].strip() for line in compiled.strip().splitlines()] or [""]
        archived = re.sub(r"(.*)/CMakeFiles/(\w+)\.dir/(?:.*/)?(.*)", r"\1/lib\2.a(\3)", name)
        if name in objects or archived in objects:
            paths.update(header for header in headers if header.startswith("/"))
    # A link in the build folder leads to an archive of Debian's; what else is below ROOT is ours.
    paths = {path.resolve() for path in map(pathlib.Path, paths) if path.is_symlink() or not path.is_relative_to(ROOT)}
    packages = []
    if architecture.cross:
        sysroot = pathlib.Path(tools.run(ROOT / "scripts/sysroot-arm64").strip()).resolve()
        inside = {path for path in paths if path.is_relative_to(sysroot)}
        packages += _describe(sysroot, set(_owners(sysroot, inside).values()))
        # The rest is the cross compiler's.
        paths -= inside
    machine = pathlib.Path("/")
    packages += _describe(machine, set(_owners(machine, paths).values()))
    return sorted(packages, key=lambda package: (package.name, package.architecture))


def _owners(root, paths):
    """By path, the name of the package that it is of, as dpkg below `root` has it."""
    wanted = {}
    for path in paths:
        inside = f"/{path.relative_to(root)}"
        # A package may have it in /lib where /usr is merged.
        wanted[inside] = wanted[inside.removeprefix("/usr")] = path
    owners = {}
    for listing in sorted((root / "var/lib/dpkg/info").glob("*.list")):
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line in wanted:
                owners.setdefault(wanted[line], listing.stem)
    if lost := set(paths) - set(owners):
        raise LabError(f"no Debian package has {min(lost)}, which is to be in an image")
    return owners


def _describe(root, names):
    """What dpkg below `root` knows of packages."""
    if not names:
        return []
    fields = ["Package", "Version", "source:Package", "source:Version", "Architecture", "Maintainer", "Homepage"]
    form = "\t".join(f"${{{field}}}" for field in fields) + "\n"
    lines = tools.run("dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show", f"--showformat={form}", *sorted(names)).splitlines()
    return [Package(*line.split("\t"), copyright=_copyright(root, line.split("\t")[0])) for line in lines]


def _copyright(root, package):
    """The text of its copyright file; LabError if there is none, because then it may not be passed on."""
    path = root / "usr/share/doc" / package / "copyright"
    if not path.is_file():
        raise LabError(f"{path} is missing: the machine's dpkg must not leave out copyright files")
    return path.read_text(encoding="utf-8", errors="replace")


def _add_licences(tree, packages):
    for package in packages:
        _write(tree / "usr/share/doc" / package.name / "copyright", package.copyright.encode())


def _tell_scanners(unpacked, tree, owners):
    """What the packages of the base are, where scanners of images look for it: as images of Debian without dpkg have it."""
    stanzas = (unpacked / "var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n")
    for stanza in stanzas:
        name = re.search(r"^Package: (.+)$", stanza, re.M)[1]
        files = sorted(file for file, owner in owners.items() if owner == name)
        if not files:
            continue
        _write(tree / "var/lib/dpkg/status.d" / name, (stanza.strip() + "\n").encode())
        sums = [f"{hashlib.md5((tree / file).read_bytes(), usedforsecurity=False).hexdigest()}  {file}\n" for file in files]
        _write(tree / "var/lib/dpkg/status.d" / f"{name}.md5sums", "".join(sums).encode())


def _copy(root, file, tree):
    """Copies the content of a file below `root`, whose links are meant as seen from there."""
    source = root / file
    while source.is_symlink():
        target = os.readlink(source)
        source = root / target.lstrip("/") if os.path.isabs(target) else source.parent / target
    _write(tree / file, source.read_bytes())
    (tree / file).chmod(source.stat().st_mode)


def _write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
