// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "vfio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/iommufd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"

/* On an idle machine an interrupt takes a millisecond. */
enum { INTERRUPT_DEADLINE_MS = 10000 };

/* "edu" of QEMU: a write here raises the interrupt. */
enum { EDU_RAISE_INTERRUPT = 0x60 };

const char *const vfio_way_names[] = {
	[TYPE1] = "type1",
	[GROUP_COMPAT] = "iommufd by group",
	[CDEV] = "iommufd",
};

static char page[4096] __attribute__((aligned(4096)));

static int call(int fd, unsigned long request, void *argument)
{
	int result = ioctl(fd, request, argument);

	return result < 0 ? -errno : result;
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int iommufd_ioas(struct vfio_space *space, uint32_t *ioas)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	int result = call(space->fd, IOMMU_IOAS_ALLOC, &alloc);

	*ioas = alloc.out_ioas_id;
	return result;
}

int space_open(struct vfio_space *space, enum vfio_way way)
{
	*space = (struct vfio_space){ .way = way };
	space->fd = open_file(way == TYPE1 ? "/dev/vfio/vfio" : "/dev/iommu");
	if (space->fd < 0 || way != CDEV)
		return space->fd;
	return iommufd_ioas(space, &space->ioas);
}

void space_close(struct vfio_space *space)
{
	close(space->fd);
	space->fd = -1;
}

/* VFIO gives the groups that it makes for devices without an IOMMU another name. */
static bool is_without_iommu(int group)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", group);
	return !access(path, F_OK);
}

int group_open(int group)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/dev/vfio/%s%d", is_without_iommu(group) ? "noiommu-" : "", group);
	return open_file(path);
}

static int group_add(struct vfio_space *space, struct vfio_device *device)
{
	int group = device_group(device->bdf);
	int type = is_without_iommu(group) ? VFIO_NOIOMMU_IOMMU : VFIO_TYPE1v2_IOMMU;
	int result;

	device->group_fd = group_open(group);
	if (device->group_fd < 0)
		return device->group_fd;
	result = call(device->group_fd, VFIO_GROUP_SET_CONTAINER, &space->fd);
	if (result < 0)
		return result;
	/* Only the first group chooses; for others the container has one already. */
	if (ioctl(space->fd, VFIO_SET_IOMMU, type) && errno != EINVAL)
		return -errno;
	device->fd = call(device->group_fd, VFIO_GROUP_GET_DEVICE_FD, (void *)device->bdf);
	return device->fd;
}

static int open_cdev(const char *bdf)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *directory;
	int fd = -ENODEV;

	device_path(path, sizeof(path), bdf, "vfio-dev");
	directory = opendir(path);
	if (!directory)
		return -errno;
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
		fd = open_file(path);
	}
	closedir(directory);
	return fd;
}

int cdev_bind(struct vfio_space *space, struct vfio_device *device, const char *bdf)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = space->fd };
	int result;

	*device = (struct vfio_device){ .bdf = bdf, .fd = open_cdev(bdf), .group_fd = -1 };
	if (device->fd < 0)
		return device->fd;
	result = call(device->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);
	device->id = bind.out_devid;
	return result;
}

int cdev_attach(struct vfio_device *device, uint32_t pt_id)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach), .pt_id = pt_id };
	int result = call(device->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);

	if (!result)
		device->pt_id = attach.pt_id;
	return result;
}

int cdev_detach(struct vfio_device *device)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };

	return call(device->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
}

int iommufd_page_table(struct vfio_space *space, struct vfio_device *device, uint32_t *pt_id)
{
	struct iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.dev_id = device->id,
		.pt_id = space->ioas,
	};
	int result = call(space->fd, IOMMU_HWPT_ALLOC, &alloc);

	*pt_id = alloc.out_hwpt_id;
	return result;
}

int iommufd_destroy(struct vfio_space *space, uint32_t id)
{
	struct iommu_destroy destroy = { .size = sizeof(destroy), .id = id };

	return call(space->fd, IOMMU_DESTROY, &destroy);
}

int space_add(struct vfio_space *space, struct vfio_device *device, const char *bdf)
{
	int result;

	*device = (struct vfio_device){ .bdf = bdf, .fd = -1, .group_fd = -1 };
	if (space->way != CDEV)
		return group_add(space, device);
	result = cdev_bind(space, device, bdf);
	return result < 0 ? result : cdev_attach(device, space->ioas);
}

int space_add_member(struct vfio_space *space, struct vfio_device *first, struct vfio_device *device, const char *bdf)
{
	if (space->way == CDEV)
		return cdev_bind(space, device, bdf);
	/* A group file can be open only once. */
	*device = (struct vfio_device){ .bdf = bdf, .group_fd = -1 };
	device->fd = call(first->group_fd, VFIO_GROUP_GET_DEVICE_FD, (void *)bdf);
	return device->fd;
}

int space_add_sibling(struct vfio_space *space, struct vfio_device *first, struct vfio_device *device, const char *bdf)
{
	int result = space_add_member(space, first, device, bdf);

	return result < 0 || space->way != CDEV ? result : cdev_attach(device, space->ioas);
}

void device_close(struct vfio_device *device)
{
	if (device->fd >= 0)
		close(device->fd);
	if (device->group_fd >= 0) {
		ioctl(device->group_fd, VFIO_GROUP_UNSET_CONTAINER);
		close(device->group_fd);
	}
	device->fd = device->group_fd = -1;
}

int space_map(struct vfio_space *space, uint64_t iova)
{
	return space_map_page(space, iova, page);
}

int space_map_page(struct vfio_space *space, uint64_t iova, void *memory)
{
	struct vfio_iommu_type1_dma_map type1 = {
		.argsz = sizeof(type1),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = sizeof(page),
	};
	struct iommu_ioas_map iommufd = {
		.size = sizeof(iommufd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = space->ioas,
		.user_va = (uintptr_t)memory,
		.length = sizeof(page),
		.iova = iova,
	};

	if (space->way != CDEV)
		return call(space->fd, VFIO_IOMMU_MAP_DMA, &type1);
	return call(space->fd, IOMMU_IOAS_MAP, &iommufd);
}

int space_unmap(struct vfio_space *space, uint64_t iova)
{
	struct vfio_iommu_type1_dma_unmap type1 = {
		.argsz = sizeof(type1),
		.iova = iova,
		.size = sizeof(page),
	};
	struct iommu_ioas_unmap iommufd = {
		.size = sizeof(iommufd),
		.ioas_id = space->ioas,
		.iova = iova,
		.length = sizeof(page),
	};

	if (space->way != CDEV)
		return call(space->fd, VFIO_IOMMU_UNMAP_DMA, &type1);
	return call(space->fd, IOMMU_IOAS_UNMAP, &iommufd);
}

struct ranges {
	char text[1024];
};

static void add_range(struct ranges *ranges, uint64_t first, uint64_t last)
{
	size_t used = strlen(ranges->text);

	snprintf(ranges->text + used, sizeof(ranges->text) - used, "%s%llx-%llx", used ? " " : "",
		 (unsigned long long)first, (unsigned long long)last);
}

static void type1_ranges(struct vfio_space *space, struct ranges *ranges)
{
	union {
		struct vfio_iommu_type1_info info;
		char bytes[4096];
	} reply = { .info = { .argsz = sizeof(reply) } };
	struct vfio_info_cap_header *cap;

	if (call(space->fd, VFIO_IOMMU_GET_INFO, &reply.info) < 0 ||
	    !(reply.info.flags & VFIO_IOMMU_INFO_CAPS))
		return;
	for (uint32_t offset = reply.info.cap_offset; offset; offset = cap->next) {
		struct vfio_iommu_type1_info_cap_iova_range *found;

		cap = (struct vfio_info_cap_header *)(reply.bytes + offset);
		if (cap->id != VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			continue;
		found = (struct vfio_iommu_type1_info_cap_iova_range *)cap;
		for (uint32_t i = 0; i < found->nr_iovas; i++)
			add_range(ranges, found->iova_ranges[i].start, found->iova_ranges[i].end);
	}
}

static void iommufd_ranges(struct vfio_space *space, struct ranges *ranges)
{
	struct iommu_iova_range found[32];
	struct iommu_ioas_iova_ranges query = {
		.size = sizeof(query),
		.ioas_id = space->ioas,
		.num_iovas = sizeof(found) / sizeof(found[0]),
		.allowed_iovas = (uintptr_t)found,
	};

	if (call(space->fd, IOMMU_IOAS_IOVA_RANGES, &query) < 0)
		return;
	for (uint32_t i = 0; i < query.num_iovas; i++)
		add_range(ranges, found[i].start, found[i].last);
}

const char *space_ranges(struct vfio_space *space)
{
	static struct ranges ranges;

	ranges.text[0] = '\0';
	if (space->way != CDEV)
		type1_ranges(space, &ranges);
	else
		iommufd_ranges(space, &ranges);
	return ranges.text;
}

static int enable_vectors(struct vfio_device *device, uint32_t index, uint32_t count, int eventfd)
{
	size_t size = sizeof(struct vfio_irq_set) + count * sizeof(eventfd);
	struct vfio_irq_set *set = calloc(1, size);
	int result;

	set->argsz = size;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = index;
	set->count = count;
	for (uint32_t i = 0; i < count; i++)
		memcpy(set->data + i * sizeof(eventfd), &eventfd, sizeof(eventfd));
	result = call(device->fd, VFIO_DEVICE_SET_IRQS, set);
	free(set);
	return result;
}

static int disable_vectors(struct vfio_device *device, uint32_t index)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
	};

	return call(device->fd, VFIO_DEVICE_SET_IRQS, &set);
}

static int enable_first_vector(struct vfio_device *device, uint32_t index)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int result = enable_vectors(device, index, 1, fd);

	if (!result)
		return fd;
	close(fd);
	return result > 0 ? -ENOSPC : result;
}

int msi_enable(struct vfio_device *device)
{
	return enable_first_vector(device, VFIO_PCI_MSI_IRQ_INDEX);
}

int msix_enable_first(struct vfio_device *device)
{
	return enable_first_vector(device, VFIO_PCI_MSIX_IRQ_INDEX);
}

int msi_disable(struct vfio_device *device)
{
	return disable_vectors(device, VFIO_PCI_MSI_IRQ_INDEX);
}

int msi_enable_many(struct vfio_device *device, uint32_t count)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int result = enable_vectors(device, VFIO_PCI_MSI_IRQ_INDEX, count, fd);

	close(fd);
	return result;
}

int intx_enable(struct vfio_device *device)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int result = enable_vectors(device, VFIO_PCI_INTX_IRQ_INDEX, 1, fd);

	close(fd);
	return result;
}

int intx_disable(struct vfio_device *device)
{
	return disable_vectors(device, VFIO_PCI_INTX_IRQ_INDEX);
}

int msix_enable(struct vfio_device *device, uint32_t count)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int result = enable_vectors(device, VFIO_PCI_MSIX_IRQ_INDEX, count, fd);

	/* VFIO holds the eventfd for as long as the vectors are enabled. */
	close(fd);
	return result;
}

int msix_disable(struct vfio_device *device)
{
	return disable_vectors(device, VFIO_PCI_MSIX_IRQ_INDEX);
}

/* The device may answer on its BAR and write to memory only with this set. */
static int enable_memory_and_dma(struct vfio_device *device)
{
	struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t command;
	int result = call(device->fd, VFIO_DEVICE_GET_REGION_INFO, &config);

	if (result < 0)
		return result;
	if (pread(device->fd, &command, sizeof(command), config.offset + PCI_COMMAND) < 0)
		return -errno;
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(device->fd, &command, sizeof(command), config.offset + PCI_COMMAND) < 0)
		return -errno;
	return 0;
}

void *device_registers(struct vfio_device *device, size_t *size)
{
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };
	void *registers;

	if (enable_memory_and_dma(device) < 0 || call(device->fd, VFIO_DEVICE_GET_REGION_INFO, &bar) < 0)
		return NULL;
	registers = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device->fd, bar.offset);
	*size = bar.size;
	return registers == MAP_FAILED ? NULL : registers;
}

bool eventfd_fires(int eventfd)
{
	struct pollfd waiting = { .fd = eventfd, .events = POLLIN };
	uint64_t count;

	return poll(&waiting, 1, INTERRUPT_DEADLINE_MS) == 1 &&
	       read(eventfd, &count, sizeof(count)) == sizeof(count) && count == 1;
}

void edu_raise_interrupt(volatile uint32_t *registers)
{
	registers[EDU_RAISE_INTERRUPT / sizeof(*registers)] = 1;
}

bool edu_interrupt_arrives(struct vfio_device *device, int eventfd)
{
	volatile uint32_t *registers;
	size_t size;

	registers = device_registers(device, &size);
	if (!registers)
		return false;
	edu_raise_interrupt(registers);
	munmap((void *)registers, size);
	return eventfd_fires(eventfd);
}

int doorbell_call(struct vfio_device *device, uint32_t argsz, uint32_t flags,
		  struct vfio_device_feature_msi_doorbell *doorbell)
{
	struct {
		struct vfio_device_feature header;
		struct vfio_device_feature_msi_doorbell doorbell;
	} argument = {
		.header = { .argsz = argsz, .flags = flags | VFIO_DEVICE_FEATURE_MSI_DOORBELL },
		.doorbell = *doorbell,
	};
	int result = call(device->fd, VFIO_DEVICE_FEATURE, &argument);

	*doorbell = argument.doorbell;
	return result;
}

enum { DOORBELL_ARGSZ = sizeof(struct vfio_device_feature) + sizeof(struct vfio_device_feature_msi_doorbell) };

int doorbell_probe(struct vfio_device *device, uint32_t operations)
{
	struct vfio_device_feature_msi_doorbell unused = {};

	/* PROBE needs no data. */
	return doorbell_call(device, sizeof(struct vfio_device_feature), operations | VFIO_DEVICE_FEATURE_PROBE, &unused);
}

int doorbell_get(struct vfio_device *device, struct vfio_device_feature_msi_doorbell *doorbell)
{
	memset(doorbell, 0xff, sizeof(*doorbell));
	return doorbell_call(device, DOORBELL_ARGSZ, VFIO_DEVICE_FEATURE_GET, doorbell);
}

int doorbell_set(struct vfio_device *device, uint64_t iova, uint64_t size)
{
	struct vfio_device_feature_msi_doorbell doorbell = { .iova = iova, .size = size };

	return doorbell_call(device, DOORBELL_ARGSZ, VFIO_DEVICE_FEATURE_SET, &doorbell);
}
