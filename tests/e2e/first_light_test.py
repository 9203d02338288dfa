# SPDX-License-Identifier: Apache-2.0
"""The scenarios of scenarios.py, asserted: on the patched kernel, with a failing write, on Debian's kernel.

    /usr/bin/python3 -m pytest tests/e2e

needs root and what scripts/install-deps installs; builds what is not in the cache. VFIO_DOORBELL_KUBERNETES names another version of
the kubelet than the lab's default: 1.37.
"""

import pytest

import chain
import scenarios

from vlab import kubernetes  # noqa: E402


@pytest.fixture(scope="module", name="patched_node")
def patched_node_fixture():
    """A node with our kernel."""
    with chain.running_node("test-patched", "patched") as node:
        yield node


@pytest.fixture(scope="module", name="patched")
def patched_fixture(patched_node):
    """Facts of the whole chain on our kernel."""
    return scenarios.first_light(patched_node)


@pytest.fixture(scope="module", name="lease")
def lease_fixture(patched_node):
    """Facts of a pod with devices of two resources, and of its end."""
    return scenarios.lease(patched_node)


@pytest.fixture(scope="module", name="refusal")
def refusal_fixture(patched_node):
    """What becomes of a pod whose window cannot be written."""
    return scenarios.refused_write(patched_node)


@pytest.fixture(scope="module", name="registration", params=["kubelet-socket", "plugins-registry"])
def registration_fixture(patched_node, request):
    """Facts of a plugin that registers in one of the two ways."""
    return request.param, scenarios.registration(patched_node, request.param)


@pytest.fixture(scope="module", name="stock")
def stock_fixture():
    """Facts of the chain on Debian's kernel, which has no msi_window."""
    with chain.running_node("test-stock", "stock") as node:
        return scenarios.without_knob(node)


def assert_vm_worked(run):
    """The guest read through the device the bytes that are in it, told by interrupts."""
    assert run.sha256 == chain.expected_sha256()
    assert run.guest_interrupts and all(count > 0 for count in run.guest_interrupts.values())
    assert run.host_interrupts > 0


def assert_doorbells_in(run, window):
    """Every vector of the real MSI-X table points at the doorbell page at the start of `window`."""
    assert run.doorbells
    assert set(run.doorbells) == {window.start + chain.TRANSLATER}


def moved_window(run):
    """The one MSI window of the group under the VM, which is in the pool."""
    [window] = run.during.msi
    assert chain.POOL.holds(window.start) and chain.POOL.holds(window.end)
    return window


class TestPatchedKernel:
    """The plugin reserves and writes windows."""

    def test_node_has_the_kubelet_that_was_asked_for(self, patched):
        assert patched.kubelet.startswith(f"v{kubernetes.DEFAULT}.")

    def test_node_offers_one_device_per_group(self, patched):
        nvme, edu, pair = patched.bdfs[0], patched.bdfs[1], patched.bdfs[2]
        assert patched.offered == {chain.NVME: [nvme], chain.EDU: [edu, pair]}

    def test_two_functions_of_one_slot_are_one_group(self, patched):
        assert patched.pair.members == patched.bdfs[2:4]

    def test_observed_vm_works_in_the_default_window(self, patched):
        run = patched.observed
        assert run.environment["VFIO_DOORBELL_MODE_LAB_EXAMPLE_NVME"] == "observe"
        assert run.before.msi == run.during.msi == [chain.KERNEL_DEFAULT]
        assert_doorbells_in(run, chain.KERNEL_DEFAULT)
        assert_vm_worked(run)

    def test_window_moves_into_the_pool(self, patched):
        run = patched.enforced
        assert run.before.msi == [chain.KERNEL_DEFAULT]
        assert chain.knob_window(run.during.knob) == moved_window(run)

    def test_interrupts_go_through_the_moved_window(self, patched):
        run = patched.enforced
        assert_doorbells_in(run, moved_window(run))
        assert_vm_worked(run)

    def test_pod_is_told_its_window(self, patched):
        run = patched.enforced
        assert run.environment["PCI_RESOURCE_LAB_EXAMPLE_NVME"] == patched.bdfs[0]
        assert run.environment["VFIO_DOORBELL_MODE_LAB_EXAMPLE_NVME"] == "enforce"
        [settings] = run.settings
        assert settings["mode"] == "enforce"
        assert chain.knob_window(f"{settings['window']['base']} {settings['window']['size']}") == moved_window(run)
        assert settings["groups"][0]["functions"] == run.during.members

    def test_windows_are_given_back(self, patched):
        [said] = patched.release_said
        assert said.startswith("released ") and patched.bdfs[0] in said
        assert patched.released.msi == [chain.KERNEL_DEFAULT]


class TestLease:
    """A window belongs to a pod, and goes back with it."""

    def test_all_groups_of_the_pod_have_one_window(self, lease):
        assert lease.nvme.msi == lease.edu.msi
        assert len(lease.nvme.msi) == 1 and chain.POOL.holds(lease.nvme.msi[0].start)

    def test_pod_is_told_that_window(self, lease):
        assert len(lease.settings) == 2
        for settings in lease.settings:
            window = settings["window"]
            assert chain.knob_window(f"{window['base']} {window['size']}") == lease.nvme.msi[0]

    def test_ledger_names_the_pod(self, lease):
        [reservation] = lease.held
        assert reservation["pod"] == {"namespace": "default", "name": "vm-lease-node"}
        assert {allocation["resource"] for allocation in reservation["allocations"]} == {chain.NVME, chain.EDU}

    def test_window_is_free_within_half_a_minute(self, lease):
        assert lease.freed.msi == [chain.KERNEL_DEFAULT]
        assert lease.left == []
        assert lease.seconds < 30, lease.plugin_log


class TestRegistration:
    """Both ways to register, each alone."""

    def test_kubelet_offers_the_devices(self, registration, patched_node):
        way, facts = registration
        assert facts.offered == {chain.NVME: patched_node.bdfs[:1], chain.EDU: patched_node.bdfs[1:3]}
        assert (facts.register_calls > 0) == (way == "kubelet-socket"), facts.plugin_log

    def test_next_kubelet_offers_them_again(self, registration):
        _, facts = registration
        assert facts.offered_again == facts.offered

    def test_update_is_hardly_noticed(self, registration):
        """Up to 1.35 the kubelet takes the end of the old plugin for that of the new one as well, once."""
        _, facts = registration
        assert facts.offered_by_new == facts.offered
        kept_by_resource = tuple(int(part) for part in kubernetes.DEFAULT.split(".")) < (1, 36)
        assert len(facts.gaps) <= (1 if kept_by_resource else 0), facts.gaps


class TestRefusedWrite:
    """The kernel refuses the plugin's write: the pod fails, and says why."""

    def test_pod_fails_with_the_reason(self, refusal):
        assert refusal.pod.reason == "UnexpectedAdmissionError"
        assert f"/sys/kernel/iommu_groups/{refusal.group.number}/msi_window" in refusal.pod.message
        assert "CAP_SYS_RAWIO" in refusal.pod.message

    def test_nothing_is_half_done(self, refusal):
        assert refusal.group.msi == [chain.KERNEL_DEFAULT]


class TestStockKernel:
    """The plugin observes, says so, and pretends nothing."""

    def test_node_offers_the_same_devices(self, stock):
        assert stock.offered == {chain.NVME: stock.bdfs[:1], chain.EDU: stock.bdfs[1:3]}

    def test_there_is_no_knob(self, stock):
        assert stock.run.before.knob is None

    def test_enforcing_plugin_falls_back_to_observing(self, stock):
        assert stock.run.environment["VFIO_DOORBELL_MODE_LAB_EXAMPLE_NVME"] == "observe"
        assert stock.run.before.msi == stock.run.during.msi == [chain.KERNEL_DEFAULT]

    def test_vm_works_in_the_default_window(self, stock):
        assert_doorbells_in(stock.run, chain.KERNEL_DEFAULT)
        assert_vm_worked(stock.run)

    def test_plugin_says_once_that_it_only_observes(self, stock):
        said = [line for line in stock.plugin_log.splitlines() if "observe mode" in line]
        assert len(said) == 1 and "this kernel has no msi_window attribute" in said[0]
