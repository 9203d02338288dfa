// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace dp::bench {

// How much is measured.
struct Effort {
  std::string disk = "/var/tmp";  // a folder that is not in memory
  std::uint32_t groups = 256;
  int starts = 5;
  int allocations = 2000;      // per start, after a warm-up of a tenth of it
  int disk_allocations = 200;  // with the ledger in `disk`, in a start of its own
  int list_updates = 20;       // per start
  int unbindings = 10;         // per start
  int restarts = 100;          // of the kubelet, in the first start
  int looks = 4;          // at the kubelet's pods, with devices reserved, in a start of its own
  int hooks = 200;        // calls of KubeVirt's node hook, in the same start, after a warm-up
  int idle_seconds = 20;  // in the first start
};

// The samples, in the order in which they were taken; what each figure means stands in
// docs/performance.md.
struct Samples {
  std::vector<double> exec_to_registered_ms;
  std::vector<double> exec_to_listed_ms;
  std::vector<double> allocate_p50_us;
  std::vector<double> allocate_p99_us;
  std::vector<double> disk_allocate_ms;
  std::vector<double> disk_sync_ms;
  std::vector<double> list_update_ms;
  std::vector<double> unbound_to_listed_ms;
  std::vector<double> restart_to_registered_ms;
  std::vector<double> look_cpu_ms;
  std::vector<double> give_back_cpu_ms;
  std::vector<double> node_hook_ms;
  std::vector<double> sigterm_to_exit_ms;
  std::vector<double> sockets_left;
  std::vector<double> anonymous_mib;
  std::vector<double> resident_mib;
  std::vector<double> idle_wakeups;
  // With a monitor beside the daemon, in starts of their own.
  std::vector<double> monitored_allocate_p99_us;
  std::vector<double> scraped_allocate_p99_us;
  std::vector<double> monitored_anonymous_mib;  // of both
  std::vector<double> monitor_anonymous_mib;    // of the monitor alone
};

// Starts `daemon` (the path of the program) as often as asked for, on a host with that many groups,
// and measures; `monitor` likewise, beside it. Any error: a program did not what it should, so that
// its figures are worth nothing.
absl::StatusOr<Samples> Measure(const std::string& daemon, const std::string& monitor,
                                const Effort& effort);

}  // namespace dp::bench
