// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "plugin/core/config.h"
#include "plugin/core/device_broker.h"
#include "tests/fakes/fake_driver_store.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/fake_ledger_store.h"
#include "tests/fakes/fake_msi_window_knob.h"
#include "tests/fakes/fake_pci_drivers.h"
#include "tests/fakes/fake_settings_store.h"
#include "tests/fakes/fake_timers.h"
#include "tests/model/mortal.h"

namespace dp::model {

inline constexpr std::size_t kResources = 2;
// Of the pool: fewer than devices, so that it runs dry.
inline constexpr std::uint64_t kWindows = 5;

// What happens to a node. `a` and `b` say to whom and how; any number means something.
enum class Event {
  kAdmit,           // a pod with up to two containers, each with devices of up to two resources
  kAdmitAndReject,  // the same, and another component refuses the pod
  kStart,           // the next container of a pod; its VMM opens its groups now or later
  kOpen,            // the VMMs that were waited for do so
  kExit,            // a container's VMM ends, or, stuck in the kernel, only seems to
  kDelete,          // a pod; likewise
  kLetGo,           // of the groups of VMMs that were stuck
  kKill,            // the daemon, now
  kKillSoon,        // the daemon, between two of its next effects
  kRestartKubelet,  // which lists no pods for some seconds, or for longer than the grace time
  kReboot,          // with other group numbers or the same
  kReload,          // another pool, and devices that are offered no more, or again
  kPlug,            // a device is taken out, or put in again
  kWait,            // some seconds
  kListing,         // the PodResources API is there, absent, slow or broken
  kFullDisk,        // the ledger cannot be written, or can again
  kLoseLedger,      // while the daemon is down
};
std::ostream& operator<<(std::ostream& out, Event event);

// A node with a daemon, after the rules of a real kubelet and kernel:
//  - Allocate comes for each resource of each container of a pod, one pod after the other, before
//    any start; an error rejects the pod, and its devices are free at once;
//  - PreStartContainer comes for each resource of a container before each start; an error keeps it
//    from starting;
//  - its answers are kept for the life of the pod, over restarts of everything;
//  - PodResources lists a pod's devices from its first Allocate on until it is deleted;
//  - the kernel refuses to move the window of a group that a VMM holds, forgets windows with a
//    reboot or when the device is taken out, and numbers groups anew.
class Node {
 public:
  Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  void Happen(Event event, std::uint32_t a, std::uint32_t b);
  // Everybody goes, everything works again, and a minute passes.
  void Quiesce();

  // What is wrong now; empty: nothing.
  [[nodiscard]] std::string Broken();
  // After Quiesce(): what is still there of what should be gone.
  [[nodiscard]] std::string Leftover();

  // How often what was aimed at came about, by name.
  [[nodiscard]] static std::map<std::string, int>& Counts();

 private:
  struct Device {
    std::string id;
    std::size_t resource = 0;
    std::uint32_t group = 0;
    bool plugged = true;
  };
  struct Share {  // devices of one resource in one container
    std::size_t resource = 0;
    std::vector<std::string> devices;
    std::vector<std::uint32_t> groups;  // of the devices, when they were chosen
  };
  struct Container {
    std::vector<Share> shares;
    bool running = false;                      // was let start
    bool opened = false;                       // its VMM has its groups
    std::map<std::string, core::Window> told;  // by device, at its last start
  };
  struct Pod {
    std::string name;
    std::vector<Container> containers;
    bool one_window = false;   // was known to the kubelet's list when a container started
    bool two_windows = false;  // may have two: a container may have started before that
  };
  // One run of the daemon.
  struct Run {
    explicit Run(Node& node);
    Life life;
    MortalKnob knob;
    MortalSettings settings;
    MortalLedger ledger;
    MortalPods pods;
    MortalTimers timers;
    std::unique_ptr<core::DeviceBroker> broker;
  };
  class Kubelet final : public core::PodLister {
   public:
    explicit Kubelet(Node& node) : node_(node) {}
    void List(Listed done) override;

   private:
    Node& node_;
  };
  enum class Listing { kWorks, kAbsent, kSlow, kBroken };

  void Admit(std::uint32_t a, std::uint32_t b, bool reject);
  void StartContainer(std::uint32_t a, std::uint32_t b);
  void Open(Container& container);
  void Exit(std::uint32_t a, std::uint32_t b);
  void Delete(std::uint32_t a, std::uint32_t b);
  void Reboot(std::uint32_t a);
  void Reload(std::uint32_t a);
  void Plug(std::uint32_t a);
  void Close(Container& container, bool stuck);
  void StartDaemon();
  void Wait(std::chrono::seconds time);
  void Forget();

  absl::Status CallAllocate(const Share& share);
  absl::Status CallPreStart(const Share& share);
  [[nodiscard]] std::optional<Share> Choose(std::size_t resource, std::size_t count);
  [[nodiscard]] bool Answers() const { return run_ && !run_->life.dead() && run_->broker; }
  Device& Find(std::string_view id);
  [[nodiscard]] bool IsBusy(const Share& share);
  [[nodiscard]] bool HasWindowsOutsideThePool() const;
  [[nodiscard]] bool IsOffered(const Device& device) const;
  [[nodiscard]] const core::Reservation* FindReservation(std::string_view device) const;
  [[nodiscard]] std::vector<core::PodDevices> Listed() const;

  fakes::FakeHost host_;
  fakes::FakeMsiWindowKnob knob_{host_};
  fakes::FakeSettingsStore settings_;
  fakes::FakeLedgerStore ledger_;
  fakes::FakeTimers timers_;
  fakes::FakePciDrivers drivers_{host_};
  fakes::FakeDriverStore driver_store_;
  Kubelet kubelet_{*this};
  core::Config config_;

  std::vector<Device> devices_;
  std::vector<std::unique_ptr<Pod>> pods_;
  std::unique_ptr<Pod> admitted_;  // that is being admitted: listed already
  std::set<std::string> stuck_;    // devices whose former VMM has not let go
  std::uint32_t next_group_ = 0;
  int boots_ = 0;
  int names_ = 0;
  Listing listing_ = Listing::kWorks;
  std::chrono::steady_clock::time_point listed_from_;  // a kubelet knows its pods only then
  bool forgets_ = false;                    // it takes longer for that than the grace time
  std::vector<std::unique_ptr<Run>> runs_;  // all, since former ones have timers left
  Run* run_ = nullptr;
};

}  // namespace dp::model
