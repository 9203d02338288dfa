// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/node.h"

namespace dp::ctl {

std::string_view NameOf(State state) {
  switch (state) {
    case State::kFree:
      return "free";
    case State::kAllocated:
      return "allocated";
    case State::kStarted:
      return "started";
    case State::kUnhealthy:
      return "unhealthy";
    case State::kUnknown:
      break;
  }
  return "unknown";
}

bool Differs(const Device& device) {
  const KernelWindow& kernel = device.kernel;
  if (!kernel.is_read) return false;
  if (device.window) return kernel.window != device.window;
  return device.observe.empty() && kernel.window && *kernel.window != core::kFixedWindow;
}

}  // namespace dp::ctl
