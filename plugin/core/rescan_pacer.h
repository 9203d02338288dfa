// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string_view>

#include "plugin/core/ports.h"

// When the host is looked at again.
namespace dp::core {

// Whether an event of an object of this bus or class (the SUBSYSTEM of a uevent) can change what is
// offered, whatever the event is.
bool MayChangeOffers(std::string_view subsystem);

// The one door for all who think that the host has changed. It sees to it that a burst of events
// costs few scans, that a storm leaves the daemon five sixths of its time, that an event is
// answered soon all the same, and that a change nobody tells of is seen some time.
//
// Loop thread. Must live as long as the loop runs.
class RescanPacer {
 public:
  using Duration = std::chrono::steady_clock::duration;
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  struct Pace {
    // Between a request and its scan, because events come in bursts.
    Duration delay = std::chrono::milliseconds(10);
    // Between two scans, at least; or five times as long as the last one took, if that is longer.
    // On a host with 256 groups, where a scan takes 5 ms, an event that comes right after a scan
    // is still answered within 50 ms.
    Duration pause = std::chrono::milliseconds(25);
    // Of scans without a request, counted from the last scan.
    Duration interval = std::chrono::seconds(60);
  };

  // `now` is the time of `timers`.
  RescanPacer(Timers& timers, Clock now, Pace pace, std::function<void()> rescan);
  RescanPacer(const RescanPacer&) = delete;
  RescanPacer& operator=(const RescanPacer&) = delete;
  ~RescanPacer() = default;

  // The host has just been scanned; requests are served from now on, and not before.
  void Start();
  // Something may have changed: scan after `delay`, or later if the pace says so. A scan that is
  // due earlier anyway is enough.
  void Request() { RequestAfter(pace_.delay); }
  void RequestAfter(Duration delay);
  // No scan any more.
  void Stop();

 private:
  using Time = std::chrono::steady_clock::time_point;

  void Scan();
  void ScanIfIdleFor(Duration rest);

  Timers& timers_;
  const Clock now_;
  const Pace pace_;
  const std::function<void()> rescan_;
  bool running_ = false;
  std::optional<Time> due_;  // of the requested scan; a timer for another time is out of date
  Time last_end_;            // of a scan
  Duration pause_{0};        // after it
};

}  // namespace dp::core
