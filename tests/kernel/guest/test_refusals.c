// SPDX-License-Identifier: Apache-2.0
/* Every refusal of the attribute, and that a refusal changes nothing. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

void test_refused_values(void)
{
	static const struct {
		const char *text;
		int answer;
		const char *what;
	} rows[] = {
		{ "", 0, "nothing at all changes nothing" },
		{ "\n", -EINVAL, "an empty line" },
		{ "none", -EINVAL, "what is read where there is no window" },
		{ "Default", -EINVAL, "\"default\" in other letters" },
		{ "default 0x100000", -EINVAL, "\"default\" with a size" },
		{ "0x9000000", -EINVAL, "a base without a size" },
		{ "0x9000000 ", -EINVAL, "a base and a blank" },
		{ "0x90000000x100000", -EINVAL, "no blank between the numbers" },
		{ "0x9000000,0x100000", -EINVAL, "a comma between the numbers" },
		{ "0x9000000 0x100000 0", -EINVAL, "a third number" },
		{ "0x9000000 0x100000;", -EINVAL, "trailing junk" },
		{ "0x9000000 0x100000\n0xa000000 0x100000\n", -EINVAL, "a second line" },
		{ "9000000 100000", -EINVAL, "numbers without 0x" },
		{ "0x9000000 1048576", -EINVAL, "a decimal size" },
		{ "0x9000000 1M", -EINVAL, "a size with a unit" },
		{ "-0x9000000 0x100000", -EINVAL, "a negative base" },
		{ "+0x9000000 0x100000", -EINVAL, "a base with a plus sign" },
		{ "0x 0x100000", -EINVAL, "a base without digits" },
		{ "0xg000000 0x100000", -EINVAL, "a base with a letter that is no digit" },
		{ "0x9000000 0x0", -EINVAL, "size 0" },
		{ "0x0 0x100000", -EINVAL, "base 0" },
		{ "0x9000800 0x100000", -EINVAL, "a base inside a page" },
		{ "0x9010000 0x100000", -EINVAL, "a base that is not a multiple of 1 MiB" },
		{ "0x9000000 0x10000", -EINVAL, "a size below 1 MiB" },
		{ "0x9000000 0x180000", -EINVAL, "a size that is not a multiple of 1 MiB" },
		{ "0xfffffffffff00000 0x200000", -EINVAL, "a window that wraps around" },
		{ "0x200000 0xfffffffffff00000", -EINVAL, "a window that wraps around to its start" },
		{ "0x100000 0xfffffffffff00000", -ERANGE, "all of 64 bits but the first MiB" },
		{ "0xfffffffffff00000 0x100000", -ERANGE, "the last MiB of 64 bits" },
		{ "0x1000000000000 0x100000", -ERANGE, "the first MiB past the aperture" },
		{ "0xfffffff00000 0x200000", -ERANGE, "a window that crosses the end of the aperture" },
		{ "0x10000000009000000 0x100000", -ERANGE, "a base of more than 64 bits" },
		{ "0x9000000 0x10000000000100000", -ERANGE, "a size of more than 64 bits" },
	};
	int group = device_group(EDU);

	check_errno(knob_write(group, "0xb000000 0x100000"), 0, "a window to be kept is set");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_errno(knob_write(group, rows[i].text), rows[i].answer, "%s", rows[i].what);
	check_errno(knob_write_bytes(group, "0x9000000 0x100000\0junk", 23), -EINVAL, "junk behind a NUL byte");
	check_text(knob_read(group), "0xb000000 0x100000", "the window is still the one before the refusals");

	check_errno(knob_write(group, " \t0x00c000000  \t0x0000100000 \n"), 0, "blanks and leading zeros are accepted");
	check_text(knob_read(group), "0xc000000 0x100000", "and read back in the short form");
	check_errno(knob_write(group, "default\n"), 0, "the default is restored");
}

static int write_without_capability(void *capability)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	int number = *(int *)capability;

	if (syscall(SYS_capget, &header, data))
		return -errno;
	data[number / 32].effective &= ~(1u << number % 32);
	if (syscall(SYS_capset, &header, data))
		return -errno;
	return knob_write(device_group(EDU), "0x9000000 0x100000");
}

/* Root of a user namespace: the file mode lets it in, its capabilities are not ours. */
static int write_in_user_namespace(void *unused)
{
	(void)unused;
	return enter_user_namespace() ?: knob_write(device_group(EDU), "0x9000000 0x100000");
}

static int write_as_nobody(void *unused)
{
	(void)unused;
	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		return -EIO;
	return knob_write(device_group(EDU), "0x9000000 0x100000");
}

void test_refused_writers(void)
{
	int sys_admin = CAP_SYS_ADMIN, sys_rawio = CAP_SYS_RAWIO, harmless = CAP_SYS_TIME;
	int group = device_group(EDU);

	check_errno(in_child(write_without_capability, &sys_admin), -EACCES, "without CAP_SYS_ADMIN");
	check_errno(in_child(write_without_capability, &sys_rawio), -EACCES, "without CAP_SYS_RAWIO");
	check_errno(in_child(write_in_user_namespace, NULL), -EACCES, "root of a user namespace");
	check_errno(in_child(write_as_nobody, NULL), -EACCES, "an ordinary user");
	check_text(knob_read(group), DEFAULT_WINDOW, "the window has not moved");
	check_errno(in_child(write_without_capability, &harmless), 0, "without a capability that does not matter");
	check_text(knob_read(group), "0x9000000 0x100000", "the window has moved");
	check_errno(knob_write(group, "default"), 0, "the default is restored");
}

/* The group is owned now, and its window is WINDOW. */
static void check_owned(const char *who, const char *window)
{
	int group = device_group(EDU);

	check_errno(knob_write(group, "0xe000000 0x100000"), -EBUSY, "%s: another window", who);
	check_errno(knob_write(group, window), 0, "%s: the window in force succeeds", who);
	check_errno(knob_write(group, "0xe000000 0"), -EINVAL, "%s: nonsense is still called so", who);
	check_errno(knob_write(group, "0x1000000000000 0x100000"), -ERANGE, "%s: and so is a range", who);
	check_text(knob_read(group), window, "%s: the window has not moved", who);
}

void test_refused_while_owned(void)
{
	int group = device_group(EDU);
	struct vfio_device edu;

	for (enum vfio_way way = 0; way < VFIO_WAYS; way++) {
		const char *name = vfio_way_names[way];
		struct vfio_space space;

		check_ok(space_open(&space, way), "%s: a space opens", name);
		check_ok(space_add(&space, &edu, EDU), "%s: the device is attached", name);
		check_owned(name, DEFAULT_WINDOW);
		check_errno(knob_write(group, "default"), 0, "%s: \"default\" in force succeeds", name);
		device_close(&edu);
		space_close(&space);

		check_errno(knob_write(group, "0x9000000 0x100000"), 0, "%s: allowed again when the user has left", name);

		check_ok(space_open(&space, way), "%s: a space opens again", name);
		check_ok(space_add(&space, &edu, EDU), "%s: the device is attached again", name);
		check_owned(name, "0x9000000 0x100000");
		check_errno(knob_write(group, "default"), -EBUSY, "%s: \"default\" is another window now", name);
		device_close(&edu);
		space_close(&space);
		check_errno(knob_write(group, "default"), 0, "%s: the default is restored", name);
	}

	/* From the bind on, before there is a page table. */
	struct vfio_space space;

	check_ok(space_open(&space, CDEV), "a space opens for a bind");
	check_ok(cdev_bind(&space, &edu, EDU), "the device is bound, not attached");
	check_owned("bound", DEFAULT_WINDOW);
	device_close(&edu);
	space_close(&space);
}

void test_refused_without_devices(void)
{
	int group = device_group(OTHER_EDU);
	char path[128];
	int fd, answer;

	/* An open file outlives the group, which goes with its last device. */
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/msi_window", group);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	check(fd >= 0, "the attribute is opened");
	check_errno(knob_write(group, "0x9000000 0x100000"), 0, "the window is moved");
	check_errno(pci_remove(OTHER_EDU), 0, "the device is unplugged");
	answer = write(fd, "default", 7) < 0 ? -errno : 0;
	check_errno(answer, -ENODEV, "the group has no device");
	close(fd);

	check_errno(pci_rescan(), 0, "the device is plugged again");
	check_errno(pci_bind_vfio(OTHER_EDU), 0, "it is bound again");
	check_text(knob_read(device_group(OTHER_EDU)), DEFAULT_WINDOW, "its new group starts with the default");
}

void test_warned_about_host_bridge(void)
{
	static const char both[] = "vfio-pci " EDU ": MSI window [0x20000000-0x200fffff] overlaps host bridge window "
				   "[0x10000000-0x3efeffff]";
	int group = device_group(EDU);

	int lines, warnings;

	check(!log_count("overlaps host bridge window"), "no warning so far");
	lines = log_lines();
	check_errno(knob_write(group, "0x20000000 0x100000"), 0, "a window inside the bridge's is accepted");
	warnings = log_count(both);
	check(warnings == 1 && log_lines() == lines + 1, "one warning names both, and is all that the kernel says (%d)", warnings);
	check_text(knob_read(group), "0x20000000 0x100000", "the window has moved");
	check_errno(knob_write(group, "0x20000000 0x100000"), 0, "the window in force is accepted again");
	check_errno(knob_write(group, "default"), 0, "the default is restored");
	check(log_count("overlaps host bridge window") == 1, "neither is warned about");
}

#define DYNAMIC_DEBUG "/sys/kernel/debug/dynamic_debug/control"
#define DEBUG_ON "file drivers/vfio/* +p; file drivers/iommu/* +p"
#define DEBUG_OFF "file drivers/vfio/* -p; file drivers/iommu/* -p"

/* What a user can have refused as often as it likes must not fill the kernel log. */
void test_refused_quietly(void)
{
	static const char *const values[] = { "0xe000000 0x100000", "default", "0xe000000 0", "0x1000000000000 0x100000" };
	static const int answers[] = { -EBUSY, -EBUSY, -EINVAL, -ERANGE };
	enum { VALUES = sizeof(values) / sizeof(values[0]), ROUNDS = 1000 };
	int group = device_group(EDU), refused = 0, feature_refused = 0, eventfd, lines;
	struct vfio_device edu;
	struct vfio_space space;

	check_errno(knob_write(group, "0x9000000 0x100000"), 0, "the window is moved");
	check_ok(space_open(&space, TYPE1), "a space opens");
	check_ok(space_add(&space, &edu, EDU), "the device is attached");
	eventfd = msi_enable(&edu);
	check_ok(eventfd, "MSI is enabled");
	lines = log_lines();
	for (int i = 0; i < ROUNDS; i++) {
		for (int j = 0; j < VALUES; j++)
			refused += knob_write(group, values[j]) == answers[j];
		feature_refused += doorbell_set(&edu, 0xe000000, 0x100000) == -EBUSY;
	}
	check(refused == VALUES * ROUNDS, "%d writes are refused", refused);
	check(feature_refused == ROUNDS, "%d times the device feature is refused", feature_refused);
	lines = log_lines() - lines;
	check(!lines, "the kernel log has %d lines more", lines);

	/* With debug messages on: a refused SET has one, and nothing else does. */
	check_errno(file_write(DYNAMIC_DEBUG, DEBUG_ON, strlen(DEBUG_ON)), 0, "debug messages are on");
	lines = log_lines();
	knob_write(group, values[0]);
	check(log_lines() == lines, "a refused write has none");
	doorbell_set(&edu, 0xe000000, 0x100000);
	check(log_lines() == lines + 1 && log_count("MSI doorbells not moved: -16"), "a refused SET has one");
	check_errno(file_write(DYNAMIC_DEBUG, DEBUG_OFF, strlen(DEBUG_OFF)), 0, "debug messages are off");
	close(eventfd);
	device_close(&edu);
	space_close(&space);
	check_errno(knob_write(group, "default"), 0, "the default is restored");
}
