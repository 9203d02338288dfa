// SPDX-License-Identifier: Apache-2.0
/*
 * Each way to hand a device to user space, each kind of device, each way to
 * place the window: the address in the device's own MSI capability or MSI-X
 * table, and the interrupt. One check for each cell, named "WAY; KIND; WINDOW;
 * OUTCOME"; tests/kernel/run makes a table of them.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "nvme.h"
#include "tests.h"
#include "vfio.h"

/* Of GITS_TRANSLATER in an ITS and of MSI_SETSPI_NS in a GICv2m frame alike. */
enum { DOORBELL_OFFSET = 0x40 };

enum { GET = VFIO_DEVICE_FEATURE_GET, SET = VFIO_DEVICE_FEATURE_SET };

static const uint64_t fixed_window = 0x8000000, moved_window = 0x9000000, mib = 0x100000;

static const struct kind {
	const char *name;
	const char *functions[2];
	bool nvme;
} kinds[] = {
	{ "edu MSI", { EDU }, false },
	{ "NVMe MSI-X", { NVME }, true },
	{ "two functions of a group", { PAIR_FIRST, PAIR_SECOND }, false },
};

struct cell {
	enum vfio_way way;
	const struct kind *kind;
	struct vfio_space space;
	struct vfio_device devices[2];
	int count;
};

static bool __attribute__((format(printf, 1, 2))) wrong(const char *what, ...)
{
	va_list args;

	va_start(args, what);
	printf("# ");
	vprintf(what, args);
	putchar('\n');
	va_end(args);
	return false;
}

/* The functions are in the user's hands; CDEV: bound, and not attached. */
static bool open_functions(struct cell *cell)
{
	const char *const *functions = cell->kind->functions;
	struct vfio_device *first = &cell->devices[0];
	int result = cell->way == CDEV ? cdev_bind(&cell->space, first, functions[0]) : space_add(&cell->space, first, functions[0]);

	if (result >= 0 && cell->count == 2)
		result = space_add_member(&cell->space, first, &cell->devices[1], functions[1]);
	return result >= 0 || wrong("a function is not opened (%d)", result);
}

static bool attach_functions(struct cell *cell)
{
	for (int i = 0; cell->way == CDEV && i < cell->count; i++) {
		int result = cdev_attach(&cell->devices[i], cell->space.ioas);

		if (result < 0)
			return wrong("%s is not attached (%d)", cell->devices[i].bdf, result);
	}
	return true;
}

static bool interrupt_arrives(struct cell *cell, struct vfio_device *device, uint64_t window)
{
	bool nvme = cell->kind->nvme, arrived;
	int eventfd = nvme ? msix_enable_first(device) : msi_enable(device);
	uint64_t address;

	if (eventfd < 0)
		return wrong("%s: interrupts are not enabled (%d)", device->bdf, eventfd);
	arrived = nvme ? nvme_interrupt_arrives(&cell->space, device, eventfd) : edu_interrupt_arrives(device, eventfd);
	if (!arrived)
		wrong("%s: the interrupt does not arrive", device->bdf);
	address = nvme ? pci_msix_address(device->bdf, 0) : pci_msi_address(device->bdf);
	if (address != window + DOORBELL_OFFSET)
		wrong("%s: the address in the device is %#llx", device->bdf, (unsigned long long)address);
	close(eventfd);
	return arrived && address == window + DOORBELL_OFFSET;
}

static bool interrupts_arrive(struct cell *cell, uint64_t window)
{
	bool ok = true;

	for (int i = 0; i < cell->count; i++)
		ok &= interrupt_arrives(cell, &cell->devices[i], window);
	return ok;
}

static bool use_fixed_window(struct cell *cell)
{
	return open_functions(cell) && attach_functions(cell) && interrupts_arrive(cell, fixed_window);
}

/* check_cell() has moved it. */
static bool use_moved_window(struct cell *cell)
{
	return open_functions(cell) && attach_functions(cell) && interrupts_arrive(cell, moved_window);
}

/* What GET says, to any function of the group. */
static bool window_is(struct cell *cell, uint64_t window, uint32_t flags)
{
	struct vfio_device *device = &cell->devices[cell->count - 1];
	struct vfio_device_feature_msi_doorbell doorbell;
	int result = doorbell_get(device, &doorbell);

	if (result || doorbell.iova != window || doorbell.size != mib || doorbell.flags != flags)
		return wrong("%s: GET gives %d, %#llx %#llx with flags %#x", device->bdf, result, (unsigned long long)doorbell.iova,
			     (unsigned long long)doorbell.size, doorbell.flags);
	return true;
}

/* The feature answers to PROBE and SET; what it is SET to is MOVED_WINDOW. */
static bool set_is_answered(struct cell *cell, int wanted)
{
	struct vfio_device *device = &cell->devices[0];
	int probed = doorbell_probe(device, SET), result = doorbell_set(device, moved_window, mib);

	if (probed != wanted || result != wanted)
		return wrong("%s: PROBE for SET gives %d, SET %d", device->bdf, probed, result);
	return true;
}

static bool move_window_by_feature(struct cell *cell)
{
	return open_functions(cell) && set_is_answered(cell, 0) &&
	       window_is(cell, moved_window, VFIO_MSI_DOORBELL_TRANSLATED | VFIO_MSI_DOORBELL_USER) && attach_functions(cell) &&
	       interrupts_arrive(cell, moved_window);
}

/* By group with an iommufd the device is attached before its file is there to call. */
static bool be_refused_by_feature(struct cell *cell)
{
	uint32_t flags = VFIO_MSI_DOORBELL_TRANSLATED | VFIO_MSI_DOORBELL_LOCKED;

	return open_functions(cell) && set_is_answered(cell, -EINVAL) && window_is(cell, fixed_window, flags) &&
	       interrupts_arrive(cell, fixed_window);
}

/* A kernel without the series: neither the attribute nor the feature, and it works. */
static bool do_without_series(struct cell *cell)
{
	int group = device_group(cell->kind->functions[0]);
	struct vfio_device_feature_msi_doorbell doorbell;

	if (strcmp(knob_read(group), "<ENOENT>") || knob_write(group, "0x9000000 0x100000") != -ENOENT)
		return wrong("group %d has an attribute msi_window: %s", group, knob_read(group));
	if (!open_functions(cell))
		return false;
	for (int i = 0; i < cell->count; i++) {
		struct vfio_device *device = &cell->devices[i];

		if (doorbell_probe(device, GET) != -ENOTTY || doorbell_get(device, &doorbell) != -ENOTTY)
			return wrong("%s answers to the feature", device->bdf);
	}
	return set_is_answered(cell, -ENOTTY) && attach_functions(cell) && interrupts_arrive(cell, fixed_window);
}

struct row {
	const char *window, *outcome;
	const char *attribute;	/* what is written to it before, NULL: nothing */
	bool (*run)(struct cell *cell);
};

static void check_cell(enum vfio_way way, const struct kind *kind, const struct row *row)
{
	struct cell cell = {
		.way = way,
		.kind = kind,
		.devices = { { .fd = -1, .group_fd = -1 }, { .fd = -1, .group_fd = -1 } },
		.count = kind->functions[1] ? 2 : 1,
	};
	int group = device_group(kind->functions[0]);
	bool ok = true;

	if (row->attribute && knob_write(group, row->attribute))
		ok = wrong("the attribute does not take %s", row->attribute);
	if (space_open(&cell.space, way) < 0)
		bail_out("no IOVA space");
	ok = ok && row->run(&cell);
	for (int i = cell.count; i--;)
		device_close(&cell.devices[i]);
	space_close(&cell.space);
	if (row->attribute && knob_write(group, "default"))
		ok = wrong("the default is not restored");
	check(ok, "%s; %s; %s; %s", vfio_way_names[way], kind->name, row->window, row->outcome);
}

static void check_row(enum vfio_way way, const struct row *row)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		check_cell(way, &kinds[i], row);
}

void test_matrix(void)
{
	static const struct row untouched = { "untouched", "ok", NULL, use_fixed_window };
	static const struct row attribute = { "moved by msi_window", "ok", "0x9000000 0x100000", use_moved_window };
	static const struct row feature = { "moved by the feature", "ok", NULL, move_window_by_feature };
	static const struct row no_feature = { "moved by the feature", "refused, as documented", NULL, be_refused_by_feature };

	for (enum vfio_way way = 0; way < VFIO_WAYS; way++) {
		check_row(way, &untouched);
		check_row(way, &attribute);
		check_row(way, way == GROUP_COMPAT ? &no_feature : &feature);
	}
}

void test_matrix_untouched(void)
{
	static const struct row row = { "untouched", "ok", NULL, use_fixed_window };

	for (enum vfio_way way = 0; way < VFIO_WAYS; way++)
		check_row(way, &row);
}

void test_matrix_without_series(void)
{
	static const struct row row = { "kernel without the series", "ok, and cannot be moved", NULL, do_without_series };

	for (enum vfio_way way = 0; way < VFIO_WAYS; way++)
		check_row(way, &row);
}
