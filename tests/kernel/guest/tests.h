/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test cases. Each leaves the machine as it found it: no device in use and
 * every group's window where the IOMMU driver wants it.
 */
#ifndef TESTS_KERNEL_GUEST_TESTS_H
#define TESTS_KERNEL_GUEST_TESTS_H

/* The PCI functions that tests/kernel/run gives to the emulated host. */
#define EDU "0000:00:02.0"
#define OTHER_EDU "0000:00:03.0"
/* Two functions in one IOMMU group. */
#define PAIR_FIRST "0000:00:05.0"
#define PAIR_SECOND "0000:00:05.1"
/* On the machines of the matrix and the one with many doorbells. */
#define NVME "0000:00:04.0"

/*
 * Not a test: prints what a user finds where nobody has moved a window, one line
 * for each thing. tests/kernel/run compares that between two kernels.
 */
void tell_defaults(void);

/* On the machine for it: a function that can do only 32-bit MSI. */
#define NARROW "0001:00:00.0"

/* Every way, every kind of device, every way to place the window. */
void test_matrix(void);
/* Of these only the window that nobody moves: for any kernel. */
void test_matrix_untouched(void);

/*
 * For a kernel without the series: that it works, that it has nothing to move a
 * window with, and what the series repairs.
 */
void test_matrix_without_series(void);
void test_window_without_end(void);
void test_window_forgotten(void);

/* Nobody writes the attribute: everything is as on a kernel without it. */
void test_default_untouched(void);
/* The window is moved: all that follows from it moves too, and interrupts arrive. */
void test_window_moved(void);
void test_window_above_4g(void);

/* Each refusal of Documentation/ABI/testing/sysfs-kernel-iommu_groups. */
void test_refused_values(void);
void test_refused_writers(void);
void test_refused_while_owned(void);
void test_refused_without_devices(void);
void test_warned_about_host_bridge(void);
/* The kernel log has no line for them. */
void test_refused_quietly(void);

/*
 * Thousands of inputs, from root and from root of a user namespace, each answered
 * as an independent reading of the documents says.
 */
void test_hostile_strings(void);
void test_hostile_strings_reserved(void);
void test_hostile_structs(void);
void test_hostile_structs_without_window(void);

/* Every allocation fails, one at a time. */
void test_no_memory(void);

/* Writers, users and interrupts at once, for doorbell.stress= seconds. */
void test_stress(void);

/* A window is moved while a doorbell comes to be mapped in it, for doorbell.stress= seconds. */
void test_race(void);

/* How long a window lives, and for whom. */
void test_kept_across_rebinding(void);
void test_shared_by_group_members(void);

/* Groups with different windows in one IOVA space. */
void test_two_windows_type1(void);
void test_two_windows_iommufd(void);
void test_page_table_of_another_window(void);
void test_window_outlives_attachment(void);
void test_refused_change_keeps_regions(void);

/* VFIO_DEVICE_FEATURE_MSI_DOORBELL: the user of a device moves its window. */
void test_feature_type1(void);
void test_feature_iommufd(void);
void test_feature_group_compat(void);
void test_feature_refusals(void);
void test_feature_of_administrator(void);
void test_feature_two_functions(void);
void test_feature_enabled_sibling(void);
void test_feature_two_groups(void);
void test_feature_later_group(void);
void test_feature_reserved_region(void);

/* Not a test: prints how many instructions things take. */
void measure_cost(void);

/* Hosts with another IOMMU, or another use of it. */
void test_identity_default_domain(void);
void test_reserved_region(void);
void test_direct_region(void);
void test_more_doorbells_than_room(void);
void test_msi_of_32_bits(void);
void test_vectors_of_others(void);

/* Devices without a window, and without an IOMMU. */
void test_hardware_msi_region(void);
void test_emulated_device(void);
void test_no_iommu(void);

/* The tests of the interface that the series brings along for the kernel's own tree. */
void test_selftests(void);

#endif
