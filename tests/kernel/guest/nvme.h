/* SPDX-License-Identifier: Apache-2.0 */
/* As much of an NVMe controller as it takes to have it interrupt. */
#ifndef TESTS_KERNEL_GUEST_NVME_H
#define TESTS_KERNEL_GUEST_NVME_H

#include <stdbool.h>

#include "vfio.h"

/*
 * Starts the controller, gives it a command and waits for the interrupt of its
 * completion, on the eventfd of its first MSI-X vector. Queues, completion and
 * interrupt all go through the IOMMU.
 */
bool nvme_interrupt_arrives(struct vfio_space *space, struct vfio_device *device, int eventfd);

#endif
