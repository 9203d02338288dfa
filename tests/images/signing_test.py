# SPDX-License-Identifier: Apache-2.0
"""The images signed, pushed, pulled and verified with real tools, by the commands that images/README.md has.

All of it runs in a network that has nothing but a loopback interface with a registry on it, so what passes here asks no public log and
no root of trust of the world.
"""

import base64
import importlib.machinery
import importlib.util
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
from vlab import golang, images, namespaces, processes, tools, waiting  # noqa: E402
from vlab.errors import LabError  # noqa: E402

BUILD = ROOT / "images" / "build"
MODULE = ROOT / "tests" / "tools" / "cosign"
PROGRAMS = {"cosign": "github.com/sigstore/cosign/v3/cmd/cosign", "crane": "github.com/google/go-containerregistry/cmd/crane"}
# Without a certificate, unlike the one that the documents name: cosign and crane do without at a loopback address, skopeo is told to.
REGISTRY = "127.0.0.1:5000"
WITHOUT_TLS = "skopeo copy --src-tls-verify=false --dest-tls-verify=false"
EACH_IMAGE = pytest.mark.parametrize("image", recipe.IMAGES, ids=lambda image: image.name)


def documented(heading):
    """The blocks of commands below a heading of images/README.md."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", (ROOT / "images/README.md").read_text(), re.M | re.S)
    return re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)


BY_SKOPEO, BY_CRANE = documented("Push")
SIGN_SUMS, VERIFY_SUMS, SIGN_IMAGE, VERIFY_IMAGE = documented("Sign and verify")


class Place:
    """A folder with the keys and the build/images of the documents, and how their commands are run in it."""

    def __init__(self, folder, path):
        self.folder = folder
        self.images = folder / "build" / "images"
        # Digests that images/build has printed, by image and "index" or architecture.
        self.digests = {}
        self._trust = folder / "trust"
        self._environment = os.environ | {"PATH": path, "COSIGN_PASSWORD": "secret", "TUF_ROOT": str(self._trust)}

    def run(self, commands):
        """Runs commands of a document, with our registry and digests in them; returns what they printed."""
        text = commands.replace("registry.example", REGISTRY).replace("skopeo copy", WITHOUT_TLS)
        text = text.replace("make images", f"{BUILD} --output {self.images}")
        for word in ("INDEX", "ARM64"):
            text = text.replace(f"sha256:{word}", self.digests.get(("vfio-doorbell-plugin", word.lower()), word))
        try:
            return tools.run("bash", "-euo", "pipefail", "-c", text, cwd=self.folder, env=self._environment, timeout=900)
        finally:
            assert not self._trust.exists(), "cosign has asked for a root of trust"

    def copy(self, folder):
        """Another place with what is given out of this one, which can be changed."""
        shutil.copytree(self.images, folder / "build" / "images", ignore=shutil.ignore_patterns("stage"))
        shutil.copy(self.folder / "cosign.pub", folder)
        copy = Place(folder, self._environment["PATH"])
        copy.digests = self.digests
        return copy


@pytest.fixture(scope="session", name="place")
def fixture_place(tmp_path_factory):
    """Where the images have been made and signed."""
    folder = tmp_path_factory.mktemp("place")
    programs = folder / "bin"
    programs.mkdir()
    for name, package in PROGRAMS.items():
        (programs / name).symlink_to(golang.program(MODULE, package, "-trimpath", "-ldflags", "-s -w", environment=golang.STATIC))
    # What images are made of is fetched while there is a network.
    for architecture in recipe.ARCHITECTURES:
        recipe.compile_programs(architecture)
        recipe.stage(architecture, folder / "stage" / architecture.name)
    namespaces.enter_own_network()
    place = Place(folder, f"{programs}:{os.environ['PATH']}")
    printed = place.run(SIGN_SUMS)
    assert printed.endswith("; signed\n")
    place.digests = {(name, part): digest for name, part, digest in re.findall(r"^(\S+) +(\S+) .*(sha256:[0-9a-f]{64})$", printed, re.M)}
    return place


@pytest.fixture(scope="session", name="registry")
def fixture_registry(place):
    """The same, with a registry to which all images have been pushed, and the signatures of one."""
    log = place.folder / "registry.log"
    server = processes.Process.start([place.folder / "bin" / "crane", "registry", "serve", "--address", REGISTRY], log, place.folder,
                                     bound=True)
    try:
        waiting.wait_for("the registry serves", lambda: "serving on port" in log.read_text(), 2, evidence=log.read_text,
                         give_up=lambda: not server.is_alive() and "it has ended")
        place.run(BY_SKOPEO)
        place.run(SIGN_IMAGE)
        yield place
    finally:
        server.stop()


class TestSums:
    """The files as they are given out."""

    def test_are_verified(self, place):
        assert "doorbellctl-0.1.0.tar: OK" in place.run(VERIFY_SUMS)

    def test_have_a_signature_that_whoever_reads_them_reads(self, place):
        sums = place.images / "SHA256SUMS"
        assert sums.with_name("SHA256SUMS.sigstore.json").stat().st_mode == sums.stat().st_mode

    def test_are_refused_when_a_sum_is_another(self, place, tmp_path):
        copy = place.copy(tmp_path)
        sums = copy.images / "SHA256SUMS"
        sums.write_text(re.sub(r"^.", lambda digit: "0" if digit[0] != "0" else "1", sums.read_text()))
        with pytest.raises(LabError, match="failed to verify signature"):
            copy.run(VERIFY_SUMS)

    def test_are_refused_when_an_archive_is_another(self, place, tmp_path):
        copy = place.copy(tmp_path)
        with open(copy.images / "doorbellctl-0.1.0.tar", "ab") as archive:
            archive.write(b"more")
        with pytest.raises(LabError, match="1 computed checksum did NOT match"):
            copy.run(VERIFY_SUMS)

    def test_are_refused_with_another_key(self, place, tmp_path):
        copy = place.copy(tmp_path)
        (copy.folder / "cosign.pub").unlink()
        copy.run("cosign generate-key-pair")
        with pytest.raises(LabError, match="failed to verify signature"):
            copy.run(VERIFY_SUMS)

    def test_another_way_to_sign_asks_the_network(self, place, tmp_path):
        """Why it is not taken; and that it would be seen."""
        copy = place.copy(tmp_path)
        with pytest.raises(AssertionError, match="cosign has asked for a root of trust"):
            copy.run("cosign generate-key-pair --output-key-prefix other && cosign signing-config create --out config.json && "
                     "cosign sign-blob --signing-config config.json --key other.key --bundle bundle.json build/images/SHA256SUMS")


class TestBadKey:
    """What images/build says of a key that does not sign."""

    @pytest.fixture(name="program")
    def fixture_program(self):
        """images/build as a module."""
        loader = importlib.machinery.SourceFileLoader("images_build", str(BUILD))
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
        sys.modules[loader.name] = module
        loader.exec_module(module)
        return module

    @pytest.mark.parametrize("key,password,reason", [("cosign.key", "wrong", "decryption failed"),
                                                     ("cosign.pub", "secret", "unsupported pem type: PUBLIC KEY")])
    def test_is_an_error(self, place, program, tmp_path, monkeypatch, capfd, key, password, reason):
        monkeypatch.setenv("PATH", f"{place.folder}/bin:{os.environ['PATH']}")
        monkeypatch.setenv("COSIGN_PASSWORD", password)
        shutil.copy(place.images / "SHA256SUMS", tmp_path)
        with pytest.raises(LabError, match=f"cosign did not sign with .*/{key}: the reason stands above"):
            program.sign(tmp_path, str(place.folder / key))
        assert reason in capfd.readouterr().err

    def test_that_is_not_there_is_an_error_before_anything_is_built(self, place):
        with pytest.raises(LabError, match="^.*\nimages/build: COSIGN_KEY is my.key, which is no file$"):
            place.run("COSIGN_KEY=my.key make images")
        assert (place.images / "SHA256SUMS").exists()


class TestRegistry:
    """What is pushed to it is what was made, and is signed."""

    @EACH_IMAGE
    def test_has_from_skopeo_what_was_made(self, registry, image):
        assert registry.run(f"crane digest registry.example/infra/{image.name}:0.1.0").strip() == registry.digests[image.name, "index"]
        for architecture in recipe.ARCHITECTURES:
            found = registry.run(f"crane digest --platform linux/{architecture.name} registry.example/infra/{image.name}:0.1.0")
            assert found.strip() == registry.digests[image.name, architecture.name]

    def test_has_from_crane_what_was_made(self, registry):
        registry.run(BY_CRANE.replace("/infra/", "/crane/"))
        pushed = registry.run("crane digest registry.example/crane/vfio-doorbell-plugin:0.1.0").strip()
        assert pushed == registry.digests["vfio-doorbell-plugin", "index"]

    def test_leaves_a_copy_the_digest_and_no_signature(self, registry):
        registry.run("skopeo copy --all docker://registry.example/infra/vfio-doorbell-plugin:0.1.0 "
                     "docker://registry.example/copy/vfio-doorbell-plugin:0.1.0")
        copied = registry.run("crane digest registry.example/copy/vfio-doorbell-plugin:0.1.0").strip()
        assert copied == registry.digests["vfio-doorbell-plugin", "index"]
        with pytest.raises(LabError, match="no signatures found"):
            registry.run(VERIFY_IMAGE.replace("/infra/", "/copy/"))

    def test_gives_it_to_containerd(self, registry, tmp_path):
        with images.containerd(tmp_path / "store", tmp_path) as ctr:
            for image in recipe.IMAGES:
                name = f"{REGISTRY}/infra/{image.name}:0.1.0"
                ctr("images", "pull", "--plain-http", "--all-platforms", "--snapshotter", "native", name)
                assert registry.digests[image.name, "index"] in ctr("images", "list", f"name=={name}")

    def test_has_a_signature_and_a_bill_of_materials(self, registry):
        (signature,), attestation = [json.loads(line) for line in registry.run(VERIFY_IMAGE).splitlines() if line]
        assert signature["critical"]["image"]["docker-manifest-digest"] == registry.digests["vfio-doorbell-plugin", "index"]
        statement = json.loads(base64.b64decode(attestation["payload"]))
        assert [f"sha256:{item['digest']['sha256']}" for item in statement["subject"]] == [registry.digests["vfio-doorbell-plugin", "arm64"]]
        assert statement["predicate"] == json.loads((registry.images / "vfio-doorbell-plugin-0.1.0-arm64.spdx.json").read_text())

    @pytest.mark.parametrize("command", VERIFY_IMAGE.splitlines(), ids=lambda command: command.split()[1])
    def test_does_not_pass_for_signed_by_another_key(self, registry, tmp_path, command):
        other = registry.copy(tmp_path)
        (other.folder / "cosign.pub").unlink()
        other.run("cosign generate-key-pair")
        with pytest.raises(LabError, match="failed to verify signature"):
            other.run(command)

    def test_does_not_pass_for_signed_without_a_signature(self, registry):
        with pytest.raises(LabError, match="no signatures found"):
            registry.run("cosign verify --key cosign.pub --insecure-ignore-tlog registry.example/infra/doorbellctl:0.1.0")
