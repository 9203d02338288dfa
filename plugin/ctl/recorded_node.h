// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "plugin/core/config.h"
#include "plugin/core/inventory.h"
#include "plugin/core/ledger.h"
#include "plugin/ctl/node.h"

namespace dp::ctl {

// What is on record without a daemon.
struct Records {
  std::optional<core::Ledger> ledger;  // empty: not readable
  std::optional<core::Config> config;  // empty: not readable
  core::Inventory host;
  std::string boot_id;  // of the host
};

// How things stand by the records alone. Devices are those that the configuration selects, those
// that the ledger has, and those of groups whose window is not the default one. A group of a ledger
// of another boot is found by its device. Pure.
Node NodeFrom(const Records& records);

// Enters what the kernel says into each device.
void AddKernel(const core::Inventory& host, Node& node);

}  // namespace dp::ctl
