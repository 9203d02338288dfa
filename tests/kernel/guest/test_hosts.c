// SPDX-License-Identifier: Apache-2.0
/* Hosts with another IOMMU than the SMMUv3, or another use of it. */
#include <errno.h>
#include <linux/pci_regs.h>
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
	int group = device_group(EDU);
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
	int group = device_group(EDU);

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
	int group = device_group(EDU);

	check_text(reserved_regions(group),
		   "0x0000000008000000 0x00000000080fffff msi\n0x000000000c000000 0x000000000c1fffff direct",
		   "there are a window and a direct region");
	check_errno(knob_write(group, "0xc000000 0x100000"), -EADDRINUSE, "a window at its start");
	check_errno(knob_write(group, "0xc100000 0x200000"), -EADDRINUSE, "a window at its end");
	check_errno(knob_write(group, "0xc200000 0x100000"), 0, "a window right after it is accepted");
	check_errno(knob_write(group, "default"), 0, "the default is restored");

	/* iommu_device_claim_dma_owner() refuses to take the mapping away, so the device feature cannot get there. */
	for (enum vfio_way way = 0; way < VFIO_WAYS; way++) {
		const char *name = vfio_way_names[way];
		struct vfio_device edu;
		struct vfio_space space;

		check_ok(space_open(&space, way), "%s: a space opens", name);
		check_errno(space_add(&space, &edu, EDU), -EINVAL, "%s: the device is not handed to a user", name);
		device_close(&edu);
		space_close(&space);
	}
}

enum { ROOM = 256, TABLE = 64, ALL = 300, ATTEMPTS = ALL - ROOM };

static const uint64_t default_base = 0x8000000, other_base = 0x9000000, first_behind = 0x8100040;

static uint64_t doorbell(uint64_t base, int number)
{
	return base + 0x1000ull * (uint64_t)number + 0x40;
}

/* Since 6.15 iommufd has a table of doorbells, the same for all page tables of a file, with room for 64 of a window. */
static bool has_doorbell_table(enum vfio_way way)
{
	return way != TYPE1 && kernel_is_since(6, 15);
}

/* ROOM vectors fit into the window at BASE, and NEXT, if it is not 0, do not. */
static void check_vectors(enum vfio_way way, uint64_t base, int room, int next)
{
	const char *name = vfio_way_names[way];
	struct vfio_device nvme;
	struct vfio_space space;
	int refused = 0;

	check_ok(space_open(&space, way), "%s: a space opens", name);
	check_ok(space_add(&space, &nvme, NVME), "%s: the device is attached", name);
	check_errno(msix_enable(&nvme, room), 0, "%s: %d vectors are enabled", name, room);
	check_address(pci_msix_address(NVME, room - 1), doorbell(base, room - 1), "%s: the last one is in the last page", name);
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
	int group = device_group(NVME);

	for (enum vfio_way way = 0; way < VFIO_WAYS; way++) {
		const char *name = vfio_way_names[way];
		int room = has_doorbell_table(way) ? TABLE : ROOM;

		check_vectors(way, default_base, room, room + 1);
		check_errno(knob_write(group, "0x9000000 0x200000"), 0, "%s: a window of twice the size is set", name);
		/* All vectors of the machine, where that is possible: not one may have been lost in an attempt. */
		if (has_doorbell_table(way))
			check_vectors(way, other_base, TABLE, TABLE + 1);
		else
			check_vectors(way, other_base, ALL, 0);
		check_errno(knob_write(group, "default"), 0, "%s: the default is restored", name);
	}
}

/* What "iommu/dma: Bound the MSI cookie window" is about: a doorbell where VFIO says that the user may map. */
void test_window_without_end(void)
{
	for (enum vfio_way way = 0; way < VFIO_WAYS; way++) {
		const char *name = vfio_way_names[way];
		struct vfio_device nvme;
		struct vfio_space space;

		if (has_doorbell_table(way))
			continue;
		check_ok(space_open(&space, way), "%s: a space opens", name);
		check_ok(space_add(&space, &nvme, NVME), "%s: the device is attached", name);
		check_text(space_ranges(&space), "0-7ffffff 8100000-ffffffffffff", "%s: the window has an end for the user", name);
		check_errno(msix_enable(&nvme, ROOM + 1), 0, "%s: one vector more than it has pages is enabled", name);
		check_address(pci_msix_address(NVME, ROOM - 1), doorbell(default_base, ROOM - 1), "%s: the last but one is in the last page", name);
		check_address(pci_msix_address(NVME, ROOM), first_behind, "%s: the last is behind the window", name);
		device_close(&nvme);
		space_close(&space);
	}
}

/* In the middle of enabling several vectors, each with a message of its own, the address turns out to be too wide. */
void test_msi_of_32_bits(void)
{
	enum { VECTORS_LOG2 = 2, VECTORS = 1 << VECTORS_LOG2, ATTEMPTS = 99 };
	int group = device_group(NARROW);

	check(!(pci_msi_flags(NARROW) & PCI_MSI_FLAGS_64BIT), "the device can do no 64-bit MSI");
	for (enum vfio_way way = 0; way < VFIO_WAYS; way++) {
		const char *name = vfio_way_names[way];
		struct vfio_device narrow;
		struct vfio_space space;
		int refused = 0;

		check_errno(knob_write(group, "0x100000000 0x100000"), 0, "%s: the window is right above 4 GiB", name);
		check_ok(space_open(&space, way), "%s: a space opens", name);
		check_ok(space_add(&space, &narrow, NARROW), "%s: the device is attached", name);
		/* Powers of 2: of other numbers the ITS driver loses events, whatever the window. */
		for (int i = 0; i < ATTEMPTS; i++)
			refused += msi_enable_many(&narrow, 1 << i % (VECTORS_LOG2 + 1)) == -EIO;
		check(refused == ATTEMPTS, "%s: MSI is not enabled, with EIO, %d times out of %d", name, refused, ATTEMPTS);
		check(!(pci_msi_flags(NARROW) & PCI_MSI_FLAGS_ENABLE) && !pci_msi_address(NARROW),
		      "%s: it is off in the device, and there is no address", name);
		check(!msi_vectors(NARROW), "%s: the kernel has no vector for it", name);
		device_close(&narrow);
		space_close(&space);

		check_errno(knob_write(group, "0xfff00000 0x100000"), 0, "%s: the window is right below 4 GiB", name);
		check_ok(space_open(&space, way), "%s: a space opens again", name);
		check_ok(space_add(&space, &narrow, NARROW), "%s: the device is attached again", name);
		check_errno(msi_enable_many(&narrow, VECTORS), 0, "%s: MSI is enabled, with all vectors", name);
		check_address(pci_msi_address(NARROW), 0xfff00040, "%s: the device has the address", name);
		check(pci_msi_flags(NARROW) & PCI_MSI_FLAGS_ENABLE, "%s: it is on in the device", name);
		check(msi_vectors(NARROW) == VECTORS, "%s: the kernel has a vector for each", name);
		check_ok(msi_disable(&narrow), "%s: MSI is disabled", name);
		device_close(&narrow);
		space_close(&space);
		check_errno(knob_write(group, "default"), 0, "%s: the default is restored", name);
	}
}

/*
 * Four devices have the vectors of one frame. Three give theirs back, and another one asks for three at a time, in a page table whose
 * window is full. It gets none; the vector of the fourth device must not be given back with them.
 */
void test_vectors_of_others(void)
{
	static const char *const functions[] = { EDU, OTHER_EDU, PAIR_FIRST, PAIR_SECOND };
	struct vfio_device edus[4], nvme, narrow;
	struct vfio_space spaces[4], space;

	for (int i = 0; i < 3; i++) {
		check_ok(space_open(&spaces[i], TYPE1), "a space opens");
		check_ok(space_add(&spaces[i], &edus[i], functions[i]), "a device is attached");
		check_errno(msi_enable_many(&edus[i], 1), 0, "it has a vector of the frame");
	}
	check_ok(space_add_sibling(&spaces[2], &edus[2], &edus[3], functions[3]), "the fourth device is attached");
	check_errno(msi_enable_many(&edus[3], 1), 0, "it has the last vector of the frame");

	check_ok(space_open(&space, TYPE1), "a space opens");
	check_ok(space_add(&space, &nvme, NVME), "a device is attached");
	check_errno(msix_enable(&nvme, ROOM), 0, "its vectors, of other frames, fill the window");
	check_ok(space_add(&space, &narrow, NARROW), "another group shares the window");
	for (int i = 0; i < 3; i++)
		check_ok(msi_disable(&edus[i]), "a vector of the frame is given back");
	check(msi_enable_many(&narrow, 3) != 0, "three vectors are refused, as there is no room for their doorbell");
	device_close(&narrow);
	device_close(&nvme);
	space_close(&space);

	check_ok(space_open(&space, TYPE1), "a space opens");
	check_ok(space_add(&space, &narrow, NARROW), "the device is attached alone");
	check(msi_enable_many(&narrow, 4) != 0, "four vectors are refused: one of them is in use");
	check(msi_vectors(PAIR_SECOND) == 1, "by the fourth device");
	device_close(&narrow);
	space_close(&space);
	device_close(&edus[3]);
	for (int i = 0; i < 3; i++) {
		device_close(&edus[i]);
		space_close(&spaces[i]);
	}
}
