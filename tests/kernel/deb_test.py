# SPDX-License-Identifier: Apache-2.0
"""What kernel/deb says to a configuration, before anything is compiled. What it builds is for tests/kernel/install-deb."""

import gzip
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEB = ROOT / "kernel" / "deb"
# Unpacking the source and running Kconfig takes 50 seconds of an idle machine.
DEADLINE_S = 600

HEAD = "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/{architecture} 6.12.1 Kernel Configuration\n#\n"
# A shortened configuration: what it does not say is as the kernel's default.
ENOUGH = """CONFIG_PCI=y
CONFIG_PCI_MSI=y
CONFIG_IOMMU_SUPPORT=y
CONFIG_ARM_SMMU_V3=y
CONFIG_VFIO=m
CONFIG_VFIO_PCI=m
CONFIG_VFIO_CONTAINER=y
"""


def run(*arguments, **environment):
    """Runs kernel/deb, not further than to the configuration."""
    return subprocess.run([DEB, "--configure-only", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=os.environ | environment, text=True, timeout=DEADLINE_S, check=False)


def refusal(*arguments, **environment):
    """The one sentence of a kernel/deb that refuses; what it said of its progress before is left out."""
    done = run(*arguments, **environment)
    assert done.returncode == 1
    assert done.stdout == ""
    *_, last = done.stderr.splitlines()
    return last


@pytest.fixture(name="config")
def fixture_config(tmp_path):
    """Writes a configuration with some text and returns its path."""
    def write(text, name="config"):
        path = tmp_path / name
        path.write_text(text)
        return path
    return write


class TestRefusesAtOnce:
    """What can be said without the kernel's source."""

    def test_a_file_that_is_not_there(self):
        assert refusal("--config", "/nowhere/config") == (
            "deb: --config: /nowhere/config does not exist (it is neither a file, nor debian or small)")

    def test_a_directory(self, tmp_path):
        assert refusal("--config", tmp_path) == f"deb: --config: {tmp_path} is a directory, not a configuration"

    @pytest.mark.parametrize("text", ["", "hello\n", "\0\1\2\n", "#CONFIG_VFIO=m\n"])
    def test_a_file_that_is_no_configuration(self, config, text):
        path = config(text)
        assert refusal("--config", path) == f"deb: --config: {path} is not a kernel configuration: no line of it sets an option"

    def test_a_file_that_is_not_compressed_although_its_name_says_so(self, config):
        path = config(ENOUGH, "config.gz")
        assert refusal("--config", path) == f"deb: --config: {path} is not in the format of gzip"

    @pytest.mark.parametrize("text,architecture", [
        (HEAD.format(architecture="x86") + "CONFIG_X86_64=y\n", "x86"),
        ("CONFIG_RISCV=y\n" + ENOUGH, "riscv"),
        (HEAD.format(architecture="arm") + ENOUGH, "arm"),
    ])
    def test_a_configuration_for_another_architecture(self, config, text, architecture):
        path = config(text)
        assert refusal("--config", path) == (
            f"deb: --config: {path} is a configuration for {architecture}, and the packages are for arm64")

    def test_an_output_directory_that_is_not_empty(self, tmp_path):
        (tmp_path / "precious").touch()
        assert refusal("--config", "small", "--output", tmp_path) == f"deb: --output: {tmp_path} is not empty"

    def test_an_option_it_does_not_have(self):
        assert refusal("--release") == "deb: unknown argument: --release (kernel/deb --help)"

    def test_btf_without_the_program_that_makes_it(self, config, tmp_path):
        for program in pathlib.Path("/usr/bin").iterdir():
            if program.name != "pahole":
                (tmp_path / program.name).symlink_to(program)
        path = config(ENOUGH + "CONFIG_DEBUG_INFO_BTF=y\n", "config-btf")
        assert refusal("--debug-info", "--config", path, PATH=str(tmp_path)) == (
            "deb: --debug-info: the configuration asks for BTF, which pahole makes: install Debian's package dwarves")

    def test_a_base_that_is_not_there(self):
        done = subprocess.run([DEB, "--base", "2.4"], stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False)
        assert done.returncode == 1
        assert 'there is no base "2.4"' in done.stderr


class TestRefusesWhatKconfigMakesOfIt:
    """What only the kernel's source can tell."""

    def test_vfio_dropped_and_smmu_not_asked_for(self, config):
        path = config("CONFIG_PCI=n\nCONFIG_VFIO=y\nCONFIG_VFIO_CONTAINER=y\nCONFIG_VFIO_PCI=y\n")
        assert refusal("--config", path) == (
            f"deb: the configuration ({path}) does not do for VFIO on arm64: CONFIG_PCI_MSI is not set; CONFIG_ARM_SMMU_V3 or "
            "CONFIG_ARM_SMMU or CONFIG_VIRTIO_IOMMU is not set; CONFIG_VFIO_PCI=y is asked for, and Kconfig drops it because what it "
            "depends on is off")

    def test_an_amendment_that_does_not_come_out(self, config):
        path = config("CONFIG_NO_SUCH_OPTION=y\n")
        assert refusal("--config", "small", "--config", path) == (
            "deb: the kernel's configuration does not come out with CONFIG_NO_SUCH_OPTION=y: what it depends on is off or only a module, "
            "or this kernel has no option of that name")

    def test_a_name_that_no_package_can_have(self, config):
        path = config(ENOUGH + 'CONFIG_LOCALVERSION="_Mine"\n')
        assert refusal("--config", path) == (
            'deb: CONFIG_LOCALVERSION="_Mine" cannot stand in the name of a package: only lower-case letters, digits and . + - can')


class TestConfigures:
    """What comes out of a configuration that will do."""

    def test_keys_that_are_not_here_are_taken_out(self, config, tmp_path):
        path = tmp_path / "config.gz"
        path.write_bytes(gzip.compress((ENOUGH + """CONFIG_MODULES=y
CONFIG_MODULE_SIG=y
CONFIG_MODULE_SIG_KEY="/nowhere/key.pem"
CONFIG_SYSTEM_TRUSTED_KEYRING=y
CONFIG_SYSTEM_TRUSTED_KEYS="debian/certs/debian-uefi-certs.pem"
CONFIG_DEBUG_KERNEL=y
CONFIG_DEBUG_INFO_DWARF5=y
""").encode()))
        output = tmp_path / "output"
        done = run("--config", path, "--config", config('CONFIG_IOMMUFD=m\nCONFIG_LOCALVERSION="-mine"\n'), "--output", output)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{output}\n"
        lines = (output / "config").read_text().splitlines()
        for line in ('CONFIG_MODULE_SIG_KEY="certs/signing_key.pem"', 'CONFIG_SYSTEM_TRUSTED_KEYS=""', "CONFIG_IOMMUFD=m",
                     "CONFIG_VFIO_PCI=m", 'CONFIG_LOCALVERSION="-mine"', "CONFIG_DEBUG_INFO_NONE=y"):
            assert line in lines
        differences = (output / "config-differences").read_text().splitlines()
        assert ' SYSTEM_TRUSTED_KEYS "debian/certs/debian-uefi-certs.pem" -> ""' in differences
        assert "note: CONFIG_SYSTEM_TRUSTED_KEYS names debian/certs/debian-uefi-certs.pem, which is not here" in done.stderr
