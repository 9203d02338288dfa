// SPDX-License-Identifier: Apache-2.0
#include "plugin/guest/examine.h"

#include <fmt/format.h>

#include <string_view>

namespace dp::guest {

absl::StatusOr<std::vector<std::string>> Examine(std::span<const Range> map,
                                                 std::span<const DeviceWindow> devices,
                                                 std::string_view fixed) {
  std::vector<std::string> warnings;
  for (const auto& [device, window] : devices) {
    if (!fixed.empty() && window != core::kFixedWindow) {
      return absl::FailedPreconditionError(
          fmt::format("{}: the window is {}, but {}: its guest sends MSIs to {} only", device,
                      core::FormatWindow(window), fixed, core::FormatWindow(core::kFixedWindow)));
    }
    Verdict verdict = Judge(window, map);
    if (verdict.judgement == Judgement::kAccept) continue;
    std::string sentence = fmt::format("{}: {}", device, verdict.reason);
    if (verdict.judgement == Judgement::kReject) return absl::FailedPreconditionError(sentence);
    warnings.push_back(std::move(sentence));
  }
  return warnings;
}

}  // namespace dp::guest
