// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>

namespace dp::status {

// Lets `burst` through at once, and after that one more each `refill`.
class TokenBucket {
 public:
  using Clock = std::chrono::steady_clock;

  TokenBucket(double burst, std::chrono::seconds refill, Clock::time_point now)
      : burst_(burst), refill_(refill), tokens_(burst), time_(now) {}

  // How many are there now.
  [[nodiscard]] double Level(Clock::time_point now) const {
    const std::chrono::duration<double> passed = now - time_;
    return std::min(burst_, tokens_ + passed / refill_);
  }
  [[nodiscard]] bool IsFull(Clock::time_point now) const { return Level(now) >= burst_; }
  // Only if there is one.
  void Take(Clock::time_point now) {
    tokens_ = Level(now) - 1;
    time_ = now;
  }
  // Until there is one; zero: there is.
  [[nodiscard]] std::chrono::milliseconds Wait(Clock::time_point now) const {
    const double missing = 1 - Level(now);
    if (missing <= 0) return std::chrono::milliseconds(0);
    // Rounded up: a timer must not come too early.
    return std::chrono::ceil<std::chrono::milliseconds>(missing * refill_);
  }

 private:
  double burst_;
  std::chrono::duration<double> refill_;
  double tokens_;
  Clock::time_point time_;
};

}  // namespace dp::status
