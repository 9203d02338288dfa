// SPDX-License-Identifier: Apache-2.0
/*
 * VFIO_DEVICE_FEATURE_MSI_DOORBELL: the user of a device asks where its window
 * is, and moves it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "doorbell.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

enum { DOORBELL_OFFSET = 0x40 };

static const uint64_t window = 0x8000000, other_window = 0x9000000, third_window = 0xa000000, mib = 0x100000;
static const uint64_t aperture_last = 0xffffffffffff;

#define DEFAULT_RANGES "0-7ffffff 8100000-ffffffffffff"
#define OTHER_RANGES "0-8ffffff 9100000-ffffffffffff"

/* What GET says, as "IOVA SIZE PAGES FLAG...". */
static const char *in_force(struct vfio_device *device)
{
	struct vfio_device_feature_msi_doorbell doorbell;
	static char text[128];
	int result = doorbell_get(device, &doorbell);

	if (result < 0)
		snprintf(text, sizeof(text), "<%s>", strerrorname_np(-result));
	else
		snprintf(text, sizeof(text), "0x%llx 0x%llx %u%s%s%s%s%s", (unsigned long long)doorbell.iova,
			 (unsigned long long)doorbell.size, doorbell.nr_pages,
			 doorbell.flags & VFIO_MSI_DOORBELL_TRANSLATED ? " translated" : "",
			 doorbell.flags & VFIO_MSI_DOORBELL_ADMIN ? " admin" : "",
			 doorbell.flags & VFIO_MSI_DOORBELL_USER ? " user" : "",
			 doorbell.flags & VFIO_MSI_DOORBELL_LOCKED ? " locked" : "",
			 doorbell.flags >> 4 ? " unknown" : "");
	return text;
}

#define DEFAULT_STATE "0x8000000 0x100000 0 translated"
#define OTHER_STATE "0x9000000 0x100000 0 translated user"

static void open_with(struct vfio_space *space, enum vfio_way way, struct vfio_device *device, const char *bdf)
{
	check_ok(space_open(space, way), "a space opens");
	check_ok(space_add(space, device, bdf), "the device is attached");
}

/* MSI is enabled and disabled again; the page of the doorbell stays. */
static void check_interrupt(struct vfio_device *device, uint64_t base)
{
	int eventfd = msi_enable(device);

	check_ok(eventfd, "MSI is enabled");
	check_address(pci_msi_address(device->bdf), base + DOORBELL_OFFSET, "the device's MSI capability points into the window");
	check(edu_interrupt_arrives(device, eventfd), "the interrupt arrives");
	check_errno(doorbell_set(device, third_window, mib), -EBUSY, "the window cannot be moved while interrupts are enabled");
	check_ok(msi_disable(device), "MSI is disabled");
	close(eventfd);
}

static void check_probe(struct vfio_device *device, int answer, int answer_to_set)
{
	check_errno(doorbell_probe(device, 0), answer, "PROBE");
	check_errno(doorbell_probe(device, GET), answer, "PROBE for GET");
	check_errno(doorbell_probe(device, SET), answer_to_set, "PROBE for SET");
	check_errno(doorbell_probe(device, GET | SET), answer_to_set, "PROBE for both");
}

void test_feature_type1(void)
{
	struct vfio_device edu;
	struct vfio_space space;

	open_with(&space, TYPE1, &edu, EDU);
	check_probe(&edu, 0, 0);
	check_text(in_force(&edu), DEFAULT_STATE, "GET tells the driver's window");
	check_errno(doorbell_set(&edu, other_window, mib), 0, "the window is moved");
	check_text(in_force(&edu), OTHER_STATE, "GET tells the user's");
	check_text(space_ranges(&space), OTHER_RANGES, "the IOVA ranges follow");
	check(space_map(&space, other_window) < 0, "nothing can be mapped over the window");
	check_ok(space_map(&space, window), "memory can be mapped where it was");
	check_errno(doorbell_set(&edu, 0, 0), -EADDRINUSE, "so it cannot go back");
	check_text(in_force(&edu), OTHER_STATE, "nothing has changed");
	check_ok(space_unmap(&space, window), "the memory is unmapped");
	check_text(knob_read(device_group(EDU)), DEFAULT_WINDOW, "the group's window has not moved");
	check_errno(doorbell_set(&edu, 0, 0), 0, "then it goes back");
	check_text(in_force(&edu), DEFAULT_STATE, "GET tells the driver's window again");
	check_text(space_ranges(&space), DEFAULT_RANGES, "and so do the IOVA ranges");
	check_errno(doorbell_set(&edu, window, 3 * mib), 0, "the window grows");
	check_text(space_ranges(&space), "0-7ffffff 8300000-ffffffffffff", "the IOVA ranges follow");
	check_errno(doorbell_set(&edu, window, mib), 0, "the driver's window by its numbers");
	check_text(in_force(&edu), DEFAULT_STATE, "is the driver's window");
	check_errno(doorbell_set(&edu, aperture_last + 1 - mib, mib), 0, "the last MiB of the aperture");
	check_text(space_ranges(&space), "0-ffffffefffff", "the end of the IOVA ranges goes");
	check_errno(doorbell_set(&edu, other_window, mib), 0, "the window leaves it");
	check_text(space_ranges(&space), OTHER_RANGES, "the end comes back");

	check_interrupt(&edu, other_window);
	check_text(in_force(&edu), "0x9000000 0x100000 1 translated user locked", "the window stays locked");
	check_errno(doorbell_set(&edu, third_window, mib), -EBUSY, "and cannot be moved");
	check_errno(doorbell_set(&edu, 0, 0), -EBUSY, "nor go back");
	check_text(space_ranges(&space), OTHER_RANGES, "the IOVA ranges are as before");
	check_interrupt(&edu, other_window);
	device_close(&edu);
	space_close(&space);

	open_with(&space, TYPE1, &edu, EDU);
	check_text(in_force(&edu), DEFAULT_STATE, "the next user finds the driver's window");
	check_interrupt(&edu, window);
	device_close(&edu);
	space_close(&space);
}

/* Since 6.15 iommufd maps the doorbells that a group's devices know of in the page table they are attached to next. */
static bool interrupts_survive_detach(void)
{
	return kernel_is_since(6, 15);
}

void test_feature_iommufd(void)
{
	struct vfio_space space, elsewhere;
	struct vfio_device edu;

	check_ok(space_open(&space, CDEV), "a space opens");
	check_ok(cdev_bind(&space, &edu, EDU), "the device is bound");
	check_probe(&edu, 0, 0);
	check_text(in_force(&edu), DEFAULT_STATE, "GET tells the driver's window");
	check_errno(doorbell_set(&edu, other_window, mib), 0, "the window is moved");
	check_text(in_force(&edu), OTHER_STATE, "GET tells the user's");
	check_errno(doorbell_set(&edu, 0, 0), 0, "it goes back");
	check_text(in_force(&edu), DEFAULT_STATE, "GET tells the driver's window again");
	check_errno(doorbell_set(&edu, other_window, mib), 0, "the window is moved");

	check_ok(space_map(&space, other_window), "memory is mapped there");
	check_errno(cdev_attach(&edu, space.ioas), -EADDRINUSE, "so the device cannot be attached");
	check_ok(space_unmap(&space, other_window), "the memory is unmapped");
	check_ok(space_map(&space, window), "memory is mapped where the window was");
	check_ok(cdev_attach(&edu, space.ioas), "then it is attached");
	check_text(in_force(&edu), "0x9000000 0x100000 0 translated user locked", "the window is locked");
	check_text(space_ranges(&space), OTHER_RANGES, "the IOVA ranges follow");
	check_errno(doorbell_set(&edu, third_window, mib), -EBUSY, "the window cannot be moved");
	check_errno(doorbell_set(&edu, 0, 0), -EBUSY, "nor go back");
	check_ok(cdev_detach(&edu), "the device is detached before it had MSI enabled");
	check_errno(doorbell_set(&edu, third_window, mib), 0, "the window can be moved again");
	check_errno(doorbell_set(&edu, other_window, mib), 0, "and back");
	check_ok(cdev_attach(&edu, space.ioas), "the device is attached again");
	check_interrupt(&edu, other_window);
	check_text(in_force(&edu), "0x9000000 0x100000 1 translated user locked", "a doorbell is mapped");

	elsewhere = space;
	check_ok(iommufd_ioas(&space, &elsewhere.ioas), "a second IOAS is made");
	check_ok(cdev_attach(&edu, elsewhere.ioas), "the device changes over to it");
	check_text(space_ranges(&elsewhere), OTHER_RANGES, "the window is reserved there");
	check_text(space_ranges(&space), "0-ffffffffffffffff", "and no longer in the first");
	check_interrupt(&edu, other_window);

	check_ok(cdev_detach(&edu), "the device is detached");
	if (interrupts_survive_detach()) {
		check_text(in_force(&edu), "0x9000000 0x100000 0 translated user locked", "the window stays, since MSI was enabled");
		check_errno(doorbell_set(&edu, third_window, mib), -EBUSY, "it cannot be moved");
		check_ok(cdev_attach(&edu, space.ioas), "the device is attached again");
		check_interrupt(&edu, other_window);
	} else {
		check_text(in_force(&edu), OTHER_STATE, "the window is as it was, and free to move");
		check_errno(doorbell_set(&edu, third_window, mib), 0, "it is moved again");
		check_ok(cdev_attach(&edu, space.ioas), "the device is attached again");
		check_interrupt(&edu, third_window);
	}
	device_close(&edu);
	space_close(&space);

	open_with(&space, CDEV, &edu, EDU);
	check_text(in_force(&edu), "0x8000000 0x100000 0 translated locked", "the next user finds the driver's window");
	check_interrupt(&edu, window);
	device_close(&edu);
	space_close(&space);
}

void test_feature_group_compat(void)
{
	struct vfio_device edu;
	struct vfio_space space;

	open_with(&space, GROUP_COMPAT, &edu, EDU);
	check_probe(&edu, 0, -EINVAL);
	check_text(in_force(&edu), "0x8000000 0x100000 0 translated locked", "GET tells the driver's window");
	check_errno(doorbell_set(&edu, other_window, mib), -EINVAL, "SET is not supported");
	check_text(space_ranges(&space), DEFAULT_RANGES, "the IOVA ranges are as before");
	device_close(&edu);
	space_close(&space);
}

/* The argument ends where memory ends: SHORT_BY bytes of it are missing. */
static int call_at_end_of_memory(struct vfio_device *device, uint32_t flags, size_t short_by)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_device_feature header = { .argsz = ARGSZ, .flags = flags | VFIO_DEVICE_FEATURE_MSI_DOORBELL };
	char *argument = memory + page - ARGSZ + short_by;
	int result;

	mprotect(memory + page, page, PROT_NONE);
	memcpy(argument, &header, sizeof(header));
	result = ioctl(device->fd, VFIO_DEVICE_FEATURE, argument) < 0 ? -errno : 0;
	munmap(memory, 2 * page);
	return result;
}

static int set_as_nobody(void *device)
{
	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		return -EIO;
	return doorbell_set(device, other_window, mib);
}

/* The device's window can be moved. */
static void check_refusals(struct vfio_device *device, const char *who)
{
	static const struct {
		struct vfio_device_feature_msi_doorbell doorbell;
		int answer;
		const char *what;
	} rows[] = {
		{ { .flags = 1, .iova = 0x9000000, .size = 0x100000 }, -EINVAL, "a flag of GET" },
		{ { .flags = 1u << 31, .iova = 0x9000000, .size = 0x100000 }, -EINVAL, "an unknown flag" },
		{ { .flags = 1 }, -EINVAL, "a flag and no window" },
		{ { .nr_pages = 1, .iova = 0x9000000, .size = 0x100000 }, -EINVAL, "a number of pages" },
		{ { .nr_pages = 1u << 31 }, -EINVAL, "a number of pages and no window" },
		{ { .iova = 0x9000000 }, -EINVAL, "size 0" },
		{ { .size = 0x100000 }, -EINVAL, "address 0" },
		{ { .iova = 0x9000800, .size = 0x100000 }, -EINVAL, "an address inside a page" },
		{ { .iova = 0x9010000, .size = 0x100000 }, -EINVAL, "an address that is not a multiple of 1 MiB" },
		{ { .iova = 0x9000000, .size = 0x10000 }, -EINVAL, "a size below 1 MiB" },
		{ { .iova = 0x9000000, .size = 0x180000 }, -EINVAL, "a size that is not a multiple of 1 MiB" },
		{ { .iova = 0x9000000, .size = ~0ull }, -EINVAL, "a size of all ones" },
		{ { .iova = ~0ull, .size = 0x100000 }, -EINVAL, "an address of all ones" },
		{ { .iova = 0xfffffffffff00000, .size = 0x200000 }, -EINVAL, "a window that wraps around" },
		{ { .iova = 0x200000, .size = 0xfffffffffff00000 }, -EINVAL, "a window that wraps around to its start" },
		{ { .iova = 0x100000, .size = 0xfffffffffff00000 }, -ERANGE, "all of 64 bits but the first MiB" },
		{ { .iova = 0xfffffffffff00000, .size = 0x100000 }, -ERANGE, "the last MiB of 64 bits" },
		{ { .iova = 0x1000000000000, .size = 0x100000 }, -ERANGE, "the first MiB past the aperture" },
		{ { .iova = 0xfffffff00000, .size = 0x200000 }, -ERANGE, "a window that crosses the end of the aperture" },
	};
	struct vfio_device_feature_msi_doorbell doorbell = { .iova = third_window, .size = mib };

	check_errno(doorbell_set(device, other_window, mib), 0, "%s: a window to be kept is set", who);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		doorbell = rows[i].doorbell;
		check_errno(doorbell_call(device, ARGSZ, SET, &doorbell), rows[i].answer, "%s: %s", who, rows[i].what);
	}

	doorbell = (struct vfio_device_feature_msi_doorbell){ .iova = third_window, .size = mib };
	check_errno(doorbell_call(device, ARGSZ - 1, SET, &doorbell), -EINVAL, "%s: SET with one byte too few", who);
	check_errno(doorbell_call(device, HEADER, SET, &doorbell), -EINVAL, "%s: SET without data", who);
	check_errno(doorbell_call(device, HEADER - 1, SET, &doorbell), -EINVAL, "%s: SET without a header", who);
	check_errno(doorbell_call(device, ARGSZ - 1, GET, &doorbell), -EINVAL, "%s: GET with one byte too few", who);
	check_errno(doorbell_call(device, ARGSZ, 0, &doorbell), -EINVAL, "%s: no operation", who);
	check_errno(doorbell_call(device, ARGSZ, GET | SET, &doorbell), -EINVAL, "%s: GET and SET at once", who);
	check_errno(doorbell_call(device, ARGSZ, SET | 1u << 19, &doorbell), -EINVAL, "%s: an unknown operation", who);
	check_errno(doorbell_call(device, ARGSZ, SET | PROBE, &doorbell), 0, "%s: PROBE with data", who);
	check_errno(call_at_end_of_memory(device, SET, 8), -EFAULT, "%s: SET with data that is not there", who);
	check_errno(call_at_end_of_memory(device, GET, 8), -EFAULT, "%s: GET to where nothing is", who);
	check_errno(intx_enable(device), 0, "%s: the line interrupt is enabled", who);
	check_errno(doorbell_set(device, third_window, mib), -EBUSY, "%s: with the line interrupt", who);
	check_errno(doorbell_set(device, 0, 0), -EBUSY, "%s: and so is the way back", who);
	check_ok(intx_disable(device), "%s: the line interrupt is disabled", who);
	check_text(in_force(device), OTHER_STATE, "%s: the window is still the one before the refusals", who);

	check_errno(doorbell_call(device, ARGSZ + 4096, SET, &doorbell), 0, "%s: more data than there is to a window", who);
	check_text(in_force(device), "0xa000000 0x100000 0 translated user", "%s: the window has moved", who);
	check_errno(in_child(set_as_nobody, device), 0, "%s: an ordinary user with the device file moves it", who);
	check_text(in_force(device), OTHER_STATE, "%s: back it is", who);
}

void test_feature_refusals(void)
{
	struct vfio_device edu;
	struct vfio_space space;

	open_with(&space, TYPE1, &edu, EDU);
	check_refusals(&edu, "type1");
	check_text(space_ranges(&space), OTHER_RANGES, "the IOVA ranges have followed");
	check_ok(space_map(&space, third_window), "a page is mapped");
	check_errno(doorbell_set(&edu, third_window, mib), -EADDRINUSE, "a window at the page");
	check_errno(doorbell_set(&edu, third_window - mib, 2 * mib), -EADDRINUSE, "a window that ends over it");
	check_errno(doorbell_set(&edu, third_window - mib, 4 * mib), -EADDRINUSE, "a window around it");
	check_errno(doorbell_set(&edu, third_window - mib, mib), 0, "a window right before it");
	check_errno(doorbell_set(&edu, third_window + mib, mib), 0, "a window right after it");
	check_ok(space_unmap(&space, third_window), "the page is unmapped");
	check_text(space_ranges(&space), "0-a0fffff a200000-ffffffffffff", "the IOVA ranges leave out the last window only");
	device_close(&edu);
	space_close(&space);

	check_ok(space_open(&space, CDEV), "a space opens");
	check_ok(cdev_bind(&space, &edu, EDU), "the device is bound");
	check_refusals(&edu, "iommufd");
	device_close(&edu);
	space_close(&space);
}

void test_feature_of_administrator(void)
{
	int group = device_group(EDU);
	struct vfio_device edu;
	struct vfio_space space;

	check_errno(knob_write(group, "0x9000000 0x100000"), 0, "the administrator moves the window");
	for (enum vfio_way way = 0; way < VFIO_WAYS; way++) {
		const char *name = vfio_way_names[way];

		check_ok(space_open(&space, way), "%s: a space opens", name);
		check_ok(way == CDEV ? cdev_bind(&space, &edu, EDU) : space_add(&space, &edu, EDU), "%s: the device is there", name);
		check_text(in_force(&edu), way == GROUP_COMPAT ? "0x9000000 0x100000 0 translated admin locked" :
							"0x9000000 0x100000 0 translated admin",
			   "%s: GET tells the administrator's window", name);
		if (way != GROUP_COMPAT) {
			check_errno(doorbell_set(&edu, third_window, mib), 0, "%s: the user moves it", name);
			check_text(in_force(&edu), "0xa000000 0x100000 0 translated user", "%s: GET tells the user's", name);
			check_errno(doorbell_set(&edu, window, mib), 0, "%s: the driver's window is free to take", name);
			check_text(in_force(&edu), "0x8000000 0x100000 0 translated user", "%s: and is the user's then", name);
			check_errno(doorbell_set(&edu, 0, 0), 0, "%s: back goes to the group's", name);
			check_text(in_force(&edu), "0x9000000 0x100000 0 translated admin", "%s: which is the administrator's",
				   name);
		}
		device_close(&edu);
		space_close(&space);
	}
	check_errno(knob_write(group, "default"), 0, "the default is restored");
}

/* Both devices raise their interrupts, each through a doorbell in its window. */
static void check_two_interrupts(struct vfio_device *first, uint64_t base, struct vfio_device *second, uint64_t second_base)
{
	int eventfd = msi_enable(first), second_eventfd = msi_enable(second);

	check_address(pci_msi_address(first->bdf), base + DOORBELL_OFFSET, "the first has its MSI address in its window");
	check_address(pci_msi_address(second->bdf), second_base + DOORBELL_OFFSET, "the second too");
	check(edu_interrupt_arrives(first, eventfd), "the first one's interrupt arrives");
	check(edu_interrupt_arrives(second, second_eventfd), "the second one's interrupt arrives");
	check_ok(msi_disable(first), "MSI is disabled");
	check_ok(msi_disable(second), "for both");
	close(eventfd);
	close(second_eventfd);
}

void test_feature_two_functions(void)
{
	struct vfio_device first, second;
	struct vfio_space space;

	open_with(&space, TYPE1, &first, PAIR_FIRST);
	check_ok(space_add_member(&space, &first, &second, PAIR_SECOND), "the other function is opened");
	check_errno(doorbell_set(&first, other_window, mib), 0, "the first moves the window");
	check_text(in_force(&second), OTHER_STATE, "the second is told");
	check_two_interrupts(&first, other_window, &second, other_window);
	check_errno(doorbell_set(&second, third_window, mib), -EBUSY, "neither can move it now");
	check_errno(doorbell_set(&first, 0, 0), -EBUSY, "nor take it back");
	device_close(&second);
	device_close(&first);
	space_close(&space);

	open_with(&space, TYPE1, &first, PAIR_FIRST);
	check_ok(space_add_member(&space, &first, &second, PAIR_SECOND), "the other function is opened");
	check_errno(intx_enable(&second), 0, "the second one's line interrupt is enabled");
	check_errno(doorbell_set(&first, other_window, mib), 0, "that does not keep the first from moving the window");
	device_close(&second);
	device_close(&first);
	space_close(&space);

	check_ok(space_open(&space, CDEV), "a space opens");
	check_ok(cdev_bind(&space, &first, PAIR_FIRST), "the first function is bound");
	check_ok(space_add_member(&space, &first, &second, PAIR_SECOND), "the second function is bound");
	check_errno(doorbell_set(&second, other_window, mib), 0, "the second moves the window");
	check_text(in_force(&first), OTHER_STATE, "the first is told");
	check_ok(cdev_attach(&first, space.ioas), "the first is attached");
	check_errno(doorbell_set(&second, third_window, mib), -EBUSY, "the second cannot move it any more");
	check_ok(cdev_attach(&second, space.ioas), "the second is attached");
	check_text(space_ranges(&space), OTHER_RANGES, "the IOVA ranges leave out the one window");
	check_two_interrupts(&first, other_window, &second, other_window);
	check_ok(cdev_detach(&first), "the first is detached");
	check_errno(doorbell_set(&first, third_window, mib), -EBUSY, "the group is still attached");
	check_ok(cdev_detach(&second), "the second is detached");
	device_close(&first);
	check_text(in_force(&second), interrupts_survive_detach() ? OTHER_STATE " locked" : OTHER_STATE,
		   "the window stays while one is bound");
	device_close(&second);
	check_ok(cdev_bind(&space, &first, PAIR_FIRST), "the first is bound anew");
	check_text(in_force(&first), DEFAULT_STATE, "the window is the driver's again");
	device_close(&first);
	space_close(&space);
}

/* One function wants to move the window while the other has its interrupts enabled, and neither is attached. */
void test_feature_enabled_sibling(void)
{
	struct vfio_device first, second;
	struct vfio_space space;
	int eventfd;

	check_ok(space_open(&space, CDEV), "a space opens");
	check_ok(space_add(&space, &first, PAIR_FIRST), "the first function is attached");
	check_ok(space_add_sibling(&space, &first, &second, PAIR_SECOND), "the second function is attached");
	eventfd = msi_enable(&second);
	check_ok(eventfd, "the second has MSI enabled");
	check_ok(cdev_detach(&first), "the first is detached");
	check_ok(cdev_detach(&second), "the second is detached");
	if (interrupts_survive_detach()) {
		check_errno(doorbell_set(&first, other_window, mib), -EBUSY, "the first cannot move the window");
		check_ok(cdev_attach(&first, space.ioas), "the first is attached again");
		check_ok(cdev_attach(&second, space.ioas), "the second is attached again");
		check(edu_interrupt_arrives(&second, eventfd), "the second one's interrupt still arrives");
	} else {
		check_errno(doorbell_set(&first, other_window, mib), 0, "the first moves the window");
	}
	check_address(pci_msi_address(PAIR_SECOND), window + DOORBELL_OFFSET, "the second keeps its address");
	close(eventfd);
	device_close(&second);
	device_close(&first);
	space_close(&space);
}

void test_feature_two_groups(void)
{
	int group = device_group(OTHER_EDU);
	struct vfio_device edu, other;
	struct vfio_space space;

	/* Groups of one page table. */
	open_with(&space, TYPE1, &edu, EDU);
	check_ok(space_add(&space, &other, OTHER_EDU), "a second group is attached");
	check_errno(doorbell_set(&edu, other_window, mib), 0, "the first moves the window");
	check_text(in_force(&other), OTHER_STATE, "the second is told");
	check_text(space_ranges(&space), OTHER_RANGES, "the IOVA ranges leave out the one window");
	check_two_interrupts(&edu, other_window, &other, other_window);
	check_errno(doorbell_set(&edu, 0, 0), -EBUSY, "then it is locked");
	device_close(&edu);
	check_text(space_ranges(&space), OTHER_RANGES, "when one leaves the window is still reserved");
	check(space_map(&space, other_window) < 0, "and cannot be mapped");
	check_interrupt(&other, other_window);
	device_close(&other);
	space_close(&space);

	/* Groups of different page tables. */
	check_errno(knob_write(group, "0x9000000 0x100000"), 0, "the windows are different");
	open_with(&space, TYPE1, &edu, EDU);
	check_ok(space_add(&space, &other, OTHER_EDU), "a second group is attached");
	check_errno(doorbell_set(&edu, other_window, mib), 0, "the first takes the place of the second one's");
	check_text(in_force(&other), "0x9000000 0x100000 0 translated admin", "which has not moved");
	check_text(space_ranges(&space), OTHER_RANGES, "the IOVA ranges leave it out");
	check_errno(doorbell_set(&other, third_window, mib), 0, "the second moves on");
	check_text(space_ranges(&space), "0-8ffffff 9100000-9ffffff a100000-ffffffffffff",
		   "what it leaves is not free, the first needs it");
	check_two_interrupts(&edu, other_window, &other, third_window);
	device_close(&other);
	check_text(space_ranges(&space), OTHER_RANGES, "the second one's window goes with it");
	check_ok(space_map(&space, third_window), "memory can be mapped there");
	check_interrupt(&edu, other_window);
	device_close(&edu);
	space_close(&space);
	check_errno(knob_write(group, "default"), 0, "the default is restored");
}

void test_feature_later_group(void)
{
	struct vfio_device edu, other;
	struct vfio_space space;
	int group = device_group(OTHER_EDU);

	open_with(&space, TYPE1, &edu, EDU);
	check_errno(doorbell_set(&edu, other_window, mib), 0, "the window is moved");
	check_ok(space_map(&space, window), "memory is mapped where it was");
	check_ok(space_add(&space, &other, OTHER_EDU), "a second group is attached all the same");
	check_text(in_force(&other), OTHER_STATE, "it starts with the user's window");
	check_text(space_ranges(&space), OTHER_RANGES, "the IOVA ranges leave out that one only");
	check_two_interrupts(&edu, other_window, &other, other_window);
	device_close(&edu);
	check_text(in_force(&other), "0x9000000 0x100000 1 translated user locked", "it keeps it when the first leaves");
	device_close(&other);
	space_close(&space);

	check_errno(knob_write(group, "0xa000000 0x100000"), 0, "the second group has a window of its own");
	open_with(&space, TYPE1, &edu, EDU);
	check_errno(doorbell_set(&edu, other_window, mib), 0, "the window of the first is moved");
	check_ok(space_add(&space, &other, OTHER_EDU), "the second group is attached");
	check_text(in_force(&other), "0xa000000 0x100000 0 translated admin", "it starts with its own");
	device_close(&edu);
	device_close(&other);
	space_close(&space);
	check_errno(knob_write(group, "default"), 0, "the default is restored");
}

/* The IOMMU takes all 64 bits, and keeps 0xa000000 to 0xa1fffff for itself. */
static void check_reserved_region(struct vfio_device *device, const char *who)
{
	check_errno(doorbell_set(device, 0xa000000, mib), -EADDRINUSE, "%s: a window at its start", who);
	check_errno(doorbell_set(device, 0xa100000, 2 * mib), -EADDRINUSE, "%s: a window out of it", who);
	check_errno(doorbell_set(device, 0x9f00000, 2 * mib), -EADDRINUSE, "%s: a window into it from below", who);
	check_errno(doorbell_set(device, 0x9000000, 32 * mib), -EADDRINUSE, "%s: a window around it", who);
	check_text(in_force(device), DEFAULT_STATE, "%s: the window has not moved", who);
	check_errno(doorbell_set(device, 0x9f00000, mib), 0, "%s: a window right before it", who);
	check_errno(doorbell_set(device, 0xa200000, mib), 0, "%s: a window right after it", who);
	check_errno(doorbell_set(device, 0xfffffffffff00000, mib), 0, "%s: the last MiB of 64 bits", who);
	check_text(in_force(device), "0xfffffffffff00000 0x100000 0 translated user", "%s: the window has moved", who);
}

void test_feature_reserved_region(void)
{
	static const char at_the_end[] = "0-9ffffff a200000-ffffffffffefffff";
	struct vfio_device edu;
	struct vfio_space space;

	open_with(&space, TYPE1, &edu, EDU);
	check_reserved_region(&edu, "type1");
	check_text(space_ranges(&space), at_the_end, "the IOVA ranges end before the window");
	check_errno(doorbell_set(&edu, 0, 0), 0, "the window goes back");
	check_text(space_ranges(&space), "0-7ffffff 8100000-9ffffff a200000-ffffffffffffffff", "and the end comes back");
	check_ok(space_map(&space, 0xffffffffffffe000), "a page is mapped there");
	check_errno(doorbell_set(&edu, 0xfffffffffff00000, mib), -EADDRINUSE, "it keeps the window away");
	device_close(&edu);
	space_close(&space);

	check_ok(space_open(&space, CDEV), "a space opens");
	check_ok(cdev_bind(&space, &edu, EDU), "the device is bound");
	check_reserved_region(&edu, "iommufd");
	check_ok(cdev_attach(&edu, space.ioas), "the device is attached");
	check_text(space_ranges(&space), at_the_end, "the IOVA ranges end before the window");
	device_close(&edu);
	space_close(&space);
}
