// SPDX-License-Identifier: Apache-2.0
/* How long a window lives, and which devices it is for. */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

void test_kept_across_rebinding(void)
{
	int group = device_group(EDU);

	check_errno(knob_write(group, "0x9000000 0x100000"), 0, "the window is moved");
	check_errno(pci_unbind(EDU), 0, "the driver is unbound");
	check_text(knob_read(group), "0x9000000 0x100000", "the window stays without a driver");
	check_errno(pci_bind_vfio(EDU), 0, "the driver is bound again");
	check(device_group(EDU) == group, "the device is in the group it was in");
	check_text(knob_read(group), "0x9000000 0x100000", "the window stays with it");
	check_errno(knob_write(group, "default"), 0, "the default is restored");
}

static void check_member(struct vfio_device *device, uint64_t address, const char *which)
{
	int eventfd = msi_enable(device);

	check_ok(eventfd, "%s: MSI is enabled", which);
	check_address(pci_msi_address(device->bdf), address, "%s: its MSI points into the group's window", which);
	check(edu_interrupt_arrives(device, eventfd), "%s: the interrupt arrives", which);
	close(eventfd);
}

void test_shared_by_group_members(void)
{
	int group = device_group(PAIR_FIRST);
	struct vfio_device first, second;
	struct vfio_space space;

	check(group >= 0 && device_group(PAIR_SECOND) == group, "two functions are in one group");
	check_errno(knob_write(group, "0x9000000 0x100000"), 0, "the window is moved");

	/*
	 * A member that comes later, as by hotplug, gets the group's window. Newer
	 * kernels put a function that comes alone into a group of its own.
	 */
	if (!kernel_is_since(6, 15)) {
		check_errno(pci_remove(PAIR_SECOND), 0, "the second function is unplugged");
		check_text(knob_read(group), "0x9000000 0x100000", "the window stays with the first");
		check_errno(pci_rescan(), 0, "the second function is plugged again");
		check_errno(pci_bind_vfio(PAIR_SECOND), 0, "it is bound again");
		check(device_group(PAIR_SECOND) == group, "it is in the group again");
	}
	check_text(reserved_regions(group), "0x0000000009000000 0x00000000090fffff msi", "there is one window for both");

	check_ok(space_open(&space, CDEV), "a space opens");
	check_ok(space_add(&space, &first, PAIR_FIRST), "the first function is attached");
	check_ok(space_add(&space, &second, PAIR_SECOND), "the second function is attached");
	check(first.pt_id == second.pt_id, "they share a page table");
	check_member(&first, 0x9000040, "first");
	check_member(&second, 0x9000040, "second");
	device_close(&second);
	check_errno(knob_write(group, "default"), -EBUSY, "one member is enough to own the group");
	device_close(&first);
	space_close(&space);
	check_errno(knob_write(group, "default"), 0, "the default is restored");
}
