// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "plugin/core/ports.h"

namespace dp::fakes {

// Time that passes when the test says so.
class FakeTimers final : public core::Timers {
 public:
  using Duration = std::chrono::steady_clock::duration;

  [[nodiscard]] std::chrono::steady_clock::time_point Now() const override {
    return std::chrono::steady_clock::time_point(now_);
  }
  [[nodiscard]] std::int64_t WallMs() const override {
    constexpr std::int64_t kStart = 1'764'000'000'000;
    return kStart + std::chrono::duration_cast<std::chrono::milliseconds>(now_).count();
  }
  void CallAfter(Duration delay, std::function<void()> call) override {
    calls_.emplace(now_ + delay, std::move(call));
  }
  // Runs what falls due, in order, what becomes due by that included.
  void Advance(Duration duration) {
    const Duration end = now_ + duration;
    while (!calls_.empty() && calls_.begin()->first <= end) {
      now_ = calls_.begin()->first;
      const auto call = std::move(calls_.begin()->second);
      calls_.erase(calls_.begin());
      call();
    }
    now_ = end;
  }
  [[nodiscard]] bool idle() const { return calls_.empty(); }

 private:
  Duration now_{0};
  std::multimap<Duration, std::function<void()>> calls_;
};

}  // namespace dp::fakes
