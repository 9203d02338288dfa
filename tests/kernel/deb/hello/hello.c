// SPDX-License-Identifier: GPL-2.0-only
/* A module outside the kernel's tree, built against linux-headers and one of the headers that the series changes. */
#include <linux/module.h>
#include <generated/utsrelease.h>
#include <uapi/linux/vfio.h>

static int __init hello_init(void)
{
	pr_info("hello: built for %s, which has feature %#x\n", UTS_RELEASE, VFIO_DEVICE_FEATURE_MSI_DOORBELL);
	return 0;
}

static void __exit hello_exit(void)
{
}

module_init(hello_init);
module_exit(hello_exit);
MODULE_DESCRIPTION("Built outside the kernel's tree");
MODULE_LICENSE("GPL");
