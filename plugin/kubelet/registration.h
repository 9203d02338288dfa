// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/os/event_loop.h"

namespace dp::kubelet {

// Announces one resource to the kubelet, as often as it takes. Loop thread.
//
// The kubelet calls the plugin back before it answers, so the plugin must be serving.
class Registration {
 public:
  struct Request {
    std::string kubelet_socket;  // path
    std::string resource;
    // Names the plugin's socket in the same folder. One that a kubelet may have heard of before is
    // not to be named again.
    std::function<absl::StatusOr<std::string>()> endpoint;
    // How long the kubelet may have no socket before that is worth a warning.
    std::chrono::milliseconds socket_patience;
  };

  // `registered` is called after each success. `loop` outlives the registration.
  Registration(os::EventLoop& loop, Request request, std::function<void()> registered);
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;
  // After Stop(), when the loop does not run any more.
  ~Registration();

  // The kubelet takes up to 10 s to dial the plugin back, before it answers.
  static constexpr std::chrono::seconds kAnswerDeadline{15};

  // Registers now, whatever was under way: a first try at once, the next ones quickly, later ones
  // every few seconds. While the kubelet has no socket it does not try: call it again when there is
  // one.
  void Start();
  // Whether it is trying, or waits to try again.
  [[nodiscard]] bool active() const { return current_ != nullptr || retry_.has_value(); }
  // Why the kubelet has not taken it; empty: it has, or nothing has failed yet.
  [[nodiscard]] const std::string& failure() const { return last_failure_; }
  // Gives up. Calls `stopped` when nothing is under way any more, possibly at once.
  void Stop(std::function<void()> stopped);

 private:
  struct Attempt;

  void Try();
  void Abandon();
  void OnAnswer(Attempt* attempt, const absl::Status& status);
  void OnFailure(const absl::Status& status);
  void WaitForKubelet();
  void CancelOverdue();

  os::EventLoop& loop_;
  const Request request_;
  const std::function<void()> registered_;
  // All calls that gRPC has not answered, abandoned ones included. They are destroyed here and not
  // on gRPC's threads: the end of a channel may wait for those threads.
  std::vector<std::unique_ptr<Attempt>> attempts_;
  Attempt* current_ = nullptr;                     // the one of attempts_ that counts
  std::optional<os::EventLoop::TimerId> timeout_;  // of current_
  std::optional<os::EventLoop::TimerId> retry_;
  bool waiting_ = false;                           // said that the kubelet has no socket
  std::optional<os::EventLoop::TimerId> overdue_;  // of that socket
  std::chrono::microseconds pause_{0};
  std::string last_failure_;
  std::function<void()> stopped_;
};

}  // namespace dp::kubelet
