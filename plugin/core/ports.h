// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/driver_record.h"
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
  // Whether this process may open the attribute for writing, which it does, and writes nothing:
  // what a security module, the mode of the file or a read-only mount forbid is seen, and what the
  // kernel says to a value is not. PermissionDenied: it may not; the message is one sentence with
  // the path. Else as Read().
  virtual absl::Status Check(std::uint32_t group) = 0;
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
  // PCI functions that have no group. Where the kernel makes groups only when a driver is bound
  // (device tree and ACPI before Linux 6.15), these are functions that never had one. What cannot
  // be read is left out.
  virtual std::vector<Function> ScanUngrouped() = 0;
};

// Something that the kernel gives to one at a time; given back with the object.
class Claim {
 public:
  virtual ~Claim() = default;
};

// The drivers of PCI functions (Documentation/ABI/testing/sysfs-bus-pci). No member needs the loop:
// they are called beside it (Aside), since a driver may take as long as it likes to let go. The
// message of an error is one sentence with the path or the function.
class PciDrivers {
 public:
  virtual ~PciDrivers() = default;
  // FailedPrecondition: the kernel has no such driver (module) now.
  virtual absl::Status FindDriver(const std::string& driver) = 0;
  // NotFound: no such function.
  virtual absl::StatusOr<DriverState> Read(const std::string& address) = 0;
  // Sees that the host does not use the function, and keeps it from beginning to use its disks.
  // FailedPrecondition: the host uses it, or nobody can tell; how, and what to do.
  virtual absl::StatusOr<std::unique_ptr<Claim>> ClaimFromHost(const std::string& address) = 0;
  // Sees that no VMM has the IOMMU group open, and keeps it so. Unavailable: one has.
  // NotFound: the group has no device node. Else by errno.
  virtual absl::StatusOr<std::unique_ptr<Claim>> ClaimFromVmm(std::uint32_t group) = 0;
  // Which driver alone may bind to it; empty: any. PermissionDenied: sysfs may not be written.
  virtual absl::Status SetOverride(const std::string& address, const std::string& driver) = 0;
  // NotFound: the driver is not bound to it (any more).
  virtual absl::Status Unbind(const std::string& address, const std::string& driver) = 0;
  // Lets the kernel look for a driver. Ok says nothing about whether there is one.
  virtual absl::Status Probe(const std::string& address) = 0;
};

// Where the record of former drivers is kept. Load() and Save() as in LedgerStore.
class DriverStore {
 public:
  virtual ~DriverStore() = default;
  virtual absl::StatusOr<DriverRecord> Load() = 0;
  virtual absl::Status Save(const DriverRecord& record) = 0;
};

// Runs `work` on another thread, and `done` in a later turn of the loop. When the daemon ends,
// `done` may not be called any more.
using Aside = std::function<void(std::function<void()> work, std::function<void()> done)>;

// Where the settings of an allocation are left for its container, and the CDI specification with
// its device nodes, if they are handed over so.
class SettingsStore {
 public:
  virtual ~SettingsStore() = default;
  // Writes each file of this allocation, in place of an older one of the same `key`, in one step: a
  // reader sees the old one or the new one whole. Returns the directory that holds it. `key` is the
  // lowest device ID of the allocation.
  // The message of an error names the path.
  virtual absl::StatusOr<std::string> Put(const std::string& key, const Settings& settings) = 0;
  // Removes them. Ok if there are none.
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
  // Milliseconds since the Unix epoch, for people.
  [[nodiscard]] virtual std::int64_t WallMs() const = 0;
  virtual void CallAfter(std::chrono::steady_clock::duration delay, std::function<void()> call) = 0;
};

}  // namespace dp::core
