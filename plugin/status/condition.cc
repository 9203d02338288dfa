// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/condition.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "plugin/kube/time_text.h"
#include "plugin/status/words.h"

namespace dp::status {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLongestMessage = 512;

Condition False(const char* reason, std::string_view message) {
  return {.status = "False", .reason = reason, .message = Bounded(message, kLongestMessage)};
}

Condition True(const char* reason, std::string_view message) {
  return {.status = "True", .reason = reason, .message = Bounded(message, kLongestMessage)};
}

Condition Unknown(const char* reason, std::string_view message) {
  return {.status = "Unknown", .reason = reason, .message = Bounded(message, kLongestMessage)};
}

// What is wrong with the first device that cannot be had.
std::string FirstUnhealthy(const NodeState& state) {
  const auto first = std::find_if(state.devices.begin(), state.devices.end(),
                                  [](const Device& device) { return !device.healthy; });
  return fmt::format("{}: {}", Bounded(first->id, 32), first->unhealthy);
}

std::string TextIn(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

// What keeps a VM from starting comes first, and of several the one that explains the others.
Condition ConditionOf(const NodeState& state) {
  const Daemon& daemon = state.daemon;
  if (!daemon.ledger_error.empty()) return False("LedgerNotWritten", daemon.ledger_error);
  if (daemon.mode == Mode::kEnforce && daemon.groups_with_knob == 0 &&
      daemon.groups_without_knob > 0) {
    return False(
        "KernelWithoutKnob",
        "the kernel of this node has no msi_window in /sys/kernel/iommu_groups, so no window "
        "can be moved");
  }
  if (!daemon.knob_error.empty()) return False("KnobNotWritable", daemon.knob_error);
  for (const Resource& resource : state.resources) {
    if (!resource.watched) {
      return False("NotRegistered",
                   fmt::format("the kubelet does not watch {}{}{}", Bounded(resource.name, 128),
                               resource.failure.empty() ? "" : ": ", resource.failure));
    }
  }
  const auto is_healthy = [](const Device& device) { return device.healthy; };
  const auto healthy = std::count_if(state.devices.begin(), state.devices.end(), is_healthy);
  if (healthy == 0 && !state.devices.empty()) {
    return False("NoHealthyDevice", fmt::format("none of {} devices is healthy; {}",
                                                state.devices.size(), FirstUnhealthy(state)));
  }
  if (daemon.mode == Mode::kEnforce && state.pool.windows > 0 && state.pool.free == 0 &&
      std::any_of(state.devices.begin(), state.devices.end(), [](const Device& device) {
        return device.healthy && device.state == DeviceState::kFree;
      })) {
    return False("PoolExhausted",
                 fmt::format("there are free devices, but all of the {} windows are in use",
                             state.pool.windows));
  }
  if (!daemon.config_error.empty()) {
    return True("ConfigRefused", "the former configuration stays in force: " + daemon.config_error);
  }
  if (!daemon.pods_error.empty()) {
    return True("PodsUnknown", "no window is given back: " + daemon.pods_error);
  }
  if (healthy != static_cast<std::ptrdiff_t>(state.devices.size())) {
    return True("DevicesUnhealthy", fmt::format("{} of {} devices are healthy; {}", healthy,
                                                state.devices.size(), FirstUnhealthy(state)));
  }
  if (daemon.mode == Mode::kObserve) {
    return True("Observing", "devices are offered, and windows are left where they are");
  }
  if (state.devices.empty()) return True("NoDevice", "this node has no device to offer");
  return True("Ready", fmt::format("all of {} devices are healthy", healthy));
}

Condition ConditionWithoutDaemon(const std::string& why) {
  return Unknown("DaemonSilent", "the daemon does not answer: " + why);
}

WrittenCondition FindCondition(const Json& node) {
  const Json::json_pointer path("/status/conditions");
  if (!node.contains(path) || !node[path].is_array()) return {};
  for (const Json& condition : node[path]) {
    if (!condition.is_object() || TextIn(condition, "type") != kConditionType) continue;
    return {.condition = {.status = TextIn(condition, "status"),
                          .reason = TextIn(condition, "reason"),
                          .message = TextIn(condition, "message")},
            .transition = TextIn(condition, "lastTransitionTime")};
  }
  return {};
}

Json ConditionPatch(const WrittenCondition& written, const Condition& wanted, Time now) {
  const std::string time = kube::TimeText(now);
  const bool is_same = written.condition.status == wanted.status && !written.transition.empty();
  return {{"status",
           {{"conditions",
             Json::array({{{"type", kConditionType},
                           {"status", wanted.status},
                           {"reason", wanted.reason},
                           {"message", wanted.message},
                           {"lastHeartbeatTime", time},
                           {"lastTransitionTime", is_same ? written.transition : time}}})}}}};
}

}  // namespace dp::status
