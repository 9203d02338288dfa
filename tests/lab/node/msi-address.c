// SPDX-License-Identifier: Apache-2.0
//
// msi-address BDF: where a device really sends its interrupts.
//
// VFIO shows a VMM the addresses that the VMM wrote; the device holds others. This reads the
// device itself: the MSI capability in its config space, or its MSI-X table through the BAR's
// resource file. One line for each vector in use:
//
//   msi 0 0x0000000008000040
//   msix 3 0x0000000009000040
//
// Nothing is printed while interrupts are off. Exit status 1 with a sentence on stderr if the
// device cannot be read.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// PCI Local Bus 3.0, 6.7 and 6.8.2.
enum {
	CONFIG_SIZE = 256,
	CAPABILITIES = 0x34,
	CAP_MSI = 0x05,
	CAP_MSIX = 0x11,
	MSI_ENABLE = 1 << 0,
	MSI_64BIT = 1 << 7,
	MSIX_SIZE_MASK = 0x7ff,
	MSIX_ENABLE = 1 << 15,
	MSIX_BIR_MASK = 0x7,
	MSIX_ENTRY_SIZE = 16,
	MSIX_ENTRY_MASKED = 1 << 0,
};

static uint8_t config[CONFIG_SIZE];

static uint16_t config16(unsigned int at)
{
	return config[at] | config[at + 1] << 8;
}

static uint32_t config32(unsigned int at)
{
	return config16(at) | (uint32_t)config16(at + 2) << 16;
}

static int open_file(const char *bdf, const char *name, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, name);
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0) {
		fprintf(stderr, "msi-address: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return fd;
}

static void read_config(const char *bdf)
{
	int fd = open_file(bdf, "config", O_RDONLY);

	// Without CAP_SYS_ADMIN the kernel shows only the first 64 bytes.
	if (read(fd, config, sizeof(config)) != sizeof(config)) {
		fprintf(stderr, "msi-address: config space of %s is cut short\n", bdf);
		exit(1);
	}
	close(fd);
}

static void print_msi(unsigned int cap)
{
	uint16_t control = config16(cap + 2);

	if (!(control & MSI_ENABLE))
		return;
	uint64_t high = control & MSI_64BIT ? config32(cap + 8) : 0;

	printf("msi 0 0x%016llx\n", (unsigned long long)(high << 32 | config32(cap + 4)));
}

static void print_msix(const char *bdf, unsigned int cap)
{
	uint16_t control = config16(cap + 2);

	if (!(control & MSIX_ENABLE))
		return;
	uint32_t place = config32(cap + 4);
	size_t vectors = (control & MSIX_SIZE_MASK) + 1;
	size_t offset = place & ~MSIX_BIR_MASK;
	size_t length = offset + vectors * MSIX_ENTRY_SIZE;
	char resource[16];

	snprintf(resource, sizeof(resource), "resource%u", place & MSIX_BIR_MASK);
	int fd = open_file(bdf, resource, O_RDWR);
	void *bar = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);

	if (bar == MAP_FAILED) {
		fprintf(stderr, "msi-address: mapping %s of %s: %s\n", resource, bdf, strerror(errno));
		exit(1);
	}
	// Address low, address high, data, vector control.
	const volatile uint32_t *entry = (const volatile uint32_t *)((char *)bar + offset);

	for (size_t i = 0; i < vectors; i++, entry += 4) {
		if (entry[3] & MSIX_ENTRY_MASKED)
			continue;
		printf("msix %zu 0x%08x%08x\n", i, entry[1], entry[0]);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: msi-address DDDD:BB:SS.F\n");
		return 2;
	}
	read_config(argv[1]);
	// The list ends with 0; a device that makes a ring of it gets 48 steps, as in the kernel.
	unsigned int cap = config[CAPABILITIES] & ~3u;

	for (int steps = 0; cap >= 0x40 && steps < 48; steps++, cap = config[cap + 1] & ~3u) {
		if (config[cap] == CAP_MSI)
			print_msi(cap);
		else if (config[cap] == CAP_MSIX)
			print_msix(argv[1], cap);
	}
	return 0;
}
