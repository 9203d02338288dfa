// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/host_facts.h"

#include <cstddef>
#include <utility>

#include "plugin/os/file.h"
#include "plugin/sysfs/pci_driver_files.h"

namespace dp::app {

std::string ReadBootId() {
  constexpr std::size_t kLength = 64;
  auto text = os::ReadFile("/proc/sys/kernel/random/boot_id", kLength);
  if (!text.ok()) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *std::move(text);
}

std::string ReadRootArgument() {
  constexpr std::size_t kLongest = 65536;
  const auto text = os::ReadFile("/proc/cmdline", kLongest);
  return text.ok() ? sysfs::RootArgument(*text) : std::string();
}

}  // namespace dp::app
