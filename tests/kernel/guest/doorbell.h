/* SPDX-License-Identifier: Apache-2.0 */
/* VFIO_DEVICE_FEATURE_MSI_DOORBELL's argument, for the tests that build it themselves. */
#ifndef TESTS_KERNEL_GUEST_DOORBELL_H
#define TESTS_KERNEL_GUEST_DOORBELL_H

#include <linux/vfio.h>

enum {
	GET = VFIO_DEVICE_FEATURE_GET,
	SET = VFIO_DEVICE_FEATURE_SET,
	PROBE = VFIO_DEVICE_FEATURE_PROBE,
	HEADER = sizeof(struct vfio_device_feature),
	ARGSZ = HEADER + sizeof(struct vfio_device_feature_msi_doorbell),
};

#endif
