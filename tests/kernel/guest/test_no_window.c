// SPDX-License-Identifier: Apache-2.0
/* Devices whose MSIs nobody translates, or not by software: there is no window, and nothing to move. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>

#include "check.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

enum { GET = VFIO_DEVICE_FEATURE_GET, SET = VFIO_DEVICE_FEATURE_SET };

/* A mediated device of the kernel's sample driver, in software from end to end. */
#define MDEV "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define MDEV_CREATE "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create"

static void check_no_window(enum vfio_way way, const char *name)
{
	const char *way_name = vfio_way_names[way];
	struct vfio_device_feature_msi_doorbell doorbell;
	struct vfio_device device;
	struct vfio_space space;

	check_ok(space_open(&space, way), "%s: a space opens", way_name);
	check_ok(space_add(&space, &device, name), "%s: the device is attached", way_name);
	check_errno(doorbell_probe(&device, 0), -ENOTTY, "%s: PROBE", way_name);
	check_errno(doorbell_probe(&device, GET), -ENOTTY, "%s: PROBE for GET", way_name);
	check_errno(doorbell_probe(&device, SET), -ENOTTY, "%s: PROBE for SET", way_name);
	check_errno(doorbell_probe(&device, GET | SET), -ENOTTY, "%s: PROBE for both", way_name);
	check_errno(doorbell_get(&device, &doorbell), -ENOTTY, "%s: there is nothing to GET", way_name);
	check_errno(doorbell_set(&device, 0x9000000, 0x100000), -ENOTTY, "%s: and nothing to SET", way_name);
	device_close(&device);
	space_close(&space);
}

static void check_attribute(const char *name)
{
	int group = device_group(name);

	check_text(knob_read(group), "none", "the attribute says that there is no window");
	check_errno(knob_write(group, "0x9000000 0x100000"), -EOPNOTSUPP, "a window is refused");
	check_errno(knob_write(group, "default"), -EOPNOTSUPP, "and so is the default");
	check_errno(knob_write(group, "junk"), -EINVAL, "nonsense is still called so");
	check_text(knob_read(group), "none", "nothing has changed");
}

void test_hardware_msi_region(void)
{
	check_text(reserved_regions(device_group(EDU)), "0x0000000008090000 0x000000000809ffff msi",
		   "reserved_regions does not tell it from a window");
	check_attribute(EDU);
	for (enum vfio_way way = 0; way < VFIO_WAYS; way++)
		check_no_window(way, EDU);
}

void test_emulated_device(void)
{
	check_errno(file_write(MDEV_CREATE, MDEV, strlen(MDEV)), 0, "a mediated device is made");
	check_attribute(MDEV);
	for (enum vfio_way way = 0; way < VFIO_WAYS; way++)
		check_no_window(way, MDEV);
	check_errno(file_write("/sys/bus/mdev/devices/" MDEV "/remove", "1", 1), 0, "it is removed");
}

/* vfio.enable_unsafe_noiommu_mode: VFIO makes a group of its own for each device. VFIO offers no device file then. */
void test_no_iommu(void)
{
	check_text(reserved_regions(device_group(EDU)), "", "nothing is reserved");
	check_attribute(EDU);
	check_no_window(TYPE1, EDU);
	check_no_window(GROUP_COMPAT, EDU);
}
