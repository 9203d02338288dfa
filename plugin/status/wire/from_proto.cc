// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/wire/from_proto.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>

namespace dp::status::wire {
namespace {

namespace proto = ::vfio_doorbell::admin::v1;

Time TimeOf(std::int64_t milliseconds) {
  // A clock of a host without battery shows anything; as finer units it must not overflow.
  constexpr std::int64_t kFarFuture = std::int64_t{1} << 42;
  return Time(std::chrono::milliseconds(std::clamp<std::int64_t>(milliseconds, 0, kFarFuture)));
}

Pod PodOf(const proto::Pod& pod) { return {.space = pod.namespace_(), .name = pod.name()}; }

Window WindowOf(const proto::Window& window) {
  return {.base = window.base(), .size = window.size()};
}

Mode ModeOf(proto::Mode mode) {
  switch (mode) {
    case proto::MODE_ENFORCE:
      return Mode::kEnforce;
    case proto::MODE_OBSERVE:
      return Mode::kObserve;
    default:
      return Mode::kUnknown;
  }
}

DeviceState StateOf(proto::DeviceState state) {
  switch (state) {
    case proto::DEVICE_FREE:
      return DeviceState::kFree;
    case proto::DEVICE_ALLOCATED:
      return DeviceState::kAllocated;
    case proto::DEVICE_STARTED:
      return DeviceState::kStarted;
    case proto::DEVICE_UNHEALTHY:
      return DeviceState::kUnhealthy;
    default:
      return DeviceState::kUnknown;
  }
}

Device DeviceOf(const proto::Device& message) {
  Device device{.id = message.id(),
                .resource = message.resource(),
                .group = message.group(),
                .function = message.function(),
                .driver = message.driver(),
                .numa_node = {},
                .healthy = message.healthy(),
                .reason = message.reason(),
                .unhealthy = message.unhealthy(),
                .state = StateOf(message.state()),
                .since = TimeOf(message.since_ms()),
                .window = {},
                .pod = {},
                .last_failure = {}};
  if (message.has_numa_node()) device.numa_node = message.numa_node();
  if (message.has_window()) device.window = WindowOf(message.window());
  if (message.has_pod()) device.pod = PodOf(message.pod());
  if (message.has_last_failure()) {
    device.last_failure = Failure{.reason = message.last_failure().reason(),
                                  .message = message.last_failure().message(),
                                  .time = TimeOf(message.last_failure().time_ms())};
  }
  return device;
}

Occurrence OccurrenceOf(const proto::Occurrence& message, Time daemon_started) {
  Occurrence occurrence{.daemon_started = daemon_started,
                        .sequence = message.sequence(),
                        .time = TimeOf(message.time_ms()),
                        .warning = message.warning(),
                        .reason = message.reason(),
                        .message = message.message(),
                        .device = message.device(),
                        .pod = {}};
  if (message.has_pod()) occurrence.pod = PodOf(message.pod());
  return occurrence;
}

Daemon DaemonOf(const proto::Daemon& message) {
  return {.version = message.version(),
          .started = TimeOf(message.started_ms()),
          .mode = ModeOf(message.mode()),
          .config_generation = message.config_generation(),
          .config_hash = message.config_hash(),
          .config_error = message.config_error(),
          .ledger_error = message.ledger_error(),
          .pods_error = message.pods_error(),
          .knob_error = message.knob_error(),
          .groups_with_knob = message.groups_with_knob(),
          .groups_without_knob = message.groups_without_knob(),
          .boot_id = message.boot_id()};
}

}  // namespace

NodeState FromProto(const proto::NodeState& message) {
  NodeState state{.daemon = DaemonOf(message.daemon()),
                  .pool = {.start = message.pool().start(),
                           .end = message.pool().end(),
                           .window_size = message.pool().window_size(),
                           .windows = message.pool().windows(),
                           .free = message.pool().free()},
                  .resources = {},
                  .devices = {},
                  .leftovers = {},
                  .occurrences = {}};
  for (const proto::Resource& resource : message.resources()) {
    state.resources.push_back({.name = resource.name(),
                               .watched = resource.watched(),
                               .failure = resource.failure(),
                               .observe = resource.observe(),
                               .iommufd = resource.iommufd()});
  }
  for (const proto::Device& device : message.devices()) state.devices.push_back(DeviceOf(device));
  for (const proto::Leftover& leftover : message.leftovers()) {
    state.leftovers.push_back({.device = leftover.device(),
                               .group = leftover.group(),
                               .window = WindowOf(leftover.window()),
                               .since = TimeOf(leftover.since_ms())});
  }
  for (const proto::Occurrence& occurrence : message.occurrences()) {
    state.occurrences.push_back(OccurrenceOf(occurrence, state.daemon.started));
  }
  return state;
}

}  // namespace dp::status::wire
