// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>

namespace dp::base {

// How long to wait before something that has failed is tried again: twice as long each time, from
// `first` up to `longest`.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds longest)
      : first_(first), longest_(longest), next_(first) {}

  std::chrono::milliseconds Next() {
    const std::chrono::milliseconds delay = next_;
    next_ = std::min(2 * next_, longest_);
    return delay;
  }
  void Reset() { next_ = first_; }

 private:
  const std::chrono::milliseconds first_;
  const std::chrono::milliseconds longest_;
  std::chrono::milliseconds next_;
};

}  // namespace dp::base
