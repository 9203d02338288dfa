// SPDX-License-Identifier: Apache-2.0
/*
 * Each way to hand a device to user space, each kind of device, each place of
 * the window: the address in the device's own MSI capability or MSI-X table,
 * and the interrupt. One check for each cell; tests/kernel/run makes a table.
 */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "nvme.h"
#include "tests.h"
#include "vfio.h"

/* Of GITS_TRANSLATER in an ITS and of MSI_SETSPI_NS in a GICv2m frame alike. */
enum { DOORBELL_OFFSET = 0x40 };

static const struct kind {
	const char *name;
	const char *functions[2];
	bool nvme;
} kinds[] = {
	{ "edu MSI", { EDU }, false },
	{ "NVMe MSI-X", { NVME }, true },
	{ "two functions of a group", { PAIR_FIRST, PAIR_SECOND }, false },
};

static const struct state {
	const char *name;
	const char *window;	/* what is written, NULL: nothing */
	uint64_t base;
} states[] = {
	{ "untouched", NULL, 0x8000000 },
	{ "moved", "0x9000000 0x100000", 0x9000000 },
};

static bool interrupt_arrives(struct vfio_space *space, struct vfio_device *device, const struct kind *kind, uint64_t base)
{
	int eventfd = kind->nvme ? msix_enable_first(device) : msi_enable(device);
	uint64_t address;
	bool arrived;

	if (eventfd < 0) {
		printf("# %s: interrupts are not enabled (%d)\n", device->bdf, eventfd);
		return false;
	}
	arrived = kind->nvme ? nvme_interrupt_arrives(space, device, eventfd) : edu_interrupt_arrives(device, eventfd);
	if (!arrived)
		printf("# %s: the interrupt does not arrive\n", device->bdf);
	address = kind->nvme ? pci_msix_address(device->bdf) : pci_msi_address(device->bdf);
	if (address != base + DOORBELL_OFFSET)
		printf("# %s: the address in the device is %#llx\n", device->bdf, (unsigned long long)address);
	close(eventfd);
	return arrived && address == base + DOORBELL_OFFSET;
}

static bool cell(enum vfio_way way, const struct kind *kind, const struct state *state)
{
	int group = pci_group(kind->functions[0]);
	struct vfio_device devices[2] = { { .fd = -1, .group_fd = -1 }, { .fd = -1, .group_fd = -1 } };
	int count = kind->functions[1] ? 2 : 1;
	struct vfio_space space;
	bool ok;

	if (state->window && knob_write(group, state->window)) {
		printf("# the window is not moved\n");
		return false;
	}
	if (space_open(&space, way) < 0)
		bail_out("no IOVA space");
	ok = space_add(&space, &devices[0], kind->functions[0]) >= 0;
	if (ok && count == 2)
		ok = space_add_sibling(&space, &devices[0], &devices[1], kind->functions[1]) >= 0;
	if (!ok)
		printf("# a function is not attached\n");
	for (int i = 0; ok && i < count; i++)
		ok = interrupt_arrives(&space, &devices[i], kind, state->base);
	while (count)
		device_close(&devices[--count]);
	space_close(&space);
	if (state->window)
		ok &= !knob_write(group, "default");
	return ok;
}

void test_matrix(void)
{
	check_errno(pci_bind_vfio(NVME), 0, "the NVMe controller is bound");
	for (enum vfio_way way = 0; way < VFIO_WAYS; way++) {
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			for (size_t j = 0; j < sizeof(states) / sizeof(states[0]); j++)
				check(cell(way, &kinds[i], &states[j]), "%s; %s; %s", vfio_way_names[way], kinds[i].name,
				      states[j].name);
		}
	}
}
