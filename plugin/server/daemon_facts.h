// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dp::server {

// What the kubelet has of a resource.
struct ResourceFacts {
  std::string name;
  bool watched = false;
  std::string failure;                // why it is not registered; empty: nothing has failed
  std::int64_t watched_since_ms = 0;  // since the Unix epoch, as all times here
  std::int64_t list_sent_ms = 0;      // when the kubelet has taken a list last
  std::uint64_t registrations = 0;
  bool observe = false;
  bool cdi = false;
  bool iommufd = false;
};

// What only the composition root knows.
struct DaemonFacts {
  std::string version;
  std::string boot_id;
  std::int64_t started_ms = 0;
  std::string config_file;
  std::uint64_t config_generation = 0;
  std::string config_hash;
  std::string config_error;  // of the newer file that is refused; empty: none is
  std::uint64_t kubelet_restarts = 0;
  std::vector<ResourceFacts> resources;  // that are served
};

}  // namespace dp::server
