// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define DEVICES "/sys/bus/pci/devices"
#define GROUPS "/sys/kernel/iommu_groups"

enum { KLOG_READ_ALL = 3, KLOG_CONSOLE_LEVEL = 8, KLOG_SIZE = 10 };

void machine_on(void)
{
	static const struct {
		const char *type, *target;
	} mounts[] = { { "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" },
			{ "debugfs", "/sys/kernel/debug" } };

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].target, 0755);
		if (mount(mounts[i].type, mounts[i].target, mounts[i].type, 0, NULL))
			bail_out("cannot mount %s: %s", mounts[i].target, strerror(errno));
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	klogctl(KLOG_CONSOLE_LEVEL, NULL, 1);
}

void machine_off(void)
{
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	abort();
}

const char *machine_option(const char *name)
{
	static char line[4096];
	size_t length = strlen(name);

	file_read(line, sizeof(line), "/proc/cmdline");
	for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) {
		if (!strncmp(word, name, length) && word[length] == '=')
			return word + length + 1;
	}
	return "";
}

const char *file_read(char *buffer, size_t size, const char *path_format, ...)
{
	char path[PATH_MAX];
	va_list args;
	ssize_t got = -1;
	int fd;

	va_start(args, path_format);
	vsnprintf(path, sizeof(path), path_format, args);
	va_end(args);

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		got = read(fd, buffer, size - 1);
	if (got < 0)
		got = snprintf(buffer, size, "<%s>", strerrorname_np(errno));
	if (fd >= 0)
		close(fd);
	while (got > 0 && buffer[got - 1] == '\n')
		got--;
	buffer[got] = '\0';
	return buffer;
}

int file_write(const char *path, const void *bytes, size_t length)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int result = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, bytes, length) < 0)
		result = -errno;
	close(fd);
	return result;
}

static int write_text(const char *path, const char *text)
{
	return file_write(path, text, strlen(text));
}

int pci_bind_vfio(const char *bdf)
{
	char path[PATH_MAX];
	int result;

	pci_unbind(bdf);
	snprintf(path, sizeof(path), DEVICES "/%s/driver_override", bdf);
	result = write_text(path, "vfio-pci");
	if (!result)
		result = write_text("/sys/bus/pci/drivers_probe", bdf);
	return result;
}

int pci_unbind(const char *bdf)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), DEVICES "/%s/driver/unbind", bdf);
	return write_text(path, bdf);
}

int pci_remove(const char *bdf)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), DEVICES "/%s/remove", bdf);
	return write_text(path, "1");
}

int pci_rescan(void)
{
	return write_text("/sys/bus/pci/rescan", "1");
}

bool pci_present(const char *bdf)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), DEVICES "/%s", bdf);
	return !access(path, F_OK);
}

void device_path(char *path, size_t size, const char *name, const char *file)
{
	snprintf(path, size, "/sys/bus/%s/devices/%s/%s", strchr(name, ':') ? "pci" : "mdev", name, file);
}

int device_group(const char *name)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length;

	device_path(path, sizeof(path), name, "iommu_group");
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return -errno;
	target[length] = '\0';
	return atoi(strrchr(target, '/') + 1);
}

static uint32_t le32(const uint8_t *bytes)
{
	return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* The offset of a capability in the function's configuration space, which is read past VFIO. */
static uint8_t read_capability(const char *bdf, uint8_t id, uint8_t config[256])
{
	char path[PATH_MAX];
	ssize_t got = -1;
	int fd;

	snprintf(path, sizeof(path), DEVICES "/%s/config", bdf);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = pread(fd, config, 256, 0);
		close(fd);
	}
	if (got < 256)
		bail_out("the configuration space of %s cannot be read", bdf);

	for (uint8_t cap = config[PCI_CAPABILITY_LIST]; cap && cap < 0xf0; cap = config[cap + 1]) {
		if (config[cap] == id)
			return cap;
	}
	bail_out("%s has no capability %#x", bdf, id);
}

uint16_t pci_msi_flags(const char *bdf)
{
	uint8_t config[256];
	uint8_t cap = read_capability(bdf, PCI_CAP_ID_MSI, config);

	return config[cap + PCI_MSI_FLAGS] | config[cap + PCI_MSI_FLAGS + 1] << 8;
}

uint64_t pci_msi_address(const char *bdf)
{
	uint8_t config[256];
	uint8_t cap = read_capability(bdf, PCI_CAP_ID_MSI, config);
	uint64_t address = le32(config + cap + PCI_MSI_ADDRESS_LO);

	if (config[cap + PCI_MSI_FLAGS] & PCI_MSI_FLAGS_64BIT)
		address |= (uint64_t)le32(config + cap + PCI_MSI_ADDRESS_HI) << 32;
	return address;
}

uint64_t pci_msix_address(const char *bdf, unsigned int number)
{
	uint8_t config[256];
	uint8_t cap = read_capability(bdf, PCI_CAP_ID_MSIX, config);
	uint32_t table = le32(config + cap + PCI_MSIX_TABLE);
	volatile const uint32_t *entry;
	char path[PATH_MAX];
	uint64_t address;
	off_t offset = (table & PCI_MSIX_TABLE_OFFSET) + number * PCI_MSIX_ENTRY_SIZE;
	off_t in_page = offset % 4096;
	void *mapped;
	int fd;

	snprintf(path, sizeof(path), DEVICES "/%s/resource%u", bdf, table & PCI_MSIX_TABLE_BIR);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, offset - in_page);
	if (mapped == MAP_FAILED)
		bail_out("%s cannot be mapped: %s", path, strerror(errno));
	close(fd);
	entry = (volatile const uint32_t *)((char *)mapped + in_page);
	address = entry[PCI_MSIX_ENTRY_LOWER_ADDR / 4];
	address |= (uint64_t)entry[PCI_MSIX_ENTRY_UPPER_ADDR / 4] << 32;
	munmap(mapped, 4096);
	return address;
}

int knob_write_bytes(int group, const void *bytes, size_t length)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), GROUPS "/%d/msi_window", group);
	return file_write(path, bytes, length);
}

int knob_write(int group, const char *text)
{
	return knob_write_bytes(group, text, strlen(text));
}

const char *knob_read(int group)
{
	static char text[256];

	return file_read(text, sizeof(text), GROUPS "/%d/msi_window", group);
}

const char *reserved_regions(int group)
{
	static char text[4096];

	return file_read(text, sizeof(text), GROUPS "/%d/reserved_regions", group);
}

bool kernel_is_since(unsigned int major, unsigned int minor)
{
	unsigned int running_major = 0, running_minor = 0;
	struct utsname names;

	uname(&names);
	sscanf(names.release, "%u.%u", &running_major, &running_minor);
	return running_major != major ? running_major > major : running_minor >= minor;
}

int msi_vectors(const char *bdf)
{
	static char interrupts[65536];
	int count = 0;

	file_read(interrupts, sizeof(interrupts), "/proc/interrupts");
	for (char *line = strtok(interrupts, "\n"); line; line = strtok(NULL, "\n"))
		count += strstr(line, "vfio-msi") && strstr(line, bdf);
	return count;
}

static char *kernel_log(void)
{
	int size = klogctl(KLOG_SIZE, NULL, 0);
	char *log = calloc(1, size + 1);

	if (!log || klogctl(KLOG_READ_ALL, log, size) < 0)
		bail_out("the kernel log cannot be read: %s", strerror(errno));
	return log;
}

int log_count(const char *text)
{
	char *log = kernel_log();
	int count = 0;

	for (const char *found = log; (found = strstr(found, text)); found += strlen(text))
		count++;
	free(log);
	return count;
}

int log_lines(void)
{
	return log_count("\n");
}

const char *log_complaint(void)
{
	static const char *const signs[] = {
		"WARNING:", "BUG:", "Oops", "Internal error", "Call trace:", "Unable to handle",
		"possible circular locking", "suspicious RCU", "UBSAN:", "KASAN:", "KCSAN:",
		"refcount_t:", "list_add corruption", "list_del corruption", "blocked for more than",
	};
	static char line[512];
	char *log = kernel_log();

	line[0] = '\0';
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]) && !line[0]; i++) {
		char *found = strstr(log, signs[i]);

		if (found)
			snprintf(line, sizeof(line), "%.*s", (int)strcspn(found, "\n"), found);
	}
	free(log);
	return line;
}

#define KMEMLEAK "/sys/kernel/debug/kmemleak"

bool leaks_are_tracked(void)
{
	return !access(KMEMLEAK, F_OK);
}

const char *leak_report(void)
{
	/* Documentation/dev-tools/kmemleak.rst: what is younger than 5 s is not reported */
	const struct timespec minimum_age = { .tv_sec = 6 };
	static char report[4096];

	nanosleep(&minimum_age, NULL);
	/* A pointer that moved while the first scan went on is found by the second one */
	for (int scan = 0; scan < 2; scan++) {
		if (file_write(KMEMLEAK, "scan", 4))
			bail_out("%s does not scan", KMEMLEAK);
	}
	return file_read(report, sizeof(report), KMEMLEAK);
}

int enter_user_namespace(void)
{
	if (unshare(CLONE_NEWUSER))
		return -errno;
	if (file_write("/proc/self/setgroups", "deny", 4) || file_write("/proc/self/uid_map", "0 0 1", 5) ||
	    file_write("/proc/self/gid_map", "0 0 1", 5) || geteuid() != 0)
		return -EIO;
	return 0;
}

int in_child(int (*function)(void *argument), void *argument)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(-function(argument));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		bail_out("a child process did not come back: %s", strerror(errno));
	return -WEXITSTATUS(status);
}
