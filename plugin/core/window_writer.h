// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "plugin/core/ports.h"
#include "plugin/core/window.h"

namespace dp::core {

// How long a group is waited for whose former VMM has not let go yet (EBUSY). The kubelet sets no
// deadline for Allocate, but admits no other pod meanwhile.
struct Patience {
  std::chrono::milliseconds total{5000};
  std::chrono::milliseconds first_pause{5};  // doubled after every try
  std::chrono::milliseconds longest_pause{250};
};

// Writes one window to several groups: to all of them, or to none. Waits on timers, so the loop
// goes on. Loop thread; one write at a time; must live as long as the loop runs.
class WindowWriter {
 public:
  // What a group had before it was written.
  struct Previous {
    std::uint32_t group = 0;
    Window window;
  };
  struct Outcome {
    // Ok: each group has the window, as read back. Otherwise the knob's sentence.
    absl::Status status;
    // Ok: all groups, for PutBack(). Otherwise those that could not be put back and still have the
    // new window.
    std::vector<Previous> written;
  };
  using Done = std::function<void(Outcome)>;
  // What to do about a group that a VMM owns (EBUSY).
  enum class OnBusy { kWait, kFail };

  WindowWriter(MsiWindowKnob& knob, Timers& timers, Patience patience);

  // Calls `done` once, possibly before it returns; with kFail always before.
  void Write(std::vector<std::uint32_t> groups, Window window, OnBusy on_busy, Done done);
  // Ends the write that waits, if there is one, as Unavailable with this message.
  void Abandon(std::string_view message);
  // Gives groups back what they had. Returns those for which the kernel refused, which it logs.
  std::vector<Previous> PutBack(std::span<const Previous> written);

 private:
  struct Job {
    std::vector<std::uint32_t> groups;
    Window window;
    OnBusy on_busy = OnBusy::kWait;
    Done done;
    std::vector<Previous> written;
    std::chrono::milliseconds waited{0};
    std::chrono::milliseconds pause{0};
  };

  void Continue();
  absl::Status WriteOne(std::uint32_t group);
  void Finish(absl::Status status);

  MsiWindowKnob& knob_;
  Timers& timers_;
  const Patience patience_;
  std::optional<Job> job_;
  std::uint64_t generation_ = 0;  // tells a timer of this job from one of an earlier job
};

}  // namespace dp::core
