// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include "plugin/admin_client/admin.h"

namespace dp::fakes {

// What is asked of the daemon is in the hands of the test, which answers or does not. Deadlines
// pass when the test says so.
class FakeAdmin final : public admin_client::Admin {
 public:
  struct Stream {
    std::function<void(const admin_client::v1::NodeState&)> changed;
    std::function<void(const absl::Status&)> ended;
  };

  void GetState(Duration /*deadline*/, Answered<admin_client::v1::NodeState> done) override {
    ++state_calls;
    if (state_answer) {
      done(*state_answer);
    } else {
      states.push_back(std::move(done));
    }
  }
  void GetMetrics(Duration /*deadline*/,
                  Answered<admin_client::v1::GetMetricsResponse> done) override {
    if (metrics_answer) {
      done(*metrics_answer);
    } else {
      metrics.push_back(std::move(done));
    }
  }
  void WatchState(Duration /*deadline*/,
                  std::function<void(const admin_client::v1::NodeState&)> changed,
                  std::function<void(const absl::Status&)> ended) override {
    streams.push_back({std::move(changed), std::move(ended)});
    if (opened) opened();
  }

  int state_calls = 0;
  // Asked and not answered, the oldest first.
  std::deque<Answered<admin_client::v1::NodeState>> states;
  std::deque<Answered<admin_client::v1::GetMetricsResponse>> metrics;
  std::deque<Stream> streams;
  std::function<void()> opened;  // another stream
  // Given at once to whoever asks.
  std::optional<absl::StatusOr<admin_client::v1::GetMetricsResponse>> metrics_answer;
  std::optional<absl::StatusOr<admin_client::v1::NodeState>> state_answer;
};

}  // namespace dp::fakes
