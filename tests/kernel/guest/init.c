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
	{ "smmuv3", "feature, two groups", test_feature_two_groups },
	{ "smmuv3", "feature, group that comes later", test_feature_later_group },
	{ "smmuv3", "feature, hostile structs", test_feature_hostile },
	{ "smmuv3", "stress", test_stress },
	{ "identity", "identity default domain", test_identity_default_domain },
	{ "reserved", "reserved region", test_reserved_region },
	{ "reserved", "refused change of page tables", test_refused_change_keeps_regions },
	{ "reserved", "feature, reserved region", test_feature_reserved_region },
	{ "direct", "direct region", test_direct_region },
	{ "doorbells", "more doorbells than room", test_more_doorbells_than_room },
	{ "hardware-msi", "hardware MSI region", test_hardware_msi_region },
	{ "hardware-msi", "feature", test_feature_without_window },
	{ "selftests", "selftests", test_selftests },
};

static void bind_all(void)
{
	static const char *const functions[] = { EDU, OTHER_EDU, PAIR_FIRST, PAIR_SECOND };

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		if (!pci_present(functions[i]))
			bail_out("the machine has no device %s", functions[i]);
		if (pci_bind_vfio(functions[i]) || pci_group(functions[i]) < 0)
			bail_out("vfio-pci does not take %s", functions[i]);
	}
}

int main(void)
{
	char machine[32];
	int found = 0;

	machine_on();
	snprintf(machine, sizeof(machine), "%s", machine_option("doorbell.machine"));
	bind_all();
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(tests[i].machine, machine))
			continue;
		found++;
		check_topic(tests[i].topic);
		tests[i].run();
	}
	if (!found)
		bail_out("there are no tests for a machine called \"%s\"", machine);
	check_topic("kernel log");
	check_text(log_complaint(), "", "no warning, bug or lock report");
	if (leaks_are_tracked())
		check_text(leak_report(), "", "no memory leak");
	check_summary();
	machine_off();
}
