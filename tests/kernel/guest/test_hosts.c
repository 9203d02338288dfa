// SPDX-License-Identifier: Apache-2.0
/* Hosts with another IOMMU than the SMMUv3, or another use of it. */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

static void check_interrupt(enum vfio_way way, uint64_t address)
{
	const char *name = vfio_way_names[way];
	struct vfio_space space;
	struct vfio_device edu;
	int eventfd;

	check_ok(space_open(&space, way), "%s: a space opens", name);
	if (check_ok(space_add(&space, &edu, EDU), "%s: the device is attached", name)) {
		eventfd = msi_enable(&edu);
		check_ok(eventfd, "%s: MSI is enabled", name);
		check_address(pci_msi_address(EDU), address, "%s: the address in the device", name);
		check(edu_interrupt_arrives(&edu, eventfd), "%s: the interrupt arrives", name);
		close(eventfd);
	}
	device_close(&edu);
	space_close(&space);
}

void test_identity_default_domain(void)
{
	int group = pci_group(EDU);
	char type[64];

	check_text(file_read(type, sizeof(type), "/sys/kernel/iommu_groups/%d/type", group), "identity",
		   "the default domain has no page table");
	check_errno(knob_write(group, "0x1000000000000 0x100000"), -ERANGE, "the aperture is known all the same");
	check_errno(knob_write(group, "0x9000000 0x100000"), 0, "the window is moved");
	for (enum vfio_way way = 0; way < VFIO_WAYS; way++)
		check_interrupt(way, 0x9000040);
	check_errno(knob_write(group, "default"), 0, "the default is restored");
}

/* Without an MSI controller there is nothing more to see of a window. */
static void check_ranges(const char *ranges)
{
	for (enum vfio_way way = 0; way < VFIO_WAYS; way++) {
		const char *name = vfio_way_names[way];
		struct vfio_space space;
		struct vfio_device edu;

		check_ok(space_open(&space, way), "%s: a space opens", name);
		check_ok(space_add(&space, &edu, EDU), "%s: the device is attached", name);
		check_text(space_ranges(&space), ranges, "%s: the IOVA ranges leave both out", name);
		device_close(&edu);
		space_close(&space);
	}
}

void test_reserved_region(void)
{
	int group = pci_group(EDU);

	check_text(reserved_regions(group),
		   "0x0000000008000000 0x00000000080fffff msi\n0x000000000a000000 0x000000000a1fffff reserved",
		   "there are a window and a reserved region");
	check_errno(knob_write(group, "0xa000000 0x100000"), -EADDRINUSE, "a window at its start");
	check_errno(knob_write(group, "0xa100000 0x100000"), -EADDRINUSE, "a window at its end");
	check_errno(knob_write(group, "0x9f00000 0x200000"), -EADDRINUSE, "a window into it from below");
	check_errno(knob_write(group, "0xa100000 0x200000"), -EADDRINUSE, "a window out of it");
	check_errno(knob_write(group, "0x9000000 0x2000000"), -EADDRINUSE, "a window around it");
	check_text(knob_read(group), DEFAULT_WINDOW, "the window has not moved");
	check_errno(knob_write(group, "0xa200000 0x100000"), 0, "a window right after it is accepted");
	check_ranges("0-9ffffff a300000-ffffffffffffffff");
	check_errno(knob_write(group, "0x9f00000 0x100000"), 0, "a window right before it is accepted");
	check_ranges("0-9efffff a200000-ffffffffffffffff");

	/* This IOMMU takes 64 bits: a window at the very end must not wrap around. */
	check_errno(knob_write(group, "0xfffffffffff00000 0x100000"), 0, "the last MiB of 64 bits is accepted");
	check_ranges("0-9ffffff a200000-ffffffffffefffff");
	check_errno(knob_write(group, "default"), 0, "the default is restored");
}

void test_direct_region(void)
{
	int group = pci_group(EDU);

	check_text(reserved_regions(group),
		   "0x0000000008000000 0x00000000080fffff msi\n0x000000000c000000 0x000000000c1fffff direct",
		   "there are a window and a direct region");
	check_errno(knob_write(group, "0xc000000 0x100000"), -EADDRINUSE, "a window at its start");
	check_errno(knob_write(group, "0xc100000 0x200000"), -EADDRINUSE, "a window at its end");
	check_errno(knob_write(group, "0xc200000 0x100000"), 0, "a window right after it is accepted");
	check_errno(knob_write(group, "default"), 0, "the default is restored");
}

/* Since 6.15 iommufd has a table of doorbells, the same for all page tables of a file. It has room for 64. */
static bool has_doorbell_table(enum vfio_way way)
{
	return way != TYPE1 && kernel_is_since(6, 15);
}

static void check_vectors(enum vfio_way way, const char *window, int room, int next)
{
	enum { ATTEMPTS = 44 };
	const char *name = vfio_way_names[way];
	struct vfio_device nvme;
	struct vfio_space space;
	int refused = 0;

	check_ok(space_open(&space, way), "%s: a space opens", name);
	check_ok(space_add(&space, &nvme, NVME), "%s: the device is attached", name);
	check_errno(msix_enable(&nvme, room), 0, "%s: %d vectors in %s", name, room, window);
	if (next) {
		check_ok(msix_disable(&nvme), "%s: they are disabled", name);
		for (int i = 0; i < ATTEMPTS; i++)
			refused += msix_enable(&nvme, next) == room;
		check(refused == ATTEMPTS, "%s: %d are refused, and VFIO says how many there are, %d times", name, next, ATTEMPTS);
		check_ok(space_map(&space, 0x8100000), "%s: nothing is mapped behind the window", name);
		check_errno(msix_enable(&nvme, room), 0, "%s: %d still work", name, room);
	}
	device_close(&nvme);
	space_close(&space);
}

/* A window of 1 MiB has room for 256 pages, and here every vector has a doorbell page of its own. */
void test_more_doorbells_than_room(void)
{
	enum { ROOM = 256, TABLE = 64, ALL = 300 };
	int group;

	check_errno(pci_bind_vfio(NVME), 0, "the device with many vectors is bound");
	group = pci_group(NVME);
	for (enum vfio_way way = 0; way < VFIO_WAYS; way++) {
		int room = has_doorbell_table(way) ? TABLE : ROOM;

		check_vectors(way, "a window of 256 pages", room, room + 1);
		/* All vectors of the machine: not one may have been lost in an attempt. */
		check_errno(knob_write(group, "0x9000000 0x200000"), 0, "%s: a window of twice the size is set", vfio_way_names[way]);
		if (has_doorbell_table(way))
			check_vectors(way, "a window of 512 pages", TABLE, TABLE + 1);
		else
			check_vectors(way, "a window of 512 pages", ALL, 0);
		check_errno(knob_write(group, "default"), 0, "%s: the default is restored", vfio_way_names[way]);
	}
}

void test_hardware_msi_region(void)
{
	int group = pci_group(EDU);

	check_text(reserved_regions(group), "0x0000000008090000 0x000000000809ffff msi",
		   "reserved_regions does not tell it from a window");
	check_text(knob_read(group), "none", "the attribute does: there is none to move");
	check_errno(knob_write(group, "0x9000000 0x100000"), -EOPNOTSUPP, "a window is refused");
	check_errno(knob_write(group, "default"), -EOPNOTSUPP, "and so is the default");
	check_errno(knob_write(group, "junk"), -EINVAL, "nonsense is still called so");
	check_text(knob_read(group), "none", "nothing has changed");
}
