// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "plugin/core/books.h"
#include "plugin/core/ports.h"
#include "plugin/core/reservations.h"

namespace dp::core {

// When a window is given back.
struct Leave {
  // How often the kubelet is asked which pods there are, while anything is reserved.
  std::chrono::milliseconds interval{5000};
  // How long a pod may be missing from its answers: it is between the allocation and the admission
  // of its last container, and a kubelet that has just started knows no pods yet.
  std::chrono::milliseconds grace{20000};
};

// Compares the record with what the kubelet and the kernel say, and ends what has no pod any more.
//
// Loop thread; lives as long as the loop runs.
class Reconciler {
 public:
  struct Tools {
    PodLister& pods;
    Timers& timers;
    Reservations& reservations;
    Books& books;
    // Makes the call when no allocation and no start is under way; they wait, and what they have
    // begun must not end meanwhile. Never, if the broker drains.
    std::function<void(std::function<void()>)> in_turn;
  };

  Reconciler(Tools tools, Leave leave) : tools_(std::move(tools)), leave_(leave) {}
  Reconciler(const Reconciler&) = delete;
  Reconciler& operator=(const Reconciler&) = delete;

  // Something may be reserved: begins to ask, if it does not do so already. It ends by itself.
  void Start();
  // Asks now, too, if anything is reserved.
  void Hint();
  // Why the kubelet did not say which pods there are when it was asked last; empty: it did.
  [[nodiscard]] const std::string& pods_error() const { return pods_error_; }
  // Gets how long each look took.
  void NotifyLooks(std::function<void(std::chrono::steady_clock::duration)> observer) {
    looked_ = std::move(observer);
  }
  // For good.
  void Stop() { stopped_ = true; }

 private:
  void Ask(std::function<void()> then);
  void Look(const absl::StatusOr<std::vector<PodDevices>>& listed, Reservations::Time asked);

  const Tools tools_;
  const Leave leave_;
  bool running_ = false;
  bool stopped_ = false;
  std::string pods_error_;
  std::function<void(std::chrono::steady_clock::duration)> looked_;
  std::string last_failure_;  // of asking or saving; what was logged last
};

}  // namespace dp::core
