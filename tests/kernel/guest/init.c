// SPDX-License-Identifier: Apache-2.0
/*
 * PID 1 of the emulated host: runs the test cases of the machine it finds itself
 * on (doorbell.machine= on the kernel's command line) and switches it off.
 */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "machine.h"
#include "tests.h"

struct test {
	const char *machine, *topic;
	void (*run)(void);
};

/* On a kernel with the series. */
static const struct test tests[] = {
	{ "smmuv3", "matrix", test_matrix },
	{ "gicv2m", "matrix", test_matrix },
	{ "smmuv3", "default untouched", test_default_untouched },
	{ "smmuv3", "window moved", test_window_moved },
	{ "smmuv3", "window above 4 GiB", test_window_above_4g },
	{ "smmuv3", "refused values", test_refused_values },
	{ "smmuv3", "refused writers", test_refused_writers },
	{ "smmuv3", "refused while owned", test_refused_while_owned },
	{ "smmuv3", "refused without devices", test_refused_without_devices },
	{ "smmuv3", "host bridge window", test_warned_about_host_bridge },
	{ "smmuv3", "refused quietly", test_refused_quietly },
	{ "smmuv3", "hostile strings", test_hostile_strings },
	{ "smmuv3", "rebinding", test_kept_across_rebinding },
	{ "smmuv3", "group of two functions", test_shared_by_group_members },
	{ "smmuv3", "two windows, type1", test_two_windows_type1 },
	{ "smmuv3", "two windows, iommufd", test_two_windows_iommufd },
	{ "smmuv3", "page table of another window", test_page_table_of_another_window },
	{ "smmuv3", "page table without devices", test_window_outlives_attachment },
	{ "smmuv3", "feature, type1", test_feature_type1 },
	{ "smmuv3", "feature, iommufd", test_feature_iommufd },
	{ "smmuv3", "feature, iommufd by group", test_feature_group_compat },
	{ "smmuv3", "feature, refusals", test_feature_refusals },
	{ "smmuv3", "feature and administrator", test_feature_of_administrator },
	{ "smmuv3", "feature, group of two functions", test_feature_two_functions },
	{ "smmuv3", "feature, interrupts of the other function", test_feature_enabled_sibling },
	{ "smmuv3", "feature, two groups", test_feature_two_groups },
	{ "smmuv3", "feature, group that comes later", test_feature_later_group },
	{ "smmuv3", "hostile structs", test_hostile_structs },
	{ "smmuv3", "no memory", test_no_memory },
	{ "smmuv3", "feature, race", test_race },
	{ "smmuv3", "stress", test_stress },
	{ "identity", "identity default domain", test_identity_default_domain },
	{ "reserved", "reserved region", test_reserved_region },
	{ "reserved", "refused change of page tables", test_refused_change_keeps_regions },
	{ "reserved", "feature, reserved region", test_feature_reserved_region },
	{ "reserved", "hostile strings", test_hostile_strings_reserved },
	{ "direct", "direct region", test_direct_region },
	{ "doorbells", "more doorbells than room", test_more_doorbells_than_room },
	{ "hardware-msi", "hardware MSI region", test_hardware_msi_region },
	{ "hardware-msi", "hostile structs", test_hostile_structs_without_window },
	{ "smmuv3", "emulated device", test_emulated_device },
	{ "no-iommu", "no IOMMU", test_no_iommu },
	{ "msi-32-bit", "32-bit MSI", test_msi_of_32_bits },
	{ "shared-frame", "vectors of others", test_vectors_of_others },
	{ "cost", "cost", measure_cost },
	{ "selftests", "selftests", test_selftests },
};

/* On one without it (doorbell.series=0). */
static const struct test tests_without_series[] = {
	{ "smmuv3", "matrix", test_matrix_without_series },
	{ "gicv2m", "matrix", test_matrix_without_series },
	{ "smmuv3", "default untouched", test_default_untouched },
	{ "smmuv3", "page table without devices", test_window_forgotten },
	{ "doorbells", "more doorbells than room", test_window_without_end },
	{ "cost", "cost", measure_cost },
};

/* On one with some of its patches (doorbell.series=part). */
static const struct test tests_of_any_part[] = {
	{ "smmuv3", "matrix", test_matrix_untouched },
	{ "gicv2m", "matrix", test_matrix_untouched },
	{ "smmuv3", "default untouched", test_default_untouched },
};

static void bind(const char *bdf)
{
	if (pci_bind_vfio(bdf) || device_group(bdf) < 0)
		bail_out("vfio-pci does not take %s", bdf);
}

static void bind_all(void)
{
	static const char *const functions[] = { EDU, OTHER_EDU, PAIR_FIRST, PAIR_SECOND };

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		if (!pci_present(functions[i]))
			bail_out("the machine has no device %s", functions[i]);
		bind(functions[i]);
	}
	if (pci_present(NVME))
		bind(NVME);
	if (pci_present(NARROW))
		bind(NARROW);
}

static int run_tests(const char *machine, const struct test *first, const struct test *end)
{
	int found = 0;

	for (const struct test *test = first; test < end; test++) {
		if (strcmp(test->machine, machine))
			continue;
		found++;
		check_topic(test->topic);
		test->run();
	}
	return found;
}

#define END(array) (array + sizeof(array) / sizeof(array[0]))

int main(void)
{
	char machine[32], series[8];

	machine_on();
	snprintf(series, sizeof(series), "%s", machine_option("doorbell.series"));
	snprintf(machine, sizeof(machine), "%s", machine_option("doorbell.machine"));
	bind_all();
	tell_defaults();
	if (!strcmp(series, "0"))
		run_tests(machine, tests_without_series, END(tests_without_series));
	else if (!strcmp(series, "part"))
		run_tests(machine, tests_of_any_part, END(tests_of_any_part));
	else if (!run_tests(machine, tests, END(tests)))
		bail_out("there are no tests for a machine called \"%s\"", machine);
	check_topic("kernel log");
	check_text(log_complaint(), "", "no warning, bug or lock report");
	if (leaks_are_tracked())
		check_text(leak_report(), "", "no memory leak");
	check_summary();
	machine_off();
}
