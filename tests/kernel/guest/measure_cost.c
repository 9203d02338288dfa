// SPDX-License-Identifier: Apache-2.0
/*
 * What the kernel spends on MSI, in instructions: tests/kernel/cost compares the
 * numbers of two kernels. QEMU counts instructions exactly where it runs one
 * processor in a virtual time that they are the measure of (-icount), and says so
 * to the processor's own counter.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

enum { REPEATS = 20 };

static int counter = -1;

/* Of the whole machine, which has one processor: of the kernel, of interrupts, of this program. */
static void count_instructions(void)
{
	struct perf_event_attr instructions = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(instructions),
		.config = PERF_COUNT_HW_INSTRUCTIONS,
		.pinned = 1,
	};

	counter = syscall(SYS_perf_event_open, &instructions, -1, 0, -1, 0);
	if (counter < 0)
		bail_out("the processor does not count instructions: %s", strerror(errno));
}

static int64_t instructions(void)
{
	int64_t count;

	if (read(counter, &count, sizeof(count)) != sizeof(count))
		bail_out("the counter cannot be read: %s", strerror(errno));
	return count;
}

static void tell_cost(const char *what, int64_t since)
{
	int64_t now = instructions();

	printf("# cost: %s: %lld\n", what, (long long)(now - since));
}

static void measure_enable(enum vfio_way way, uint32_t vectors)
{
	const char *name = vfio_way_names[way];
	int enabled = 0;
	char what[64];

	snprintf(what, sizeof(what), "enable %u, %s", vectors, name);
	for (int i = 0; i < REPEATS; i++) {
		struct vfio_device nvme;
		struct vfio_space space;
		int64_t start;
		int result;

		/* A user of its own each time: the first doorbell is mapped, too. */
		if (space_open(&space, way) < 0 || space_add(&space, &nvme, NVME) < 0)
			bail_out("%s cannot be used", NVME);
		start = instructions();
		result = msix_enable(&nvme, vectors);
		tell_cost(what, start);
		enabled += !result && !msix_disable(&nvme);
		device_close(&nvme);
		space_close(&space);
	}
	check(enabled == REPEATS, "%s: %u vectors were enabled each time", name, vectors);
}

static void measure_delivery(enum vfio_way way)
{
	const char *name = vfio_way_names[way];
	volatile uint32_t *registers;
	struct vfio_device edu;
	struct vfio_space space;
	char what[64];
	int eventfd, arrived = 0;
	size_t size;

	snprintf(what, sizeof(what), "delivery, %s", name);
	if (space_open(&space, way) < 0 || space_add(&space, &edu, EDU) < 0)
		bail_out("%s cannot be used", EDU);
	eventfd = msi_enable(&edu);
	registers = device_registers(&edu, &size);
	if (eventfd < 0 || !registers)
		bail_out("%s cannot interrupt", EDU);
	for (int i = 0; i < REPEATS; i++) {
		uint64_t count = 0;
		int64_t start = instructions();

		edu_raise_interrupt(registers);
		while (read(eventfd, &count, sizeof(count)) < 0 && errno == EAGAIN)
			;
		tell_cost(what, start);
		arrived += count == 1;
	}
	check(arrived == REPEATS, "%s: an interrupt arrived each time", name);
	munmap((void *)registers, size);
	close(eventfd);
	device_close(&edu);
	space_close(&space);
}

void measure_cost(void)
{
	static const uint32_t vectors[] = { 1, 16, 64 };

	count_instructions();
	for (int i = 0; i < REPEATS; i++)
		tell_cost("nothing", instructions());
	for (enum vfio_way way = 0; way < VFIO_WAYS; way++) {
		for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
			measure_enable(way, vectors[i]);
		measure_delivery(way);
	}
}
