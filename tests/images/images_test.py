# SPDX-License-Identifier: Apache-2.0
"""The images as images/build makes them: what is in them, that they start, and that a second packing gives the same bytes."""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "images"), str(ROOT / "tests" / "lab")]

import recipe  # noqa: E402
from vlab import cache, docker, images, tools  # noqa: E402
from vlab.errors import LabError  # noqa: E402

BUILD = ROOT / "images" / "build"
LARGEST_BYTES = 20_000_000
EPOCH = "1700000000"
REQUIREMENTS = pathlib.Path(__file__).parent / "requirements.txt"
BOTH = [(image, architecture) for image in recipe.IMAGES for architecture in recipe.ARCHITECTURES]
EACH_IMAGE = pytest.mark.parametrize("image", recipe.IMAGES, ids=lambda image: image.name)
EACH = pytest.mark.parametrize("image,architecture", BOTH, ids=lambda value: value.name)


def build(output, *arguments, **environment):
    """Runs images/build and returns what it printed."""
    return tools.run(BUILD, "--output", output, *arguments, cwd="/", env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH} | environment)


@dataclasses.dataclass(frozen=True)
class Archive:
    """An unpacked archive."""

    path: pathlib.Path
    folder: pathlib.Path

    def blob(self, descriptor):
        """The bytes that a descriptor names."""
        return (self.folder / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()

    def document(self, descriptor):
        """The same as JSON."""
        return json.loads(self.blob(descriptor))

    @property
    def top(self):
        """The one descriptor of index.json."""
        (descriptor,) = json.loads((self.folder / "index.json").read_text())["manifests"]
        return descriptor

    def manifest(self, architecture):
        """The manifest for an architecture."""
        (found,) = [item for item in self.document(self.top)["manifests"] if item["platform"]["architecture"] == architecture.name]
        return self.document(found)


class Images:
    """What images/build has made in a folder."""

    def __init__(self, output, scratch):
        self.output = output
        self._scratch = scratch

    def archive(self, image):
        """Of an image, unpacked the first time."""
        path = self.output / f"{image.name}-{recipe_version()}.tar"
        folder = self._scratch / "archives" / image.name
        if not folder.is_dir():
            folder.mkdir(parents=True)
            tools.run("tar", "--extract", "--file", path, "--directory", folder)
        return Archive(path, folder)

    def tree(self, image, architecture):
        """The file system of a container of an image, unpacked the first time."""
        folder = self._scratch / "trees" / f"{image.name}-{architecture.name}"
        if not folder.is_dir():
            folder.mkdir(parents=True)
            archive = self.archive(image)
            for layer in archive.manifest(architecture)["layers"]:
                tools.run("tar", "--extract", "--gzip", "--directory", folder, input=archive.blob(layer), text=False, errors=None)
        return folder

    def sbom(self, image, architecture):
        """The path of its bill of materials."""
        return self.output / f"{image.name}-{recipe_version()}-{architecture.name}.spdx.json"


def recipe_version():
    """As CMakeLists.txt has it."""
    return re.search(r"^project\(vfio-doorbell VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.M)[1]


@pytest.fixture(scope="session", name="made")
def fixture_made(tmp_path_factory):
    """All images, made once."""
    folder = tmp_path_factory.mktemp("images")
    printed = build(folder / "out", "--source", "https://example.invalid/vfio-doorbell")
    made = Images(folder / "out", folder)
    made.printed = printed
    return made


@EACH
def test_is_small(made, image, architecture):
    manifest = made.archive(image).manifest(architecture)
    assert sum(item["size"] for item in [manifest["config"], *manifest["layers"]]) <= LARGEST_BYTES


@EACH_IMAGE
def test_archive_has_all_it_names_and_no_more(made, image):
    archive = made.archive(image)
    named, todo = {}, [archive.top]
    while todo:
        descriptor = todo.pop()
        named[descriptor["digest"].removeprefix("sha256:")] = descriptor
        if descriptor["mediaType"].endswith("+json") and ".config." not in descriptor["mediaType"]:
            document = archive.document(descriptor)
            todo += document.get("manifests", []) + document.get("layers", [])
            todo += [document["config"]] if "config" in document else []
    blobs = {path.name: path.read_bytes() for path in (archive.folder / "blobs/sha256").iterdir()}
    assert blobs.keys() == named.keys()
    for name, data in blobs.items():
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (name, named[name]["size"])


@EACH
def test_labels_say_what_it_is(made, image, architecture):
    archive = made.archive(image)
    manifest = archive.manifest(architecture)
    config = archive.document(manifest["config"])
    labels = config["config"]["Labels"]
    expected = {"title": image.name, "version": recipe_version(), "source": "https://example.invalid/vfio-doorbell",
                "licenses": "Apache-2.0", "base.name": "scratch"}
    assert {key: labels[f"org.opencontainers.image.{key}"] for key in expected} == expected
    head = tools.run("git", "-C", ROOT, "rev-parse", "HEAD").strip()
    assert labels["org.opencontainers.image.revision"].removesuffix("-dirty") == head
    assert labels.items() <= manifest["annotations"].items()
    assert config["created"] == manifest["annotations"]["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"
    assert (config["architecture"], config["os"]) == (architecture.name, "linux")


@EACH
def test_starts_its_program_as_its_user(made, image, architecture):
    archive = made.archive(image)
    config = archive.document(archive.manifest(architecture)["config"])["config"]
    assert config["Entrypoint"] == [f"/{image.name}"]
    assert config["User"] == ("0:0" if image.name in ("vfio-doorbell-plugin", "doorbellctl") else "65534:65534")


@EACH
def test_holds_one_program_and_no_shell(made, image, architecture):
    tree = made.tree(image, architecture)
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    runnable = {str(path.relative_to(tree)) for path in files if path.read_bytes()[:4] == b"\x7fELF" or path.stat().st_mode & 0o111}
    libraries = {name for name in runnable if re.search(r"/(ld-linux-[\w-]+\.so\.\d|lib[^/]+\.so\.[\d.]+)$", name)}
    assert runnable - libraries == {image.name}
    assert bool(libraries) == image.shared
    assert not [path for path in files if path.stat().st_mode & 0o6022], "set-user-id, or others may write"
    assert not [path for path in files if path.read_bytes()[:2] == b"#!"]


@EACH
def test_program_is_stripped_and_tells_nothing_of_where_it_was_built(made, image, architecture):
    program = made.tree(image, architecture) / image.name
    sections = tools.run("readelf", "--sections", "--wide", program)
    assert ".text" in sections
    assert not re.search(r"\.(symtab|debug\w*)\b", sections)
    assert not re.search(r"R(UN)?PATH", tools.run("readelf", "--dynamic", program))
    data = program.read_bytes()
    for place in (ROOT, cache.root(), pathlib.Path.home() / ".cache"):
        assert f"{place}/".encode() not in data


@EACH
def test_program_starts_in_its_image(made, image, architecture):
    tree = made.tree(image, architecture)
    emulator = []
    if architecture.cross:
        name = "qemu-aarch64-static"
        shutil.copy(f"/usr/bin/{name}", tree / name)
        emulator = [f"/{name}"]
    try:
        said = tools.run("unshare", "--net", "chroot", f"--userspec={recipe.NOBODY}", tree, *emulator, f"/{image.name}", "--version",
                         env={"PATH": os.environ["PATH"]}, timeout=60)
    finally:
        for item in emulator:
            (tree / item.lstrip("/")).unlink()
    assert said.strip() == f"{image.name} {recipe_version()}"


@pytest.mark.parametrize("architecture", recipe.ARCHITECTURES, ids=lambda architecture: architecture.name)
def test_programs_with_shared_libraries_stand_on_one_base(made, architecture):
    layers = [made.archive(image).manifest(architecture)["layers"] for image in recipe.IMAGES if image.shared]
    assert len({layer[0]["digest"] for layer in layers}) == 1
    assert all(len(layer) == 2 for layer in layers)


@EACH
def test_brings_accounts_and_certificates_where_an_api_is_used(made, image, architecture):
    archive = made.archive(image)
    config = archive.document(archive.manifest(architecture)["config"])["config"]
    certificates = [line.partition("=")[2] for line in config.get("Env", []) if line.startswith("SSL_CERT_FILE=")]
    assert len(certificates) == int(image.shared)
    for path in certificates:
        bundle = made.tree(image, architecture) / path.lstrip("/")
        assert bundle.read_text().count("BEGIN CERTIFICATE") > 100
        tools.run("openssl", "crl2pkcs7", "-nocrl", "-certfile", bundle)
        assert "nobody:x:65534:" in (made.tree(image, architecture) / "etc/passwd").read_text()


def test_a_second_packing_gives_the_same_bytes(made, tmp_path):
    previous = os.umask(0o077)
    try:
        build(tmp_path / "again", "--source", "https://example.invalid/vfio-doorbell", TZ="Asia/Tokyo", LC_ALL="C")
    finally:
        os.umask(previous)
    assert (tmp_path / "again/SHA256SUMS").read_text() == (made.output / "SHA256SUMS").read_text()


def test_sums_are_of_all_that_is_given_out(made):
    tools.run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=made.output)
    given = {path.name for path in made.output.iterdir() if path.is_file()} - {"SHA256SUMS"}
    assert given == {line.split()[1] for line in (made.output / "SHA256SUMS").read_text().splitlines()}
    assert len(given) == len(recipe.IMAGES) * (1 + len(recipe.ARCHITECTURES))


@EACH
def test_prints_size_and_digest(made, image, architecture):
    (digest,) = [item["digest"] for item in made.archive(image).document(made.archive(image).top)["manifests"]
                 if item["platform"]["architecture"] == architecture.name]
    assert re.search(rf"^{image.name} +{architecture.name} +\d+\.\d MB  {digest}$", made.printed, re.M)
    assert re.search(rf"^{image.name} +index +{made.archive(image).top['digest']}$", made.printed, re.M)


def test_without_a_key_it_says_so(made):
    assert made.printed.strip().endswith("not signed: COSIGN_KEY is not set")


@pytest.fixture(scope="session", name="validator")
def fixture_validator():
    """SPDX's own validator, from the package index, pinned by its hashes."""
    def make(place):
        tools.run("/usr/bin/python3", "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--target", place,
                  "--requirement", REQUIREMENTS)

    return cache.entry("spdx-tools", [REQUIREMENTS], make)


def validate(validator, path):
    """Has the validator read a document; LabError with its complaints."""
    tools.run("/usr/bin/python3", "-m", "spdx_tools.spdx.clitools.pyspdxtools", "--infile", path,
              env=os.environ | {"PYTHONPATH": str(validator)})


@EACH
def test_bill_of_materials_is_valid(made, validator, image, architecture):
    validate(validator, made.sbom(image, architecture))


def test_validator_finds_a_fault(made, validator, tmp_path):
    document = json.loads(made.sbom(*BOTH[0]).read_text())
    document["packages"][1]["licenseDeclared"] = "Nonsense-1"
    (tmp_path / "bad.spdx.json").write_text(json.dumps(document))
    with pytest.raises(LabError, match="Nonsense-1"):
        validate(validator, tmp_path / "bad.spdx.json")


@EACH
def test_bill_of_materials_lists_each_file(made, image, architecture):
    tree = made.tree(image, architecture)
    listed = {}
    for file in json.loads(made.sbom(image, architecture).read_text())["files"]:
        (listed[file["fileName"]],) = [item["checksumValue"] for item in file["checksums"] if item["algorithm"] == "SHA256"]
    there = {f"./{path.relative_to(tree)}": hashlib.sha256(path.read_bytes()).hexdigest()
             for path in tree.rglob("*") if path.is_file() and not path.is_symlink()}
    assert listed == there


@EACH
def test_bill_of_materials_names_what_is_linked_in(made, image, architecture):
    document = json.loads(made.sbom(image, architecture).read_text())
    names = {package["SPDXID"]: package for package in document["packages"]}
    linked = {names[item["relatedSpdxElement"]]["name"]: names[item["relatedSpdxElement"]]["versionInfo"]
              for item in document["relationships"] if item["relationshipType"] == "STATIC_LINK"}
    # By another way than images/build goes: text that these libraries leave in a program.
    program = (made.tree(image, architecture) / image.name).read_bytes()
    for package, text in {"libgrpc-dev": b"grpc.primary_user_agent", "libxml2-dev": b"http://www.w3.org/XML/1998/namespace", "libicu-dev": b"icudt",
                          "libyaml-cpp-dev": b"illegal map value"}.items():
        assert (package in linked) == (text in program), package
    for package in linked:
        assert (made.tree(image, architecture) / "usr/share/doc" / package / "copyright").stat().st_size > 0
    # Not that of the cross compiler, which gets no security updates.
    assert "libc6-dev" in linked
    if not architecture.cross:
        assert linked["libabsl-dev"] == tools.run("dpkg-query", "--show", "--showformat=${Version}", "libabsl-dev")


@pytest.mark.parametrize("image", [image for image in recipe.IMAGES if image.shared], ids=lambda image: image.name)
def test_scanners_find_the_packages_of_the_base(made, image):
    tree = made.tree(image, recipe.ARCHITECTURES[-1])
    assert 'VERSION_CODENAME=bookworm' in (tree / "etc/os-release").read_text()
    stanza = (tree / "var/lib/dpkg/status.d/libssl3").read_text()
    assert re.search(r"^Package: libssl3$", stanza, re.M) and re.search(r"^Architecture: arm64$", stanza, re.M)
    for line in (tree / "var/lib/dpkg/status.d/libssl3.md5sums").read_text().splitlines():
        total, name = line.split("  ")
        assert hashlib.md5((tree / name).read_bytes(), usedforsecurity=False).hexdigest() == total


def test_containerd_imports_them(made, tmp_path):
    """As `kind load image-archive` does, for all platforms."""
    with images.containerd(tmp_path / "store", tmp_path) as ctr:
        for image in recipe.IMAGES:
            archive = made.archive(image)
            ctr("images", "import", "--all-platforms", "--digests", "--snapshotter", "native", archive.path)
            name = f"docker.io/library/{image.name}:{recipe_version()}"
            (line,) = [line for line in ctr("images", "list", f"name=={name}").splitlines() if line.startswith(name)]
            assert archive.top["digest"] in line
            assert "linux/amd64,linux/arm64" in line


def test_docker_loads_and_starts_them(made, tmp_path):
    """Debian's, which knows no index: each architecture has a tag of its own."""
    daemon = docker.Docker(f"images-{os.getpid()}", tmp_path)
    try:
        daemon.start(bound=True)
        for image in recipe.IMAGES:
            daemon.run("load", "--input", made.archive(image).path)
            for architecture in recipe.ARCHITECTURES:
                name = f"{image.name}:{recipe_version()}-{architecture.name}"
                assert daemon.run("image", "inspect", "--format", "{{.Architecture}}", name).strip() == architecture.name
                if not architecture.cross:
                    said = daemon.run("run", "--rm", "--network", "none", name, "--version")
                    assert said.strip() == f"{image.name} {recipe_version()}"
    finally:
        daemon.stop()


def test_dockerfile_is_the_same_recipe():
    text = (ROOT / "images/Dockerfile").read_text()
    stages = dict(re.findall(r"^FROM \S+ AS (\S+)\n((?:.+\n)+)", text, re.M))
    for image in recipe.IMAGES:
        config = recipe.config_of(image)
        copied = re.findall(r"^COPY \$\{TARGETARCH\}/(\S+) /$", stages[image.name], re.M)
        assert copied == recipe.layers_of(image)
        assert f"USER {config['User']}\n" in stages[image.name]
        assert f"ENTRYPOINT {json.dumps(config['Entrypoint'])}\n" in stages[image.name]
        assert re.findall(r"^ENV (.+)$", stages[image.name], re.M) == config.get("Env", [])
    assert stages.keys() == {image.name for image in recipe.IMAGES}


class TestBadInput:
    """One sentence, before anything is built."""

    @pytest.mark.parametrize("arguments,environment,sentence", [
        ([], {"SOURCE_DATE_EPOCH": "yesterday"}, "SOURCE_DATE_EPOCH is 'yesterday', which is no number of seconds since 1970"),
        (["--tag", "a b"], {}, "--tag: 'a b' is no tag of an image"),
        (["--repository", "Team!"], {}, "--repository: 'Team!' is no registry with a folder"),
        (["--architecture", "riscv64"], {}, "invalid choice: 'riscv64'"),
        ([], {"COSIGN_KEY": "my.key", "PATH": "/nonexistent"}, "COSIGN_KEY is set, and cosign is not installed"),
    ])
    def test_is_refused(self, tmp_path, arguments, environment, sentence):
        with pytest.raises(LabError, match=re.escape(sentence)):
            build(tmp_path / "out", *arguments, **environment)
        assert not (tmp_path / "out").exists()

    def test_a_folder_of_somebody_else_stays(self, tmp_path):
        (tmp_path / "letter").write_text("dear")
        with pytest.raises(LabError, match="is not empty, and nothing that images/build has made"):
            build(tmp_path)
        assert (tmp_path / "letter").read_text() == "dear"
