// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/rescan_pacer.h"

#include <algorithm>
#include <array>
#include <utility>

namespace dp::core {

bool MayChangeOffers(std::string_view subsystem) {
  // An IOMMU group itself has no uevents. Its members come and go with their devices, and their
  // links are in place when the event is sent (device_add(), device_del() in drivers/base/core.c);
  // drivers too (driver_bound(), __device_release_driver() in drivers/base/dd.c).
  static constexpr std::array<std::string_view, 9> kSubsystems = {
      // Buses whose devices are put into IOMMU groups: iommu_buses in drivers/iommu/iommu.c.
      "pci", "platform", "amba", "fsl-mc", "host1x-context", "cdx",
      // Classes: /dev/vfio/N (drivers/vfio/group.c) and /dev/vfio/devices/vfioN (vfio_main.c).
      "vfio", "vfio-dev",
      // IOMMUs. Devices that are there already get their groups when one comes.
      "iommu"};
  return std::find(kSubsystems.begin(), kSubsystems.end(), subsystem) != kSubsystems.end();
}

RescanPacer::RescanPacer(Timers& timers, Clock now, Pace pace, std::function<void()> rescan)
    : timers_(timers), now_(std::move(now)), pace_(pace), rescan_(std::move(rescan)) {}

void RescanPacer::Start() {
  running_ = true;
  last_end_ = now_();
  ScanIfIdleFor(pace_.interval);
}

void RescanPacer::Stop() {
  running_ = false;
  due_.reset();
}

void RescanPacer::RequestAfter(Duration delay) {
  if (!running_) return;
  const Time now = now_();
  const Time due = std::max(now + delay, last_end_ + pause_);
  if (due_ && *due_ <= due) return;
  due_ = due;
  timers_.CallAfter(due - now, [this, due] {
    if (due_ == due) Scan();
  });
}

void RescanPacer::Scan() {
  due_.reset();
  const Time begin = now_();
  rescan_();
  last_end_ = now_();
  pause_ = std::max(pace_.pause, 5 * (last_end_ - begin));
}

// One timer at a time for the scans without a request, not one per scan: it finds out for itself
// whether there has been a scan meanwhile.
void RescanPacer::ScanIfIdleFor(Duration rest) {
  timers_.CallAfter(rest, [this] {
    if (!running_) return;
    const Duration idle = now_() - last_end_;
    if (idle >= pace_.interval) Scan();
    ScanIfIdleFor(idle >= pace_.interval ? pace_.interval : pace_.interval - idle);
  });
}

}  // namespace dp::core
