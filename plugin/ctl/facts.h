// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/ctl/options.h"

// What diag wants to know of a host beside sysfs, the daemon and its files.
namespace dp::ctl {

// Something that must be there.
struct Probe {
  std::string what;  // "the kubelet's socket"
  std::string path;
  std::string error;  // a clause; empty: it is as it should be

  friend bool operator==(const Probe&, const Probe&) = default;
};

struct Facts {
  std::string release;  // "6.12.117"
  std::string machine;  // "aarch64"
  std::string boot_id;
  bool is_root = false;
  std::vector<Probe> probes;

  friend bool operator==(const Facts&, const Facts&) = default;
};

// Of this host. What cannot be told is empty.
Facts ReadFacts(const Places& places);

nlohmann::ordered_json JsonOf(const Facts& facts);
// What is not there, or of another type, is taken for absent. InvalidArgument: it is no JSON.
absl::StatusOr<Facts> FactsFromJson(std::string_view text);

}  // namespace dp::ctl
