// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "plugin/status/node_state.h"

// What a daemon might say, for tests of who passes it on.
namespace dp::fakes {

inline status::Time TimeAt(std::int64_t seconds) {
  constexpr std::int64_t kNoon = 1795694400;  // 2026-11-26T12:00:00Z
  return status::Time(std::chrono::seconds(kNoon + seconds));
}

inline status::Device FreeDevice(std::uint32_t number) {
  const std::string id = fmt::format("{:04x}:{:02x}:10.0", number >> 8U, number & 0xffU);
  return {.id = id,
          .resource = "vendor.example/nvme",
          .group = number,
          .function = id,
          .driver = "vfio-pci",
          .numa_node = {},
          .healthy = true,
          .reason = {},
          .unhealthy = {},
          .state = status::DeviceState::kFree,
          .since = TimeAt(-60),
          .window = {},
          .pod = {},
          .last_failure = {}};
}

inline status::Device StartedDevice(std::uint32_t number, const std::string& pod) {
  status::Device device = FreeDevice(number);
  device.state = status::DeviceState::kStarted;
  device.window = status::Window{.base = 0x09000000 + 0x100000ULL * number, .size = 0x100000};
  device.pod = status::Pod{.space = "vms", .name = pod};
  return device;
}

inline status::Device UnhealthyDevice(std::uint32_t number) {
  status::Device device = FreeDevice(number);
  device.state = status::DeviceState::kUnhealthy;
  device.healthy = false;
  device.reason = "no_driver";
  device.unhealthy = "it has no driver";
  return device;
}

// A node where all is well, with that many free devices.
inline status::NodeState GoodState(std::uint32_t devices) {
  status::NodeState state{
      .daemon = {.version = "0.1.0",
                 .started = TimeAt(-3600),
                 .mode = status::Mode::kEnforce,
                 .config_generation = 1,
                 .config_hash = "0badcafe",
                 .config_error = {},
                 .ledger_error = {},
                 .pods_error = {},
                 .knob_error = {},
                 .groups_with_knob = devices,
                 .groups_without_knob = 0,
                 .boot_id = "0f0f0f0f-0000-4000-8000-000000000001"},
      .pool = {.start = 0x09000000,
               .end = 0x49000000,
               .window_size = 0x100000,
               .windows = 1024,
               .free = 1000},
      .resources = {{.name = "vendor.example/nvme", .watched = true, .failure = {}}},
      .devices = {},
      .leftovers = {},
      .occurrences = {}};
  for (std::uint32_t i = 0; i < devices; ++i) state.devices.push_back(FreeDevice(i));
  return state;
}

// The `sequence`th thing that has happened to that daemon.
inline status::Occurrence OccurrenceAt(std::uint64_t sequence, const std::string& message) {
  return {.daemon_started = TimeAt(-3600),
          .sequence = sequence,
          .time = TimeAt(0),
          .warning = true,
          .reason = "device_lost",
          .message = message,
          .device = "0000:00:10.0",
          .pod = {}};
}

inline status::Occurrence PodOccurrenceAt(std::uint64_t sequence, const std::string& pod,
                                          const std::string& message) {
  status::Occurrence occurrence = OccurrenceAt(sequence, message);
  occurrence.warning = false;
  occurrence.reason = "window_reserved";
  occurrence.pod = status::Pod{.space = "vms", .name = pod};
  return occurrence;
}

}  // namespace dp::fakes
