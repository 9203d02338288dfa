// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/boot_id.h"

#include <cstddef>
#include <utility>

#include "plugin/os/file.h"

namespace dp::os {

std::string ReadBootId() {
  constexpr std::size_t kLength = 64;
  auto text = ReadFile("/proc/sys/kernel/random/boot_id", kLength);
  if (!text.ok()) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *std::move(text);
}

}  // namespace dp::os
