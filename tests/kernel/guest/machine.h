/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The emulated host as the tests see it: sysfs files, PCI devices, the kernel
 * log. Functions that can fail return 0 (or a result) or a negative errno.
 */
#ifndef TESTS_KERNEL_GUEST_MACHINE_H
#define TESTS_KERNEL_GUEST_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Mounts what the tests read, and keeps the kernel's chatter off the console. */
void machine_on(void);
void machine_off(void) __attribute__((noreturn));

/* The value of NAME=VALUE on the kernel's command line, "" if it is not there. */
const char *machine_option(const char *name);

/* A whole file as text, without the newline at its end; "<ENOENT>" and the like if it cannot be read. */
const char *file_read(char *buffer, size_t size, const char *path_format, ...)
	__attribute__((format(printf, 3, 4)));
int file_write(const char *path, const void *bytes, size_t length);

/* The PCI function is given to vfio-pci; its IOMMU group appears with the first driver. */
int pci_bind_vfio(const char *bdf);
int pci_unbind(const char *bdf);
/* Takes the function off the bus; pci_rescan() finds it again, as a new device. */
int pci_remove(const char *bdf);
int pci_rescan(void);
bool pci_present(const char *bdf);
/* The number of the IOMMU group of a PCI function or a mediated device. */
int device_group(const char *name);
/* A file of it in sysfs. */
void device_path(char *path, size_t size, const char *name, const char *file);
/* The flags of the function's MSI capability, read like its address. */
uint16_t pci_msi_flags(const char *bdf);
/*
 * The address in the function's MSI capability, read past VFIO, which shows its
 * users a capability of its own making.
 */
uint64_t pci_msi_address(const char *bdf);
/* The address in an entry, from 0 on, of the function's MSI-X table, which must be enabled. */
uint64_t pci_msix_address(const char *bdf, unsigned int number);

/* How many MSI and MSI-X vectors the kernel has for VFIO's user of the function. */
int msi_vectors(const char *bdf);

/* The attributes of an IOMMU group. */
#define DEFAULT_WINDOW "0x8000000 0x100000"
int knob_write(int group, const char *text);
int knob_write_bytes(int group, const void *bytes, size_t length);
const char *knob_read(int group);
const char *reserved_regions(int group);

/* Whether the kernel is MAJOR.MINOR or newer. */
bool kernel_is_since(unsigned int major, unsigned int minor);
/* How often the kernel has said TEXT, and how many lines in all, since the machine was started. */
int log_count(const char *text);
int log_lines(void);
/* The first line in which the kernel complains about itself, "" if there is none. */
const char *log_complaint(void);

/* Whether the kernel looks for memory that nobody can free any more (kernel/build --debug). */
bool leaks_are_tracked(void);
/* Where such memory was allocated, "" if there is none. Takes some seconds. */
const char *leak_report(void);

/* Makes this process root of a user namespace of its own, which keeps the user it was. */
int enter_user_namespace(void);

/* Runs FUNCTION in a child, which may give up rights; passes its result on. */
int in_child(int (*function)(void *argument), void *argument);

#endif
