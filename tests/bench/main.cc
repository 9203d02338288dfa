// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/bench/scenario.h"

// Measures the daemon and prints the samples as one JSON object. `make bench` runs it and makes a
// table of them; ctest runs it with --quick, so that it does not rot.
int main(int argc, char** argv) {
  CLI::App cli("Measures the daemon against a fake kubelet and a fake sysfs.", "bench");
  std::string daemon;
  std::string monitor;
  dp::bench::Effort effort;
  bool quick = false;
  cli.add_option("--daemon", daemon, "The program to measure.")
      ->required()
      ->check(CLI::ExistingFile);
  cli.add_option("--monitor", monitor, "The monitor, which is measured beside it.")
      ->required()
      ->check(CLI::ExistingFile);
  cli.add_option("--groups", effort.groups, "How many IOMMU groups the host has.")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  cli.add_option("--starts", effort.starts, "How often the daemon is started.")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  cli.add_option("--disk", effort.disk, "A folder on a disk, for the ledger.")
      ->check(CLI::ExistingDirectory)
      ->capture_default_str();
  cli.add_flag("--quick", quick, "Take a look at everything, and measure nothing worth a table.");
  CLI11_PARSE(cli, argc, argv);
  if (quick) {
    effort = {.disk = effort.disk,
              .groups = 8,
              .starts = 1,
              .allocations = 50,
              .disk_allocations = 5,
              .list_updates = 2,
              .unbindings = 2,
              .restarts = 3,
              .looks = 1,
              .hooks = 10,
              .idle_seconds = 1};
  }

  const auto measured = dp::bench::Measure(daemon, monitor, effort);
  if (!measured.ok()) {
    std::cerr << "bench: " << std::string(measured.status().message()) << '\n';
    return 1;
  }
  const dp::bench::Samples& samples = *measured;
  const nlohmann::ordered_json result = {
      {"groups", effort.groups},
      {"allocations", effort.allocations},
      {"idle_seconds", effort.idle_seconds},
      {"exec_to_registered_ms", samples.exec_to_registered_ms},
      {"exec_to_listed_ms", samples.exec_to_listed_ms},
      {"allocate_p50_us", samples.allocate_p50_us},
      {"allocate_p99_us", samples.allocate_p99_us},
      {"disk_allocate_ms", samples.disk_allocate_ms},
      {"disk_sync_ms", samples.disk_sync_ms},
      {"list_update_ms", samples.list_update_ms},
      {"unbound_to_listed_ms", samples.unbound_to_listed_ms},
      {"restart_to_registered_ms", samples.restart_to_registered_ms},
      {"look_cpu_ms", samples.look_cpu_ms},
      {"give_back_cpu_ms", samples.give_back_cpu_ms},
      {"node_hook_ms", samples.node_hook_ms},
      {"sigterm_to_exit_ms", samples.sigterm_to_exit_ms},
      {"sockets_left", samples.sockets_left},
      {"anonymous_mib", samples.anonymous_mib},
      {"resident_mib", samples.resident_mib},
      {"idle_wakeups", samples.idle_wakeups},
      {"monitored_allocate_p99_us", samples.monitored_allocate_p99_us},
      {"scraped_allocate_p99_us", samples.scraped_allocate_p99_us},
      {"monitored_anonymous_mib", samples.monitored_anonymous_mib},
      {"monitor_anonymous_mib", samples.monitor_anonymous_mib},
  };
  std::cout << result.dump(1) << '\n';
  return 0;
}
