// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "plugin/core/offers.h"
#include "plugin/core/ports.h"

namespace dp::core {

// Holds back the news that a device is healthy again until it has been so for a while. All other
// news is told at once: that a device is unhealthy, or new, or gone. Then a driver that is unbound
// and bound over and over costs the kubelet two lists a second at most, which matters, because it
// drops health changes when more than 100 are waiting (kubernetes pkg/kubelet/cm/devicemanager).
//
// Loop thread. Must live as long as the loop runs.
class RecoveryDelay {
 public:
  static constexpr std::chrono::seconds kSettled{1};

  // `settled` is called when devices that are held back may be told of, if Apply() finds them
  // healthy again.
  RecoveryDelay(Timers& timers, std::function<void()> settled);
  RecoveryDelay(const RecoveryDelay&) = delete;
  RecoveryDelay& operator=(const RecoveryDelay&) = delete;
  ~RecoveryDelay() = default;

  // What to tell of the devices of a resource, after `told` was told and `found` was found, both in
  // the order of their IDs. A device that is held back keeps the reason for which it was unhealthy.
  std::vector<Offer> Apply(std::span<const Offer> told, std::vector<Offer> found);

 private:
  struct Recovery {
    std::uint64_t batch = 0;  // the call of Apply() that found the device healthy first
    bool settled = false;
  };

  void OnTimer(std::uint64_t batch);

  Timers& timers_;
  const std::function<void()> settled_;
  std::map<std::string, Recovery> recoveries_;  // by device ID: those that are held back
  std::uint64_t last_batch_ = 0;
};

}  // namespace dp::core
