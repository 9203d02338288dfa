# SPDX-License-Identifier: Apache-2.0
"""Packages of the machine's own Debian, without touching the machine's APT: arm64 unless said otherwise.

A private APT for each architecture (own lists, status and cache) uses the sources the machine
already trusts. Packages are only ever unpacked: no maintainer script runs, no service starts.
"""

import os
import pathlib
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile

from . import cache, tools
from .errors import LabError

UNWANTED = ["./usr/share/" + d + "/*" for d in
            ("doc", "man", "info", "locale", "lintian", "bug", "perl", "zoneinfo", "bash-completion")]


NODE = "arm64"


def packages(kind, names, closure=True, architecture=NODE):
    """A cache entry with the .debs of `names` and, as a `closure`, everything they depend on.

    The versions are those the machine's sources offer when the entry is first made; they stay
    until the entry is removed or `names` changes.
    """
    fetch = _fetch_closure if closure else _fetch_named
    return cache.entry(f"debs-{kind}", [_release(), *names], lambda place: fetch(names, place, architecture))


def machine_architecture():
    """That of this machine: "amd64"."""
    return tools.run("dpkg", "--print-architecture").strip()


def newest(pattern):
    """The package with the highest version whose name matches the regular expression."""
    listing = _apt(NODE, "apt-cache", "search", "--names-only", pattern)
    names = [line.split()[0] for line in listing.splitlines()]
    if not names:
        raise LabError(f"no arm64 package is called {pattern}")
    return max(names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])


def unpack(debs, tree, keep_docs=False):
    """Unpacks every .deb in the directory `debs` into `tree`, a file system with merged /usr."""
    for part in ("bin", "sbin", "lib"):
        (tree / "usr" / part).mkdir(parents=True, exist_ok=True)
        if not (tree / part).is_symlink():
            (tree / part).symlink_to(f"usr/{part}")
    excludes = [] if keep_docs else [f"--exclude={pattern}" for pattern in UNWANTED]
    for deb in sorted(debs.glob("*.deb")):
        # tar, not dpkg-deb --extract: that one replaces the links of the merged /usr by directories.
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as data:
            tools.run("tar", "--extract", "--keep-directory-symlink", "--directory", tree, *excludes,
                      stdin=data.stdout)
        if data.returncode != 0:
            raise LabError(f"{deb.name} cannot be unpacked")


def register(debs, tree):
    """Lets `dpkg-query --admindir=<tree>/var/lib/dpkg` say which package below `debs` a path of `tree` is of, and brings each
    package's copyright file."""
    records = tree / "var/lib/dpkg"
    (records / "info").mkdir(parents=True, exist_ok=True)
    stanzas = []
    for deb in sorted(debs.glob("*.deb")):
        stanzas.append(tools.run("dpkg-deb", "--field", deb) + "Status: install ok installed\n")
        name = tools.run("dpkg-deb", "--field", deb, "Package").strip()
        paths = []
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as data:
            with tarfile.open(fileobj=data.stdout, mode="r|") as members:
                for member in members:
                    # As dpkg writes it: absolute, the root as "/.".
                    path = member.name.removeprefix(".")
                    paths.append(path or "/.")
                    if re.fullmatch(r"/usr/share/doc/[^/]+(/copyright)?", path) and not member.isdir():
                        members.extract(member, tree)
        if data.returncode != 0:
            raise LabError(f"{deb.name} cannot be read")
        (records / "info" / f"{name}.list").write_text("".join(f"{path}\n" for path in paths))
    (records / "status").write_text("\n".join(stanzas))
def install_tree(tree, names):
    """Makes `tree`, a Debian of the machine's own release and architecture with the packages `names`, all configured."""
    with tempfile.TemporaryDirectory() as scratch:
        sources, options = pathlib.Path(scratch, "sources.list"), pathlib.Path(scratch, "apt.conf")
        sources.write_text(_sources(machine_architecture()))
        options.write_text(tools.run("apt-config", "dump", "Acquire"))
        tools.run("mmdebstrap", "--variant=essential", "--mode=root", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", f"--include={','.join(names)}", f"--aptopt={options}",
                  *(f"--dpkgopt=path-exclude={pattern[1:]}" for pattern in UNWANTED), _release(), tree, sources)


def _release():
    """The machine's Debian release: "bookworm"."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _sources(architecture):
    """The machine's Debian sources as one-line entries for an architecture."""
    form = "$(ORIGIN)|$(CREATED_BY)|$(SITE) $(RELEASE) $(COMPONENT)"
    targets = tools.run("apt-get", "indextargets", "--format", form)
    places = sorted({line.split("|")[2] for line in targets.splitlines()
                     if line.startswith("Debian|Packages|")})
    if not places:
        raise LabError("this machine's APT knows no Debian packages: run apt-get update")
    return "".join(f"deb [arch={architecture}] {place}\n" for place in places)


def _state(architecture):
    """Where the private APT of an architecture lives."""
    return cache.root() / ("apt" if architecture == NODE else f"apt-{architecture}")


def _configure(state, architecture):
    """Writes the private APT's configuration below `state`; returns the file."""
    for part in ("lists/partial", "archives/partial"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    (state / "sources.list").write_text(_sources(architecture))
    # The machine's way to the mirrors (proxies) is kept; its hooks are not.
    acquire = tools.run("apt-config", "dump", "Acquire")
    conf = state / "apt.conf"
    conf.write_text(f"""{acquire}
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "{state}";
Dir::State::status "{state}/status";
Dir::State::lists "{state}/lists";
Dir::Cache "{state}";
Dir::Cache::archives "{state}/archives";
Dir::Etc::sourcelist "{state}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::main "-";
Dir::Etc::parts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
""")
    return conf


def _apt(architecture, *command, directory=None):
    """Runs a command of the private APT in `directory` and returns what it printed."""
    state = _state(architecture)
    with cache.locked(cache.root() / "apt.lock"):
        environment = os.environ | {"APT_CONFIG": str(_configure(state, architecture)), "LC_ALL": "C.UTF-8"}

        def run(*words):
            return tools.run(*words, env=environment, cwd=directory)

        if not any((state / "lists").glob("*Packages*")):
            run("apt-get", "update", "--error-on=any")
        try:
            return run(*command)
        except LabError:
            # The lists may name versions that the mirror has replaced since.
            run("apt-get", "update", "--error-on=any")
            return run(*command)


def _fetch_closure(names, place, architecture):
    _apt(architecture, "apt-get", "install", "--yes", "--download-only", *names)
    # Asked with an empty archive directory, APT names every file of the closure, not only new ones.
    listing = _apt(architecture, "apt-get", "install", "--yes", "--print-uris",
                   "-o", f"Dir::Cache::archives={place}", *names)
    for leftover in place.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    archives = _state(architecture) / "archives"
    for name in re.findall(r"^'[^']+' (\S+\.deb) \d+", listing, re.MULTILINE):
        os.link(archives / name, place / name)


def _fetch_named(names, place, architecture):
    _apt(architecture, "apt-get", "download", *names, directory=place)
