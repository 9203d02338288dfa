// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/core/config.h"
#include "plugin/core/window.h"

namespace dp::core {

// What a container is told about the doorbells of its devices; api/settings/v1.schema.json is the
// same as JSON.
struct Settings {
  struct Group {
    std::string device;                  // ID of the advertised Device
    std::uint32_t number = 0;            // of the IOMMU group, in this boot
    std::vector<std::string> functions;  // all members but bridges, lowest first
    std::optional<Window> window;        // in force; empty: the group has no software window
  };

  std::string resource;
  // Of the ledger that has the allocation so. Of two documents for the same devices the later one
  // has the greater or the same.
  std::uint64_t generation = 0;
  Mode mode = Mode::kEnforce;
  std::string mode_reason;       // why nothing was reserved; empty in enforce mode
  std::optional<Window> window;  // of all groups alike; empty: none, or they differ
  std::uint64_t page_size = 0;   // bytes; a doorbell takes one page of the window
  std::vector<Group> groups;     // in order of `device`

  // Not in settings.json: the container's device nodes, whose path in it is that on the host.
  std::vector<std::string> device_nodes = {};
  // Whether the container runtime puts them into the container, from a CDI specification that it
  // reads when it makes the container. Else they are in the answer to Allocate.
  bool cdi = false;
};

// "enforce" or "observe".
constexpr std::string_view ModeName(Mode mode) {
  return mode == Mode::kEnforce ? "enforce" : "observe";
}

}  // namespace dp::core
