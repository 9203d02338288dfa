// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/host_facts.h"

#include <cstddef>

#include "plugin/os/file.h"
#include "plugin/sysfs/pci_driver_files.h"

namespace dp::app {

std::string ReadRootArgument() {
  constexpr std::size_t kLongest = 65536;
  const auto text = os::ReadFile("/proc/cmdline", kLongest);
  return text.ok() ? sysfs::RootArgument(*text) : std::string();
}

}  // namespace dp::app
