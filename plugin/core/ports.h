// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/inventory.h"
#include "plugin/core/ledger.h"
#include "plugin/core/settings.h"
#include "plugin/core/window.h"

// What the core asks of the outside. Implemented elsewhere, wired in app/. All of it is called in
// turns of the loop.
namespace dp::core {

// The kernel's msi_window attribute of each IOMMU group. Every call is one short system call pair.
class MsiWindowKnob {
 public:
  virtual ~MsiWindowKnob() = default;
  // The window in force.
  // NotFound: no such group, or a kernel without the attribute. FailedPrecondition: the group has
  // no software window ("none").
  virtual absl::StatusOr<Window> Read(std::uint32_t group) = 0;
  // PermissionDenied (EACCES), Unavailable (EBUSY: a VFIO user owns the group), OutOfRange
  // (ERANGE), AlreadyExists (EADDRINUSE), Unimplemented (EOPNOTSUPP), InvalidArgument (EINVAL),
  // NotFound; each message is one sentence with the path and the value.
  virtual absl::Status Write(std::uint32_t group, Window window) = 0;
  // Writes "default". Errors as Write().
  virtual absl::Status Reset(std::uint32_t group) = 0;
};

// Reads the host.
class HostScanner {
 public:
  virtual ~HostScanner() = default;
  // Every IOMMU group with its members. What cannot be read is listed in Inventory::skipped; the
  // rest stands.
  // FailedPrecondition: sysfs is not mounted there, or the host has no IOMMU groups at all; names
  // the path.
  virtual absl::StatusOr<Inventory> Scan() = 0;
  // One group, read afresh.
  // NotFound: no such group (any more). FailedPrecondition: it cannot be read as a whole; the
  // message is what Scan() would put into Inventory::skipped, with the path.
  virtual absl::StatusOr<Group> ScanGroup(std::uint32_t number) = 0;
};

// Where the settings of an allocation are left for its container.
class SettingsStore {
 public:
  virtual ~SettingsStore() = default;
  // Writes the file of this allocation, in place of an older one of the same `key`, in one step: a
  // reader sees the old one or the new one whole. Returns the directory that holds it. `key` is the
  // lowest device ID of the allocation.
  // The message of an error names the path.
  virtual absl::StatusOr<std::string> Put(const std::string& key, const Settings& settings) = 0;
  // Removes it. Ok if there is none.
  virtual absl::Status Remove(const std::string& key) = 0;
  // The keys of all that are there.
  virtual absl::StatusOr<std::vector<std::string>> Keys() = 0;
};

// Where the ledger is kept.
class LedgerStore {
 public:
  virtual ~LedgerStore() = default;
  // What was saved last. From now on it is this process's, and no longer another one's.
  // NotFound: nothing has been saved yet. DataLoss: what is there cannot be read, or is of a newer
  // version; it has been set aside, and the message says where and why. Any other error: it could
  // not be looked at, or not be set aside, and is as it was; the message names the path.
  virtual absl::StatusOr<Ledger> Load() = 0;
  // When it returns Ok, this is what Load() returns, also after a power cut. Otherwise that is
  // what was saved before, and the message names the path. DataLoss: the disk has failed in the
  // middle, and Load() may return either, until a Save() returns Ok. FailedPrecondition: it is
  // another process's now.
  virtual absl::Status Save(const Ledger& ledger) = 0;
  // Whether it is another process's now, such as of a younger daemon during an update; then what
  // this one knows is out of date.
  virtual bool IsTakenOver() = 0;
};

// The devices of a resource that a container holds.
struct PodDevices {
  PodName pod;
  std::string container;
  std::string resource;
  std::vector<std::string> devices;  // IDs
};

// Asks the kubelet which pod holds what (its PodResources API).
class PodLister {
 public:
  using Listed = std::function<void(absl::StatusOr<std::vector<PodDevices>>)>;

  virtual ~PodLister() = default;
  // All devices of all pods, whatever resource. Calls `done` once, possibly before it returns.
  // NotFound: this kubelet has no such API. DeadlineExceeded: it does not answer in time. Else what
  // the kubelet says. Several calls may be under way.
  virtual void List(Listed done) = 0;
};

// The clock and one-shot timers of the loop.
class Timers {
 public:
  virtual ~Timers() = default;
  [[nodiscard]] virtual std::chrono::steady_clock::time_point Now() const = 0;
  virtual void CallAfter(std::chrono::steady_clock::duration delay, std::function<void()> call) = 0;
};

}  // namespace dp::core
