// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

// What is counted and measured, for docs/metrics.md. Loop thread.
namespace dp::core {

class Histogram {
 public:
  // Upper bounds, in seconds: 50 us, which no call of ours is faster than, to what the kubelet
  // waits.
  static constexpr std::array kBounds{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025,
                                      0.005,   0.01,   0.05,    0.25,   1.0,   5.0};

  void Add(std::chrono::steady_clock::duration duration);

  // Of the bucket with this bound, those below it not counted.
  [[nodiscard]] std::uint64_t count_of(std::size_t bucket) const { return counts_[bucket]; }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] double sum() const { return sum_; }  // in seconds

 private:
  std::array<std::uint64_t, kBounds.size()> counts_{};
  std::uint64_t count_ = 0;
  double sum_ = 0;
};

// "ok", or the word of the status' reason.
std::string_view ResultOf(const absl::Status& status);

struct Statistics {
  // By resource and result.
  using Results = std::map<std::pair<std::string, std::string>, std::uint64_t>;

  Results allocations;
  Results starts;
  Histogram allocate;
  Histogram start;
  Histogram reconcile;
  std::map<std::string, std::uint64_t> kernel_writes;  // by errno: "0", "EBUSY"
  std::map<std::string, std::uint64_t> registrations;  // by resource
  std::uint64_t kubelet_restarts = 0;
};

}  // namespace dp::core
