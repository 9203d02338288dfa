// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "plugin/ctl/node.h"

namespace dp::fakes {

// A device that a pod has, of which the kernel says the same.
inline ctl::Device SomeDevice(const std::string& id, std::uint32_t group) {
  const core::Window window{.base = 0x09000000 + group * 0x100000, .size = 0x100000};
  ctl::Device device;
  device.id = id;
  device.resource = "vendor.example/nvme";
  device.group = group;
  device.function = id;
  device.driver = "vfio-pci";
  device.numa_node = 0;
  device.state = ctl::State::kStarted;
  device.since_ms = 1764171559000;
  device.window = window;
  device.pod = {.space = "default", .name = "vm-" + std::to_string(group)};
  device.kernel = {.is_read = true, .window = window, .error = {}};
  return device;
}

// A node with everything that one can have.
inline ctl::Node SomeNode() {
  ctl::Node node;
  node.daemon = {.version = "0.1.0",
                 .started_ms = 1764171550000,
                 .mode = "enforce",
                 .config_file = "/etc/vfio-doorbell/config.yaml",
                 .config_error = "",
                 .ledger_error = "",
                 .pods_error = "the kubelet does not answer"};
  node.free_windows = 109;
  node.devices.push_back(SomeDevice("0000:01:00.0", 1));
  // Somebody has moved the window of this one.
  node.devices.push_back(SomeDevice("0000:02:00.0", 2));
  node.devices.back().kernel.window = core::kFixedWindow;
  node.devices.back().last_failure = {
      .reason = "window_differed", .message = "somebody has moved it", .time_ms = 1764171560000};
  ctl::Device unhealthy;
  unhealthy.id = unhealthy.function = "0000:03:00.0";
  unhealthy.resource = "vendor.example/nvme";
  unhealthy.group = 3;
  unhealthy.driver = "nvme";
  unhealthy.reason = "foreign_driver";
  unhealthy.unhealthy = "0000:03:00.0 is on driver nvme, which is not a VFIO driver";
  unhealthy.state = ctl::State::kUnhealthy;
  unhealthy.kernel = {.is_read = true, .window = core::kFixedWindow, .error = {}};
  node.devices.push_back(unhealthy);
  node.leftovers.push_back({.device = "0000:04:00.0",
                            .group = 4,
                            .window = {.base = 0x09900000, .size = 0x100000},
                            .since_ms = 1764171559000});
  node.occurrences.push_back({.time_ms = 1764171560000,
                              .warning = true,
                              .reason = "window_differed",
                              .message = "somebody has moved it",
                              .device = "0000:02:00.0",
                              .resource = "vendor.example/nvme",
                              .pod = core::PodName{.space = "default", .name = "vm-2"}});
  return node;
}

}  // namespace dp::fakes
