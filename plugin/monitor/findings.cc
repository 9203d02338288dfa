// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "plugin/base/reason.h"

namespace dp::monitor {
namespace {

namespace v1 = ::vfio_doorbell::admin::v1;

// "a, b, c and 4 more"
std::string Some(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 3;
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kShown));
  std::string text = fmt::format("{}", fmt::join(names.begin(), end, ", "));
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

// What a pod that has the device would find: it is not as it was given out, or its window is not in
// force. That its pod's name is not known, or that a request made no sense, is no such thing.
bool IsOfTheDevice(std::string_view reason) {
  using base::Reason;
  static constexpr std::array kReasons = {
      // It could not be offered as it is now.
      Reason::kNoDriver,
      Reason::kForeignDriver,
      Reason::kForeignSibling,
      Reason::kGraceWindowMoved,
      Reason::kNoIommufd,
      Reason::kNoDeviceNode,
      Reason::kDriverChanging,
      Reason::kDriverBlocks,
      Reason::kDeviceGone,
      // It was refused.
      Reason::kDeviceNotReady,
      Reason::kGroupChanged,
      Reason::kGroupBusy,
      Reason::kWindowNotSet,
      Reason::kLedgerNotWritten,
      Reason::kSettingsNotWritten,
  };
  return std::any_of(kReasons.begin(), kReasons.end(),
                     [reason](Reason one) { return base::WordOf(one) == reason; });
}

// A failure from before the device came into its state is over.
bool LastCheckFailed(const v1::Device& device) {
  return (device.state() == v1::DEVICE_ALLOCATED || device.state() == v1::DEVICE_STARTED) &&
         device.has_last_failure() && device.last_failure().time_ms() >= device.since_ms() &&
         IsOfTheDevice(device.last_failure().reason());
}

}  // namespace

std::vector<Finding> Judge(const v1::NodeState& state) {
  std::vector<Finding> findings;
  std::vector<std::string> names;
  for (const v1::Resource& resource : state.resources()) {
    if (!resource.watched()) names.push_back(resource.name());
  }
  findings.push_back(
      {"registered", names.empty() ? "" : "the kubelet does not watch " + Some(names)});

  findings.push_back({"ledger", state.daemon().ledger_error().empty()
                                    ? ""
                                    : "it cannot be written, so nothing is given out"});

  names.clear();
  for (const v1::Device& device : state.devices()) {
    if (LastCheckFailed(device)) {
      names.push_back(fmt::format("{} ({})", device.id(), device.last_failure().reason()));
    }
  }
  findings.push_back({"verified", names.empty() ? "" : "the last check failed of " + Some(names)});

  // What is given out stays right, and more is given out; only nothing goes back.
  findings.push_back(
      {"pods",
       state.daemon().pods_error().empty() ? "" : "the kubelet does not say which there are",
       false});
  return findings;
}

}  // namespace dp::monitor
