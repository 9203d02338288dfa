// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "plugin/core/config.h"
#include "plugin/core/driver_change.h"
#include "plugin/core/driver_record.h"
#include "plugin/core/inventory.h"
#include "plugin/core/offers.h"
#include "plugin/core/ports.h"

namespace dp::core {

// Binds vfio-pci to the groups that the configuration wants bound, and gives the former drivers
// back where it does not want that any more.
//
// It compares what it is shown with what is wanted, and changes one group at a time, beside the
// loop. So a function that comes later, one that
// somebody has bound to another driver, and one that a killed daemon has left half-way are all the
// same to it. docs/adr/2026-11-24-binding-rests-on-claims.md
//
// Loop thread, in turns of the broker. Must live as long as the loop runs.
class Binder {
 public:
  // What it works with; the references outlive it.
  struct Tools {
    const Config& config;
    HostScanner& scanner;
    PciDrivers& drivers;
    DriverStore& store;
    Timers& timers;
    Aside aside;
    std::string boot_id;  // of this boot
    // Whether the device is handed over to a pod.
    std::function<bool(const std::string& device)> is_reserved;
    // Runs what it is given when no allocation is under way.
    std::function<void(std::function<void()>)> in_turn;
    // Asks for a scan of the host, and Look() in a turn after it.
    std::function<void()> scan;
  };

  // What did not go is tried again after a while, without being touched until then.
  static constexpr std::chrono::seconds kAgain{30};
  // After functions have been taken off their drivers and put back, a longer while.
  static constexpr std::chrono::minutes kAfterPutBack{10};
  // After which a driver that does not let go no longer holds up other groups.
  static constexpr std::chrono::seconds kPatience{30};

  explicit Binder(Tools tools) : tools_(std::move(tools)) {}
  Binder(const Binder&) = delete;
  Binder& operator=(const Binder&) = delete;
  ~Binder() = default;

  // Reads the record, at start. A record that cannot be read has been set aside: then what is on
  // vfio-pci stays there. Not Ok: it can neither be read nor set aside; names the path.
  absl::Status Open();
  // Whether there is anything to bind or to give back at all.
  [[nodiscard]] bool is_needed() const;
  // Sees what there is to do, and begins with it unless a change is under way.
  void Look(const Inventory& inventory);
  // There is another configuration, or another start: what did not go is tried at once.
  void Forget() { refusals_.clear(); }
  // Offers of a group that is being changed are unhealthy, and those of a group that could not be
  // bound say why.
  void Explain(std::span<Offer> offers) const;
  void Stop() { stopped_ = true; }

 private:
  using Time = std::chrono::steady_clock::time_point;

  // What there is to do with one group, or with a function that has none yet.
  struct Task {
    std::string device;  // as it is offered
    std::optional<std::uint32_t> group;
    std::vector<std::string> addresses;  // to be bound; empty: `former` is to be given back
    std::vector<DriverState> former;
    std::string facts;  // by which a change of the host is known

    [[nodiscard]] bool binds() const { return !addresses.empty(); }
  };
  struct Refusal {
    std::string reason;
    std::string facts;
    Time until;
    bool binds = false;
  };
  // What the other thread works on.
  struct Work;

  void AddTask(const Group& group, bool is_group);
  void Next();
  void DropVanished(const Inventory& inventory);
  [[nodiscard]] bool IsDue(const Task& task) const;
  void Begin(Task task);
  void Run(const std::shared_ptr<Work>& work, std::function<void()> step,
           std::function<void()> then);
  void Bind(const std::shared_ptr<Work>& work);
  void EndBind(const std::shared_ptr<Work>& work);
  void EndRestore(const std::shared_ptr<Work>& work);
  void Refuse(const Task& task, base::Reason reason, std::string text, std::chrono::seconds pause);
  void Finish(const Task& task);
  absl::Status Save(std::map<std::string, DriverState> former);
  absl::Status Erase(std::span<const DriverState> done, std::span<const std::string> but);
  void LookAgainAfter(std::chrono::seconds pause);

  Tools tools_;
  std::map<std::string, DriverState> former_;    // by address, as recorded
  std::deque<Task> tasks_;                       // of the last look; not all need be due
  std::map<std::string, Refusal> refusals_;      // by device
  std::map<std::string, std::string> changing_;  // by device, with what is being done
  std::optional<std::string> running_;           // the device of the change that others wait for
  std::optional<Time> timer_;                    // the next look
  bool is_scan_due_ = false;                     // the offers are not up to date
  bool stopped_ = false;
};

}  // namespace dp::core
