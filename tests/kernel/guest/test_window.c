// SPDX-License-Identifier: Apache-2.0
/* What a window decides: regions, IOVA ranges, the address devices write to. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

/* Offset of GITS_TRANSLATER in its page; the window's first page maps it. */
enum { DOORBELL_OFFSET = 0x40 };

#define DEFAULT_REGIONS "0x0000000008000000 0x00000000080fffff msi"
#define DEFAULT_RANGES "0-7ffffff 8100000-ffffffffffff"

static void check_device(enum vfio_way way, const char *ranges, uint64_t window)
{
	const char *name = vfio_way_names[way];
	struct vfio_space space;
	struct vfio_device edu;
	int eventfd;

	check_ok(space_open(&space, way), "%s: a space opens", name);
	if (check_ok(space_add(&space, &edu, EDU), "%s: the device is attached", name)) {
		check_text(space_ranges(&space), ranges, "%s: the IOVA ranges leave the window out", name);
		check(space_map(&space, window) < 0, "%s: nothing can be mapped over the window", name);
		eventfd = msi_enable(&edu);
		check_ok(eventfd, "%s: MSI is enabled", name);
		check_address(pci_msi_address(EDU), window + DOORBELL_OFFSET,
			      "%s: the device's MSI capability points into the window", name);
		check(edu_interrupt_arrives(&edu, eventfd), "%s: the interrupt arrives", name);
		close(eventfd);
	}
	device_close(&edu);
	space_close(&space);
}

static void check_all_ways(const char *ranges, uint64_t window)
{
	for (enum vfio_way way = 0; way < VFIO_WAYS; way++)
		check_device(way, ranges, window);
}

static void __attribute__((format(printf, 3, 4))) tell(const char *bdf, const char *what, const char *value, ...)
{
	va_list args;

	va_start(args, value);
	printf("# default: %s, %s: ", bdf, what);
	vprintf(value, args);
	putchar('\n');
	va_end(args);
}

static void tell_of_user(const char *bdf, enum vfio_way way)
{
	bool nvme = !strcmp(bdf, NVME);
	struct vfio_device device;
	struct vfio_space space;
	int added, eventfd;
	char what[64];

	if (space_open(&space, way) < 0)
		bail_out("no IOVA space");
	added = space_add(&space, &device, bdf);
	if (added >= 0) {
		snprintf(what, sizeof(what), "IOVA ranges of %s", vfio_way_names[way]);
		tell(bdf, what, "%s", space_ranges(&space));
		eventfd = nvme ? msix_enable_first(&device) : msi_enable(&device);
		snprintf(what, sizeof(what), "MSI address with %s", vfio_way_names[way]);
		if (eventfd < 0)
			tell(bdf, what, "%s", strerrorname_np(-eventfd));
		else
			tell(bdf, what, "%#llx", (unsigned long long)(nvme ? pci_msix_address(bdf, 0) : pci_msi_address(bdf)));
		if (eventfd >= 0)
			close(eventfd);
	} else {
		tell(bdf, vfio_way_names[way], "%s", strerrorname_np(-added));
	}
	device_close(&device);
	space_close(&space);
}

void tell_defaults(void)
{
	static const char *const functions[] = { EDU, OTHER_EDU, NVME, PAIR_FIRST, PAIR_SECOND };

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		const char *bdf = functions[i], *regions;

		if (!pci_present(bdf))
			continue;
		regions = reserved_regions(device_group(bdf));
		if (!*regions) {
			/* Nothing to be found in any way: no IOMMU. */
			tell(bdf, "reserved region", "none");
			continue;
		}
		for (const char *line = regions; *line; line += strspn(line, "\n")) {
			size_t length = strcspn(line, "\n");

			tell(bdf, "reserved region", "%.*s", (int)length, line);
			line += length;
		}
		for (enum vfio_way way = 0; way < VFIO_WAYS; way++)
			tell_of_user(bdf, way);
	}
}

void test_default_untouched(void)
{
	check_text(reserved_regions(device_group(EDU)), DEFAULT_REGIONS, "reserved_regions has today's window");
	check_all_ways(DEFAULT_RANGES, 0x8000000);
}

void test_window_moved(void)
{
	int group = device_group(EDU);

	check_text(knob_read(group), DEFAULT_WINDOW, "the attribute shows the driver's window first");
	check_errno(knob_write(group, "0x9000000 0x100000\n"), 0, "a free window is accepted");
	check_text(knob_read(group), "0x9000000 0x100000", "what was written is read");
	check_text(reserved_regions(group), "0x0000000009000000 0x00000000090fffff msi",
		   "reserved_regions follows");
	check_all_ways("0-8ffffff 9100000-ffffffffffff", 0x9000000);

	check_errno(knob_write(group, "0xa000000 0x300000"), 0, "a larger window is accepted");
	check_all_ways("0-9ffffff a300000-ffffffffffff", 0xa000000);

	check_text(knob_read(device_group(OTHER_EDU)), DEFAULT_WINDOW, "another group keeps its own");

	check_errno(knob_write(group, "default"), 0, "\"default\" is accepted");
	check_text(knob_read(group), DEFAULT_WINDOW, "\"default\" restores the driver's window");
	check_text(reserved_regions(group), DEFAULT_REGIONS, "and reserved_regions");
	check_all_ways(DEFAULT_RANGES, 0x8000000);
}

void test_window_above_4g(void)
{
	int group = device_group(EDU);

	check_errno(knob_write(group, "0x100000000 0x100000"), 0, "the window is accepted");
	check_all_ways("0-ffffffff 100100000-ffffffffffff", 0x100000000);
	check_errno(knob_write(group, "0xfffffff00000 0x100000"), 0, "the last MiB of the aperture is accepted");
	check_all_ways("0-ffffffefffff", 0xfffffff00000);
	check_errno(knob_write(group, "default"), 0, "the default is restored");
}
