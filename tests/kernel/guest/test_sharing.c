// SPDX-License-Identifier: Apache-2.0
/*
 * Groups with different windows in one IOVA space. A doorbell page must never
 * be in IOVA space that the kernel reports as free: a mapping over it would be
 * refused by the page table code with a WARN, which a user must not be able to
 * trigger. The kernel log is looked at when all tests are done.
 */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

/* The windows, and the doorbell page in each. */
static const uint64_t window = 0x8000000, other_window = 0x9000000;
enum { DOORBELL_OFFSET = 0x40 };

struct pair {
	struct vfio_space space;
	struct vfio_device edu, other;
	int eventfd, other_eventfd;
};

static void set_different_windows(void)
{
	check_errno(knob_write(device_group(OTHER_EDU), "0x9000000 0x100000"), 0, "the windows are different");
}

static void set_default_windows(void)
{
	check_errno(knob_write(device_group(OTHER_EDU), "default"), 0, "the default is restored");
}

static void open_pair(struct pair *pair, enum vfio_way way)
{
	check_ok(space_open(&pair->space, way), "a space opens");
	check_ok(space_add(&pair->space, &pair->edu, EDU), "a group is attached");
	check_ok(space_add(&pair->space, &pair->other, OTHER_EDU), "a group with another window is attached");
	check_text(space_ranges(&pair->space), "0-7ffffff 8100000-8ffffff 9100000-ffffffffffff",
		   "the IOVA ranges leave both windows out");
	pair->eventfd = msi_enable(&pair->edu);
	pair->other_eventfd = msi_enable(&pair->other);
	check_address(pci_msi_address(EDU), window + DOORBELL_OFFSET, "the first has its MSI address in its window");
	check_address(pci_msi_address(OTHER_EDU), other_window + DOORBELL_OFFSET, "the second in its own");
	check(edu_interrupt_arrives(&pair->edu, pair->eventfd), "the first one's interrupt arrives");
	check(edu_interrupt_arrives(&pair->other, pair->other_eventfd), "the second one's interrupt arrives");
}

static void close_pair(struct pair *pair)
{
	close(pair->eventfd);
	close(pair->other_eventfd);
	device_close(&pair->edu);
	device_close(&pair->other);
	space_close(&pair->space);
}

/* The group with the window at GONE has left, STAYING is still there. */
static void check_after_detach(struct pair *pair, struct vfio_device *staying, int eventfd, uint64_t kept, uint64_t gone,
			       const char *what)
{
	check(space_map(&pair->space, kept) < 0, "%s: the window of the one that stays cannot be mapped", what);
	check_ok(space_map(&pair->space, gone), "%s: the window of the one that left can be", what);
	check(edu_interrupt_arrives(staying, eventfd), "%s: the one that stays still interrupts", what);
	check_ok(space_unmap(&pair->space, gone), "%s: it is unmapped", what);
}

static void check_two_windows(enum vfio_way way)
{
	struct pair pair;

	set_different_windows();

	open_pair(&pair, way);
	device_close(&pair.edu);
	check_after_detach(&pair, &pair.other, pair.other_eventfd, other_window, window, "the first leaves");
	close_pair(&pair);

	open_pair(&pair, way);
	device_close(&pair.other);
	check_after_detach(&pair, &pair.edu, pair.eventfd, window, other_window, "the second leaves");
	close_pair(&pair);

	set_default_windows();
}

void test_two_windows_type1(void)
{
	check_two_windows(TYPE1);
}

void test_two_windows_iommufd(void)
{
	struct vfio_device edu, other;
	struct vfio_space space;

	check_two_windows(CDEV);

	/* Equal windows still share, that is what saves memory and invalidations. */
	check_ok(space_open(&space, CDEV), "a space opens");
	check_ok(space_add(&space, &edu, EDU), "a group is attached");
	check_ok(space_add(&space, &other, OTHER_EDU), "a group with the same window is attached");
	check(edu.pt_id == other.pt_id, "they share a page table");
	device_close(&edu);
	device_close(&other);
	space_close(&space);
}

void test_page_table_of_another_window(void)
{
	struct vfio_device edu, other;
	uint32_t page_table, other_page_table;
	struct vfio_space space;
	int eventfd;

	set_different_windows();
	check_ok(space_open(&space, CDEV), "a space opens");
	check_ok(cdev_bind(&space, &edu, EDU), "a device is bound");
	check_ok(cdev_bind(&space, &other, OTHER_EDU), "a device with another window is bound");
	check_ok(iommufd_page_table(&space, &edu, &page_table), "a page table is made by hand");
	check_ok(iommufd_page_table(&space, &other, &other_page_table), "and another");
	check_ok(cdev_attach(&edu, page_table), "the first device is attached to the first");
	eventfd = msi_enable(&edu);
	check(edu_interrupt_arrives(&edu, eventfd), "its interrupt arrives");

	check_errno(cdev_attach(&other, page_table), -EINVAL, "the second device is refused there");
	check_text(space_ranges(&space), "0-7ffffff 8100000-ffffffffffff", "and leaves nothing reserved");
	check_ok(cdev_attach(&other, other_page_table), "it is attached to the second");

	/* A refused change of page tables must leave the old attachment whole. */
	check_errno(cdev_attach(&edu, other_page_table), -EINVAL, "the first device cannot change over");
	check_text(space_ranges(&space), "0-7ffffff 8100000-8ffffff 9100000-ffffffffffff", "both windows are still reserved");
	check(space_map(&space, window) < 0, "its window cannot be mapped");
	check(edu_interrupt_arrives(&edu, eventfd), "its interrupt still arrives");

	close(eventfd);
	device_close(&edu);
	device_close(&other);
	check_ok(iommufd_destroy(&space, page_table), "the first page table goes");
	check_ok(iommufd_destroy(&space, other_page_table), "the second page table goes");
	check_text(space_ranges(&space), "0-ffffffffffffffff", "nothing is reserved any more");
	space_close(&space);
	set_default_windows();
}

void test_refused_change_keeps_regions(void)
{
	static const char regions[] = "0-7ffffff 8100000-9ffffff a200000-ffffffffffffffff";
	struct vfio_device edu, other;
	struct vfio_space space;
	uint32_t page_table;

	set_different_windows();
	check_ok(space_open(&space, CDEV), "a space opens");
	check_ok(cdev_bind(&space, &edu, EDU), "a device is bound");
	check_ok(cdev_bind(&space, &other, OTHER_EDU), "a device with another window is bound");
	check_ok(iommufd_page_table(&space, &other, &page_table), "a page table is made by hand");
	check_ok(cdev_attach(&other, page_table), "the second device decides its window");
	check_ok(cdev_detach(&other), "and leaves it");
	check_ok(cdev_attach(&edu, space.ioas), "the first device is attached elsewhere");
	check_errno(cdev_attach(&edu, page_table), -EINVAL, "it cannot change over");
	device_close(&other);
	check_ok(iommufd_destroy(&space, page_table), "the page table goes");
	check_text(space_ranges(&space), regions, "all regions of the first device are still reserved");
	device_close(&edu);
	space_close(&space);
	set_default_windows();
}

/* A page table made by hand keeps its doorbells when the last device has left. */
static void leave_doorbell(struct vfio_space *space, struct vfio_device *edu, uint32_t *page_table)
{
	int eventfd;

	check_ok(space_open(space, CDEV), "a space opens");
	check_ok(cdev_bind(space, edu, EDU), "a device is bound");
	check_ok(iommufd_page_table(space, edu, page_table), "a page table is made by hand");
	check_ok(cdev_attach(edu, *page_table), "the device is attached");
	eventfd = msi_enable(edu);
	check_ok(eventfd, "MSI is enabled");
	check_ok(msi_disable(edu), "MSI is disabled");
	close(eventfd);
	check_ok(cdev_detach(edu), "the device is detached");
}

/* What "iommufd: Keep the MSI window reserved" is about. A mapping over the doorbell would make such a kernel warn. */
void test_window_forgotten(void)
{
	struct vfio_device edu;
	struct vfio_space space;
	uint32_t page_table;

	leave_doorbell(&space, &edu, &page_table);
	check_text(space_ranges(&space), "0-ffffffffffff", "nothing is reserved, with a doorbell in the page table");
	device_close(&edu);
	space_close(&space);
}

void test_window_outlives_attachment(void)
{
	struct vfio_device edu;
	struct vfio_space space;
	uint32_t page_table;
	int eventfd;

	leave_doorbell(&space, &edu, &page_table);
	check_text(space_ranges(&space), "0-7ffffff 8100000-ffffffffffff", "the window is still reserved");
	check(space_map(&space, window) < 0, "the window with the doorbell cannot be mapped");
	check_ok(cdev_attach(&edu, page_table), "the device is attached again");
	eventfd = msi_enable(&edu);
	check(edu_interrupt_arrives(&edu, eventfd), "its interrupt arrives");
	close(eventfd);
	device_close(&edu);
	check_ok(iommufd_destroy(&space, page_table), "the page table goes");
	check_ok(space_map(&space, window), "then the window can be mapped");
	space_close(&space);
}
