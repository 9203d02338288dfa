// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/confinement.h"

#include <cstddef>

#include "plugin/os/file.h"

namespace dp::os {

std::string ReadConfinement() {
  constexpr std::size_t kLongest = 4096;
  const auto text = ReadFile("/proc/self/attr/current", kLongest);
  return text.ok() ? ParseConfinement(*text) : std::string();
}

std::string ParseConfinement(std::string_view text) {
  // AppArmor ends it with a newline, SELinux with a zero.
  text = text.substr(0, text.find_first_of(std::string_view("\n\0", 2)));
  return text == "unconfined" ? std::string() : std::string(text);
}

}  // namespace dp::os
