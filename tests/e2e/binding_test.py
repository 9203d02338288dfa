# SPDX-License-Identifier: Apache-2.0
"""The plugin binds real drivers of a real kernel, and gives them back.

    /usr/bin/python3 -m pytest tests/e2e/binding_test.py
"""

import pytest

import chain
import scenarios

ON_VFIO = "vfio-pci vfio-pci"
ON_NVME = "nvme (null)"
ON_NONE = " (null)"


@pytest.fixture(scope="module", name="binding")
def binding_fixture():
    """Facts of a node whose devices are left to the kernel."""
    with chain.running_node("test-binding", "patched", kinds=scenarios.BOUND_DEVICES, vfio=False) as node:
        return scenarios.binding(node)


class TestBinding:
    """Two NVMe disks and a device that no driver knows."""

    def test_devices_begin_where_the_kernel_put_them(self, binding):
        assert binding.at_first == [ON_NVME, ON_NVME, ON_NONE]

    def test_a_disk_mounted_in_another_namespace_is_left_alone(self, binding):
        assert binding.mounted == [ON_VFIO, ON_NVME, ON_VFIO]
        assert f"{binding.bdfs[1]} has the disk nvme1n1, which is in use" in binding.plugin_log

    def test_what_is_bound_is_offered(self, binding):
        assert binding.offered == {chain.NVME: binding.bdfs[:1], chain.EDU: binding.bdfs[2:]}

    def test_the_disk_is_bound_when_it_is_free(self, binding):
        assert binding.freed == [ON_VFIO] * 3

    def test_former_drivers_are_recorded(self, binding):
        recorded = {entry["address"]: entry["driver"] for entry in binding.recorded}
        assert recorded == dict(zip(binding.bdfs, ["nvme", "nvme", ""]))

    def test_nothing_is_taken_from_a_running_vm(self, binding):
        assert binding.held == [ON_VFIO, ON_NVME, ON_NONE]
        assert binding.reads[1] > binding.reads[0]

    def test_former_drivers_are_given_back(self, binding):
        assert binding.given_back == [ON_NVME, ON_NVME, ON_NONE]
        assert binding.sha256 == chain.expected_sha256()
