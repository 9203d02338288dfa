# SPDX-License-Identifier: Apache-2.0
"""What is reserved for a running VM stays, whoever is killed around it.

Each of these takes minutes; VFIO_DOORBELL_KILLS says how often plugin and kubelet are killed (docs/reliability.md).
"""

import os

import pytest

import chain
import scenarios

KILLS = int(os.environ.get("VFIO_DOORBELL_KILLS", "2"))


@pytest.fixture(scope="module", name="node")
def node_fixture():
    """A node with our kernel."""
    with chain.running_node("test-endurance", "patched") as node:
        yield node


@pytest.fixture(scope="module", name="endurance")
def endurance_fixture(node):
    """Facts of a VM that runs through all the kills."""
    return scenarios.endure(node, KILLS, KILLS)


@pytest.fixture(scope="module", name="reboot")
def reboot_fixture(node):
    """Facts of a power cut."""
    return scenarios.reboot(node)


@pytest.fixture(scope="module", name="come_back")
def come_back_fixture(node, reboot):
    """Facts of two power cuts under one pod; after the other one, as it leaves other devices."""
    assert reboot
    return scenarios.come_back(node)


class TestEndurance:
    """Plugin and kubelet are killed while the VM reads."""

    def test_window_stays(self, endurance):
        assert len(endurance.windows) == 1 + 2 * KILLS + 1
        assert len(set(endurance.windows)) == 1
        assert chain.knob_window(endurance.windows[0]) != chain.KERNEL_DEFAULT

    def test_reservation_stays(self, endurance):
        [reservation] = endurance.held
        assert reservation["pod"]["name"] == "vm-endures-node"
        assert chain.knob_window(" ".join(reservation["window"][key] for key in ("base", "size"))) == \
            chain.knob_window(endurance.windows[0])

    def test_a_plugin_that_hangs_is_started_anew(self, endurance):
        # Three probes, one in 10 s, each with 5 s to answer, and the grace time of the pod.
        assert endurance.hung < 60, f"{endurance.hung:.0f} s"

    def test_vm_goes_on_reading(self, endurance):
        assert endurance.reads == sorted(set(endurance.reads))
        assert endurance.sums == {chain.expected_sha256()}


class TestReboot:
    """The power is cut while the VM runs."""

    def test_kernel_forgets_and_ledger_does_not(self, reboot):
        assert reboot.woken.msi == [chain.KERNEL_DEFAULT]
        [reservation] = reboot.held
        assert reservation["pod"]["name"] == "vm-rebooted-node"

    def test_pod_is_refused_without_its_plugin(self, reboot):
        assert reboot.pod["phase"] == "Failed", reboot.pod

    def test_reservation_goes_with_its_pod(self, reboot):
        assert reboot.left == []

    def test_next_vm_has_a_window(self, reboot):
        [window] = reboot.again.during.msi
        assert window != chain.KERNEL_DEFAULT
        assert reboot.again.sha256 == chain.expected_sha256()


class TestReturn:
    """The power is cut while the VM runs, and the kubelet starts its container again with the answer it once got."""

    def test_kernel_forgets(self, come_back):
        assert come_back.before.msi != [chain.KERNEL_DEFAULT]
        assert come_back.woken.msi == [chain.KERNEL_DEFAULT]
        assert come_back.woken.number == come_back.before.number

    def test_window_is_written_again(self, come_back):
        assert come_back.after.msi == come_back.before.msi
        [reservation] = come_back.held
        assert reservation["pod"]["name"] == "vm-comes-back-node"

    def test_allocate_is_not_called_again(self, come_back):
        assert "allocated" not in come_back.plugin_log

    def test_vm_is_told_the_same_and_reads_the_same(self, come_back):
        first, second = come_back.settings
        # The ledger has been written in between.
        assert first.pop("generation") < second.pop("generation")
        assert first == second
        assert come_back.sums == [chain.expected_sha256()] * 2

    def test_node_of_another_group_is_not_handed_out(self, come_back):
        assert come_back.moved.number != come_back.before.number
        assert come_back.namesake.number == come_back.before.number
        assert (f"GroupChanged: device 0000:00:10.0 is in IOMMU group {come_back.moved.number} now, and was in "
                f"{come_back.before.number}") in come_back.refusal

    def test_namesake_keeps_its_window(self, come_back):
        assert come_back.namesake.msi == [chain.KERNEL_DEFAULT]

    def test_next_vm_has_a_window(self, come_back):
        [window] = come_back.again.during.msi
        assert window != chain.KERNEL_DEFAULT
        assert come_back.again.sha256 == chain.expected_sha256()
