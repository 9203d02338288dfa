// SPDX-License-Identifier: GPL-2.0-only
/* What a VMM needs of linux-libc-dev to know its window. */
#include <linux/vfio.h>

int number = VFIO_DEVICE_FEATURE_MSI_DOORBELL;
struct vfio_device_feature_msi_doorbell window;
