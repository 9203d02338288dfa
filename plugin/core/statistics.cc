// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/statistics.h"

#include <algorithm>

#include "plugin/base/reason.h"

namespace dp::core {

void Histogram::Add(std::chrono::steady_clock::duration duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  ++count_;
  sum_ += seconds;
  const auto* bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  if (bound != kBounds.end()) ++counts_[static_cast<std::size_t>(bound - kBounds.begin())];
}

std::string_view ResultOf(const absl::Status& status) {
  if (status.ok()) return "ok";
  return base::WordOf(base::ReasonOf(status).value_or(base::Reason::kBadRequest));
}

}  // namespace dp::core
