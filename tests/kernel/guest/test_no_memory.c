// SPDX-License-Identifier: Apache-2.0
/*
 * Every allocation of a call fails in turn: the first, the second, and so on
 * until there was none left to fail (Documentation/fault-injection/fault-
 * injection.rst, /proc/<pid>/fail-nth). Whatever the call got done has to be
 * undone. Lost memory is found by a kernel that tracks leaks. Enabling MSI is
 * left out: the interrupt core warns when it cannot make a file in /proc/irq.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

#define FAILSLAB "/sys/kernel/debug/failslab/"

static const uint64_t moved_window = 0x9000000, mib = 0x100000;

/* What is called, and what the test knows of it. */
struct call {
	const char *name;
	int (*run)(struct call *call);
	int (*undo)(struct call *call);
	bool (*unchanged)(struct call *call);
	int no_window;	/* what it answers without one */
	int fd;		/* the attribute, open for writing */
	struct vfio_space space;
	struct vfio_device edu;
};

static int fail_nth;

/* The allocation with this number will fail, 0 for none. */
static void fail_allocation(int number)
{
	char text[16];

	if (write(fail_nth, text, (size_t)sprintf(text, "%d", number)) < 0)
		bail_out("allocations cannot be made to fail: %s", strerror(errno));
}

/* Takes back the order; returns whether an allocation has failed. */
static bool allocation_has_failed(void)
{
	char left[16] = "";

	if (pread(fail_nth, left, sizeof(left) - 1, 0) < 0)
		bail_out("nothing is told of allocations: %s", strerror(errno));
	fail_allocation(0);
	return !atoi(left);
}

static void let_allocations_fail(void)
{
	/* Those that may sleep are the ones to fail, and not with a stack trace for each. */
	if (file_write(FAILSLAB "ignore-gfp-wait", "N", 1) || file_write(FAILSLAB "verbose", "0", 1))
		bail_out("the kernel has no failslab");
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_nth < 0)
		bail_out("the kernel has no fail-nth: %s", strerror(errno));
}

/*
 * The IOMMU drivers cannot say that they had no memory to name a region, and then
 * there is no window: that comes out as the other error.
 */
static bool may_be_answered(const struct call *call, int result)
{
	return result == -ENOMEM || result == call->no_window;
}

static void check_call(struct call *call)
{
	int refused = 0, wrong = 0, result;
	bool failed;

	for (int number = 1;; number++) {
		fail_allocation(number);
		result = call->run(call);
		failed = allocation_has_failed();
		if (!failed)
			break;
		/* Some allocations are a convenience only. */
		if (!result && !call->undo(call))
			continue;
		refused++;
		if (!may_be_answered(call, result) || !call->unchanged(call)) {
			printf("# allocation %d: %d\n", number, result);
			wrong++;
		}
	}
	check(!wrong && refused, "%s: %d allocations fail in turn, and nothing has changed", call->name, refused);
	check_errno(result, 0, "%s: it succeeds when none fails", call->name);
}

static int write_attribute(struct call *call)
{
	static const char window[] = "0x9000000 0x100000";

	return pwrite(call->fd, window, sizeof(window) - 1, 0) < 0 ? -errno : 0;
}

static int undo_attribute(struct call *call)
{
	(void)call;
	return knob_write(device_group(EDU), "default");
}

static bool attribute_unchanged(struct call *call)
{
	(void)call;
	return !strcmp(knob_read(device_group(EDU)), DEFAULT_WINDOW);
}

static int set_feature(struct call *call)
{
	return doorbell_set(&call->edu, moved_window, mib);
}

static int undo_feature(struct call *call)
{
	return doorbell_set(&call->edu, 0, 0);
}

static bool feature_unchanged(struct call *call)
{
	struct vfio_device_feature_msi_doorbell doorbell;

	return !doorbell_get(&call->edu, &doorbell) && doorbell.iova == 0x8000000 && !(doorbell.flags & VFIO_MSI_DOORBELL_USER) &&
	       (call->space.way == CDEV || !strcmp(space_ranges(&call->space), "0-7ffffff 8100000-ffffffffffff"));
}

static void check_attribute_without_memory(void)
{
	struct call call = {
		.name = "msi_window",
		.run = write_attribute,
		.undo = undo_attribute,
		.unchanged = attribute_unchanged,
		.no_window = -EOPNOTSUPP,
	};
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/msi_window", device_group(EDU));
	call.fd = open(path, O_WRONLY | O_CLOEXEC);
	check_call(&call);
	close(call.fd);
	check_text(knob_read(device_group(EDU)), "0x9000000 0x100000", "with all the memory it takes the window has moved");
	check_errno(knob_write(device_group(EDU), "default"), 0, "the default is restored");
}

static void check_interrupt(struct vfio_device *device)
{
	int eventfd = msi_enable(device);

	check_ok(eventfd, "MSI is enabled");
	check_address(pci_msi_address(device->bdf), moved_window + 0x40, "the device has its address in the window");
	check(edu_interrupt_arrives(device, eventfd), "the interrupt arrives");
	close(eventfd);
}

static void check_user_without_memory(enum vfio_way way)
{
	struct call call = {
		.name = way == TYPE1 ? "SET, type1" : "SET, iommufd",
		.run = set_feature,
		.undo = undo_feature,
		.unchanged = feature_unchanged,
		.no_window = -ENOTTY,
	};

	check_ok(space_open(&call.space, way), "a space opens");
	check_ok(way == CDEV ? cdev_bind(&call.space, &call.edu, EDU) : space_add(&call.space, &call.edu, EDU), "the device is there");
	check_call(&call);
	if (way == CDEV)
		check_ok(cdev_attach(&call.edu, call.space.ioas), "it is attached");
	check_interrupt(&call.edu);
	device_close(&call.edu);
	space_close(&call.space);
}

void test_no_memory(void)
{
	let_allocations_fail();
	check_attribute_without_memory();
	check_user_without_memory(TYPE1);
	check_user_without_memory(CDEV);
	close(fail_nth);
}
