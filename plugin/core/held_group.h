// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "plugin/core/ledger.h"
#include "plugin/core/window.h"

namespace dp::core {

// One group of what a pod has: what the record says, and what the kernel says at this moment.
struct HeldGroup {
  PodName pod;
  std::string resource;
  std::string device;              // ID of the advertised Device
  std::optional<Window> reserved;  // empty: it is observed only
  std::optional<Window> window;    // in force; empty: the group has no software window
  std::string grace;               // the function that is a Grace GPU (core/grace.h); empty: none
  std::string error;               // why the group cannot be read; empty: it can
};

using IsPod = std::function<bool(const PodName& pod)>;

}  // namespace dp::core
