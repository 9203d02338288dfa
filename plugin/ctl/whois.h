// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plugin/core/inventory.h"
#include "plugin/ctl/answer.h"
#include "plugin/ctl/node.h"
#include "plugin/ctl/output.h"
#include "plugin/ctl/smmu_event.h"

namespace dp::ctl {

// What is to be said of one event.
struct Finding {
  SmmuEvent event;
  bool is_ours = false;  // it is about a window that somebody has, or had
  std::string sentence;
  std::vector<Device> devices;  // whose window it is
  std::string sender;           // the device that has sent it, with its group; empty: not known
};

// Whose the address is. Pure, and total.
Finding Examine(const SmmuEvent& event, const Node& node, const core::Inventory& host);

// `doorbellctl whois`. kExitNo: nothing in the text is about a window of ours.
Answer ShowWhois(std::string_view text, const Node& node, const core::Inventory& host,
                 const Style& style);

}  // namespace dp::ctl
