/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user of VFIO devices, by each way there is. Functions return 0 (or a result)
 * or a negative errno.
 */
#ifndef TESTS_KERNEL_GUEST_VFIO_H
#define TESTS_KERNEL_GUEST_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The ways to hand a device to user space: groups in a type1 container, groups
 * with an iommufd in place of the container, device files with an iommufd.
 */
enum vfio_way { TYPE1, GROUP_COMPAT, CDEV, VFIO_WAYS };
extern const char *const vfio_way_names[];

/* A PCI function, or a mediated device, in the hands of a user; -1 for descriptors that are not open. */
struct vfio_device {
	const char *bdf;
	int fd;
	int group_fd;	/* but for CDEV */
	uint32_t id;	/* CDEV: iommufd's number for the device */
	uint32_t pt_id;	/* CDEV: the page table it is attached to */
};

/* One IOVA space with the devices in it. */
struct vfio_space {
	enum vfio_way way;
	int fd;		/* the container or the iommufd */
	uint32_t ioas;	/* CDEV */
};

/* An empty space. A type1 container has no page table before its first group. */
int space_open(struct vfio_space *space, enum vfio_way way);
/* Ends the space with everything mapped in it. Devices are closed before. */
void space_close(struct vfio_space *space);

/* Opens the function's group or device file and puts it into the space. */
int space_add(struct vfio_space *space, struct vfio_device *device, const char *bdf);
/* Another function of the group of FIRST, which is in the space and closed later. CDEV: it is bound, not attached. */
int space_add_member(struct vfio_space *space, struct vfio_device *first, struct vfio_device *device, const char *bdf);
/* The same, and attached. */
int space_add_sibling(struct vfio_space *space, struct vfio_device *first, struct vfio_device *device, const char *bdf);
void device_close(struct vfio_device *device);

/* One page of memory at IOVA. */
int space_map(struct vfio_space *space, uint64_t iova);
/* The page at MEMORY, which the caller has aligned. */
int space_map_page(struct vfio_space *space, uint64_t iova, void *memory);
int space_unmap(struct vfio_space *space, uint64_t iova);

/* The IOVA ranges a user may map, as "0-7ffffff 8100000-ffffffffffff". */
const char *space_ranges(struct vfio_space *space);

/* The steps of space_add() for CDEV, for tests that take them one by one. */
int cdev_bind(struct vfio_space *space, struct vfio_device *device, const char *bdf);
/* PT_ID is that of an IOAS or of a page table; replaces an earlier one. */
int cdev_attach(struct vfio_device *device, uint32_t pt_id);
int cdev_detach(struct vfio_device *device);
/* A page table of its own, as nested or dirty-tracking users make it. */
int iommufd_page_table(struct vfio_space *space, struct vfio_device *device, uint32_t *pt_id);
int iommufd_destroy(struct vfio_space *space, uint32_t id);
/* Another IOAS in the same iommufd. */
int iommufd_ioas(struct vfio_space *space, uint32_t *ioas);

/* Opens a group file and puts it into a container, as far as VFIO lets us. */
int group_open(int group);

/* One MSI vector, to an eventfd that is returned. */
int msi_enable(struct vfio_device *device);
int msi_disable(struct vfio_device *device);
/* COUNT MSI vectors, as by msix_enable(). */
int msi_enable_many(struct vfio_device *device, uint32_t count);
/* The line interrupt, to an eventfd that nobody reads. */
int intx_enable(struct vfio_device *device);
int intx_disable(struct vfio_device *device);
/*
 * COUNT MSI-X vectors, all to one eventfd that nobody reads. A positive result
 * is VFIO's "only so many", and then none is enabled.
 */
int msix_enable(struct vfio_device *device, uint32_t count);
/* The first MSI-X vector, to an eventfd that is returned. */
int msix_enable_first(struct vfio_device *device);
int msix_disable(struct vfio_device *device);
/* Lets the device answer and do DMA, and maps its BAR 0; NULL if that fails. */
void *device_registers(struct vfio_device *device, size_t *size);
/* Whether the eventfd is written once, before a deadline. */
bool eventfd_fires(int eventfd);
/* REGISTERS are those of QEMU's "edu" device, by device_registers(). */
void edu_raise_interrupt(volatile uint32_t *registers);
/*
 * Makes QEMU's "edu" device raise its interrupt, and waits for the eventfd. The
 * write goes through the IOMMU, so it arrives only if the doorbell is mapped at
 * the address the device was given.
 */
bool edu_interrupt_arrives(struct vfio_device *device, int eventfd);

/*
 * VFIO_DEVICE_FEATURE_MSI_DOORBELL. OPERATIONS and FLAGS are VFIO_DEVICE_FEATURE_
 * GET, SET and PROBE.
 */
struct vfio_device_feature_msi_doorbell;
int doorbell_probe(struct vfio_device *device, uint32_t operations);
int doorbell_get(struct vfio_device *device, struct vfio_device_feature_msi_doorbell *doorbell);
int doorbell_set(struct vfio_device *device, uint64_t iova, uint64_t size);
/* The same with every part of the argument in the caller's hands. */
int doorbell_call(struct vfio_device *device, uint32_t argsz, uint32_t flags,
		  struct vfio_device_feature_msi_doorbell *doorbell);

#endif
