// SPDX-License-Identifier: Apache-2.0
#include "plugin/kube/time_text.h"

#include <fmt/format.h>

#include <ctime>

namespace dp::kube {
namespace {

// Without the zone.
std::string SecondsText(std::chrono::sys_seconds time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace

std::string MicroTimeText(std::chrono::system_clock::time_point time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  return fmt::format("{}.{:06}Z", SecondsText(whole),
                     std::chrono::duration_cast<std::chrono::microseconds>(time - whole).count());
}

std::string TimeText(std::chrono::system_clock::time_point time) {
  return SecondsText(std::chrono::floor<std::chrono::seconds>(time)) + "Z";
}

}  // namespace dp::kube
