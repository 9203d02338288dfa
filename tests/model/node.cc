// SPDX-License-Identifier: Apache-2.0
#include "tests/model/node.h"

#include <fmt/format.h>

#include <algorithm>

namespace dp::model {
namespace {

using std::chrono::seconds;

constexpr std::uint32_t kDevicesOfEach = 4;
constexpr std::uint64_t kPoolStart = 0x09100000;
// Of the devices of the second resource: all of them, or two.
constexpr char kWide[] = "0000:1*";
constexpr char kNarrow[] = "0000:1[01]:*";
constexpr seconds kPreStartLimit{30};  // of the kubelet
constexpr seconds kListLimit{5};       // of PodLister

std::string ResourceName(std::size_t resource) {
  return fmt::format("vendor.example/r{}", resource);
}

void Count(const std::string& what) { ++Node::Counts()[what]; }

}  // namespace

std::ostream& operator<<(std::ostream& out, Event event) {
  constexpr const char* kNames[] = {
      "admit",   "admit and reject", "start",           "open",   "exit",   "delete", "let go",
      "kill",    "kill soon",        "restart kubelet", "reboot", "reload", "plug",   "wait",
      "listing", "full disk",        "lose ledger"};
  return out << kNames[static_cast<std::size_t>(event)];
}

std::map<std::string, int>& Node::Counts() {
  static std::map<std::string, int> counts;
  return counts;
}

Node::Run::Run(Node& node)
    : knob(life, node.knob_),
      settings(life, node.settings_),
      ledger(life, node.ledger_),
      pods(life, node.kubelet_),
      timers(life, node.timers_) {}

Node::Node() {
  for (std::size_t resource = 0; resource < kResources; ++resource) {
    core::Selector selector;
    selector.addresses = {fmt::format("0000:{}*", resource)};
    config_.resources.push_back(
        {.name = ResourceName(resource), .selectors = {selector}, .line = 1});
    for (std::uint32_t number = 0; number < kDevicesOfEach; ++number) {
      devices_.push_back({.id = fmt::format("0000:{}{}:00.0", resource, number),
                          .resource = resource,
                          .group = next_group_++});
      host_.AddGroup(
          fakes::GroupOf(devices_.back().group, {fakes::NvmeFunction(devices_.back().id)}));
    }
  }
  config_.pool = {.start = kPoolStart,
                  .end = kPoolStart + kWindows * core::kWindowGranule,
                  .window_size = core::kWindowGranule};
  StartDaemon();
}

void Node::Happen(Event event, std::uint32_t a, std::uint32_t b) {
  switch (event) {
    case Event::kAdmit:
      Admit(a, b, false);
      break;
    case Event::kAdmitAndReject:
      Admit(a, b, true);
      break;
    case Event::kStart:
      StartContainer(a, b);
      break;
    case Event::kOpen:
      for (const auto& pod : pods_) {
        for (Container& container : pod->containers) Open(container);
      }
      break;
    case Event::kExit:
      Exit(a, b);
      break;
    case Event::kDelete:
      Delete(a, b);
      break;
    case Event::kLetGo:
      for (const std::string& id : std::exchange(stuck_, {})) knob_.busy.erase(Find(id).group);
      break;
    case Event::kKill:
      run_->life.Die();
      break;
    case Event::kKillSoon:
      run_->life.DieAfter(static_cast<int>(a % 8));
      break;
    case Event::kRestartKubelet:
      forgets_ = b % 4 == 0;
      listed_from_ = timers_.Now() + seconds(forgets_ ? 20 + a % 60 : a % 15);
      if (Answers()) run_->broker->KubeletStarted();
      break;
    case Event::kReboot:
      Reboot(a);
      break;
    case Event::kReload:
      Reload(a);
      break;
    case Event::kPlug:
      Plug(a);
      break;
    case Event::kWait:
      Wait(seconds(a % 40));
      break;
    case Event::kListing:
      listing_ = static_cast<Listing>(a % 4);
      break;
    case Event::kFullDisk:
      ledger_.save_status =
          a % 4 == 0 ? absl::ResourceExhaustedError("no space left on device") : absl::OkStatus();
      break;
    case Event::kLoseLedger:
      // Of a window outside of the pool nobody would know then that it is ours.
      if (HasWindowsOutsideThePool()) break;
      run_->life.Die();
      ledger_.ledger.reset();
      // Which of them were started, nobody knows any more.
      for (const auto& pod : pods_) pod->two_windows |= !pod->one_window;
      Count("ledger lost");
      break;
  }
  // Somebody starts it again at once; without a ledger it does not come up.
  if (!Answers()) StartDaemon();
}

void Node::StartDaemon() {
  runs_.push_back(std::make_unique<Run>(*this));
  run_ = runs_.back().get();
  auto broker =
      core::DeviceBroker::Create(config_, {.scanner = host_,
                                           .knob = run_->knob,
                                           .settings = run_->settings,
                                           .ledger = run_->ledger,
                                           .pods = run_->pods,
                                           .timers = run_->timers,
                                           .drivers = drivers_,
                                           .driver_store = driver_store_,
                                           .aside =
                                               [](const auto& work, const auto& done) {
                                                 work();
                                                 done();
                                               },
                                           .has_node = [](const std::string&) { return true; },
                                           .page_size = 4096,
                                           .boot_id = std::to_string(boots_),
                                           .patience = {},
                                           .leave = {}});
  // A host all of whose devices are out has no daemon until one is in again.
  if (!broker.ok() || !(*broker)->Open().ok()) return;
  run_->broker = *std::move(broker);
}

void Node::Wait(seconds time) {
  for (seconds waited{0}; waited < time; waited += seconds(1)) {
    Forget();
    timers_.Advance(seconds(1));
  }
}

// Of a pod that the kubelet has forgotten for long, only what a VMM holds is known to be there. Its
// other groups may lose their window, and all of them if there is none.
void Node::Forget() {
  if (!forgets_ || timers_.Now() >= listed_from_) return;
  for (const auto& pod : pods_) {
    bool held = false;
    for (Container& container : pod->containers) {
      if (container.opened) {
        held = true;
      } else {
        container.told.clear();
      }
    }
    if (held) Count("forgotten while a VMM ran");
    if (held || pod->two_windows) continue;
    Count("forgotten");
    pod->one_window = false;
    pod->two_windows = true;
  }
}

Node::Device& Node::Find(std::string_view id) {
  return *std::find_if(devices_.begin(), devices_.end(),
                       [id](const Device& device) { return device.id == id; });
}

bool Node::IsBusy(const Share& share) {
  return std::any_of(share.devices.begin(), share.devices.end(),
                     [this](const std::string& id) { return knob_.busy.contains(Find(id).group); });
}

// What the ledger says; null: nothing.
const core::Reservation* Node::FindReservation(std::string_view device) const {
  if (!ledger_.ledger) return nullptr;
  for (const core::Reservation& reservation : ledger_.ledger->reservations) {
    for (const core::Allocation& allocation : reservation.allocations) {
      for (const core::Holding& holding : allocation.holdings) {
        if (holding.device == device) return &reservation;
      }
    }
  }
  return nullptr;
}

std::vector<core::PodDevices> Node::Listed() const {
  std::vector<core::PodDevices> listed;
  const auto add = [&listed](const Pod& pod) {
    for (const Container& container : pod.containers) {
      for (const Share& share : container.shares) {
        listed.push_back({.pod = {.space = "default", .name = pod.name},
                          .container = "c",
                          .resource = ResourceName(share.resource),
                          .devices = share.devices});
      }
    }
  };
  for (const auto& pod : pods_) add(*pod);
  if (admitted_) add(*admitted_);
  return listed;
}

void Node::Kubelet::List(Listed done) {
  switch (node_.listing_) {
    case Listing::kAbsent:
      done(absl::NotFoundError("this kubelet has no PodResources API"));
      return;
    case Listing::kBroken:
      done(absl::InternalError("something is wrong"));
      return;
    case Listing::kSlow:
      node_.timers_.CallAfter(kListLimit, [done = std::move(done)] {
        done(absl::DeadlineExceededError("no answer in 5 s"));
      });
      return;
    case Listing::kWorks:
      if (node_.timers_.Now() < node_.listed_from_) {
        done(std::vector<core::PodDevices>());
      } else {
        done(node_.Listed());
      }
      return;
  }
}

// Devices that the kubelet may give: healthy ones that no pod has.
std::optional<Node::Share> Node::Choose(std::size_t resource, std::size_t count) {
  std::set<std::string> taken;
  for (const core::PodDevices& entry : Listed()) {
    taken.insert(entry.devices.begin(), entry.devices.end());
  }
  Share share{.resource = resource, .devices = {}, .groups = {}};
  for (const core::Offer& offer : run_->broker->offers()[resource].offers) {
    if (share.devices.size() == count) break;
    if (!offer.healthy() || taken.contains(offer.id)) continue;
    share.devices.push_back(offer.id);
    share.groups.push_back(Find(offer.id).group);
  }
  if (share.devices.size() < count) return std::nullopt;
  return share;
}

absl::Status Node::CallAllocate(const Share& share) {
  if (!Answers()) return absl::UnavailableError("no daemon");
  auto answer = std::make_shared<std::optional<absl::Status>>();
  run_->broker->Allocate(
      share.resource, share.devices,
      [answer](const absl::StatusOr<core::Grant>& grant) { *answer = grant.status(); });
  // The kubelet waits as long as it takes.
  for (int second = 0; !answer->has_value() && !run_->life.dead() && second < 60; ++second) {
    Wait(seconds(1));
  }
  if (run_->life.dead()) return absl::UnavailableError("the daemon died");
  return answer->value_or(absl::DeadlineExceededError("Allocate is not answered"));
}

absl::Status Node::CallPreStart(const Share& share) {
  if (!Answers()) return absl::UnavailableError("no daemon");
  auto answer = std::make_shared<std::optional<absl::Status>>();
  run_->broker->CheckBeforeStart(share.resource, share.devices,
                                 [answer](absl::Status status) { *answer = std::move(status); });
  for (seconds waited{0}; !answer->has_value() && !run_->life.dead() && waited < kPreStartLimit;
       waited += seconds(1)) {
    Wait(seconds(1));
  }
  if (run_->life.dead()) return absl::UnavailableError("the daemon died");
  return answer->value_or(absl::DeadlineExceededError("PreStartContainer is not answered"));
}

void Node::Admit(std::uint32_t a, std::uint32_t b, bool reject) {
  if (!Answers()) return;
  admitted_ = std::make_unique<Pod>();
  admitted_->name = fmt::format("pod-{}", names_++);
  const std::uint32_t containers = 1 + a % 2;
  absl::Status status;
  for (std::uint32_t i = 0; i < containers && status.ok(); ++i) {
    admitted_->containers.emplace_back();
    for (std::size_t resource = 0; resource < kResources && status.ok(); ++resource) {
      const std::size_t count = (b >> (2 * (i * kResources + resource))) % 3;
      if (count == 0 || !Answers()) continue;
      const auto share = Choose(resource, count);
      if (!share) {
        status = absl::ResourceExhaustedError("the scheduler would not have sent the pod");
        break;
      }
      status = CallAllocate(*share);
      if (status.ok()) admitted_->containers[i].shares.push_back(*share);
    }
  }
  std::unique_ptr<Pod> pod = std::move(admitted_);
  std::erase_if(pod->containers, [](const Container& c) { return c.shares.empty(); });
  if (!status.ok() || reject || pod->containers.empty()) {
    if (absl::IsResourceExhausted(status)) Count("pool dry");
    if (absl::IsUnavailable(status)) Count("admission while a VMM was stuck, or without daemon");
    return;
  }
  Count("admitted");
  pods_.push_back(std::move(pod));
}

void Node::StartContainer(std::uint32_t a, std::uint32_t b) {
  if (pods_.empty()) return;
  Pod& pod = *pods_[a % pods_.size()];
  Container& container = pod.containers[b % pod.containers.size()];
  if (container.running) return;
  const bool someone_runs =
      std::any_of(pod.containers.begin(), pod.containers.end(), [this](const Container& other) {
        return std::any_of(other.shares.begin(), other.shares.end(),
                           [this](const Share& share) { return IsBusy(share); });
      });
  // All devices are to be as they were, or the windows are left as they are.
  bool all_there = true;
  for (const Container& other : pod.containers) {
    for (const Share& share : other.shares) {
      for (std::size_t i = 0; i < share.devices.size(); ++i) {
        const Device& device = Find(share.devices[i]);
        all_there &= IsOffered(device) && device.group == share.groups[i];
      }
    }
  }
  const bool listed = listing_ == Listing::kWorks && timers_.Now() >= listed_from_;
  bool reserved = true;
  for (const Share& share : container.shares) {
    for (const std::string& id : share.devices) {
      const core::Reservation* reservation = FindReservation(id);
      reserved &= reservation != nullptr && reservation->window.has_value();
    }
  }
  // Nobody can say whose they are, and if it goes on, they get a window of their own.
  if (!listed && !reserved) pod.one_window = false;
  // With its windows as they are.
  if (!pod.one_window && (!listed || someone_runs || !all_there)) pod.two_windows = true;
  for (const Share& share : container.shares) {
    if (const absl::Status status = CallPreStart(share); !status.ok()) {
      Count("start refused: " +
            std::string(status.message().substr(0, status.message().find(':'))));
      return;
    }
  }
  // It reads its settings.
  container.told.clear();
  for (const Share& share : container.shares) {
    for (const std::string& id : share.devices) {
      for (const auto& [key, settings] : settings_.settings) {
        if (key != share.devices.front()) continue;
        for (const auto& group : settings.groups) {
          if (group.device == id && group.window) container.told[id] = *group.window;
        }
      }
    }
  }
  container.running = true;
  if (listed && !someone_runs && all_there && !pod.two_windows) pod.one_window = true;
  Count("started");
  if (b % 3 != 0) Open(container);
}

void Node::Open(Container& container) {
  if (!container.running || container.opened) return;
  container.opened = true;
  for (const Share& share : container.shares) {
    for (const std::string& id : share.devices) {
      if (!Find(id).plugged) continue;
      knob_.busy.insert(Find(id).group);
      // Else it could not have opened the group.
      stuck_.erase(id);
    }
  }
}

void Node::Close(Container& container, bool stuck) {
  if (!container.running) return;
  container.running = false;
  if (!std::exchange(container.opened, false)) return;
  for (const Share& share : container.shares) {
    for (const std::string& id : share.devices) {
      if (stuck && Find(id).plugged) {
        stuck_.insert(id);
      } else {
        knob_.busy.erase(Find(id).group);
      }
    }
  }
}

void Node::Exit(std::uint32_t a, std::uint32_t b) {
  if (pods_.empty()) return;
  Pod& pod = *pods_[a % pods_.size()];
  Close(pod.containers[b % pod.containers.size()], b % 5 == 0);
}

void Node::Delete(std::uint32_t a, std::uint32_t b) {
  if (pods_.empty()) return;
  const auto pod = pods_.begin() + static_cast<std::ptrdiff_t>(a % pods_.size());
  for (Container& container : (*pod)->containers) Close(container, b % 4 == 0);
  pods_.erase(pod);
  Count("deleted");
}

void Node::Reboot(std::uint32_t a) {
  run_->life.Die();
  ++boots_;
  stuck_.clear();
  knob_.busy.clear();
  settings_.settings.clear();  // on a tmpfs
  for (const auto& pod : pods_) {
    pod->one_window = false;
    pod->two_windows = false;
    for (Container& container : pod->containers) container.running = container.opened = false;
  }
  if (a % 2 == 0) {
    std::rotate(devices_.begin(), devices_.begin() + 1 + a % 5, devices_.end());
    Count("numbers changed");
  }
  host_.inventory.groups.clear();
  next_group_ = 0;
  for (Device& device : devices_) {
    if (!device.plugged) continue;
    device.group = next_group_++;
    host_.AddGroup(fakes::GroupOf(device.group, {fakes::NvmeFunction(device.id)}));
  }
  Count("reboots");
}

// The next daemon begins with it, if this one dies on the way; one that is refused is taken back.
void Node::Reload(std::uint32_t a) {
  if (!Answers()) return;
  const core::Config former = config_;
  config_.pool.start = kPoolStart + a % 4 * core::kWindowGranule;
  config_.pool.end = config_.pool.start + kWindows * core::kWindowGranule;
  config_.resources[1].selectors[0].addresses = {a / 4 % 2 == 0 ? kWide : kNarrow};
  run_->broker->Reconfigure(config_,
                            [this, former](const absl::StatusOr<core::ConfigChange>& change) {
                              if (!change.ok()) config_ = former;
                              Count(change.ok() ? "reloads" : "reloads that were refused");
                            });
}

bool Node::HasWindowsOutsideThePool() const {
  return std::any_of(
      host_.inventory.groups.begin(), host_.inventory.groups.end(),
      [this](const core::Group& group) {
        return group.window != core::kFixedWindow &&
               (group.window->base < config_.pool.start || group.window->base >= config_.pool.end);
      });
}

bool Node::IsOffered(const Device& device) const {
  return device.plugged &&
         (device.resource != 1 || config_.resources[1].selectors[0].addresses[0] == kWide ||
          device.id < "0000:12");
}

void Node::Plug(std::uint32_t a) {
  Device& device = devices_[a % devices_.size()];
  if (device.plugged) {
    host_.RemoveGroup(device.group);
    knob_.busy.erase(device.group);
    stuck_.erase(device.id);
    // Its VMM loses it, and with it its group.
    for (const auto& pod : pods_) {
      for (Container& container : pod->containers) container.told.erase(device.id);
    }
  } else {
    device.group = next_group_++;
    host_.AddGroup(fakes::GroupOf(device.group, {fakes::NvmeFunction(device.id)}));
  }
  device.plugged = !device.plugged;
  if (Answers()) run_->broker->Rescan();
}

void Node::Quiesce() {
  ledger_.save_status = absl::OkStatus();
  listing_ = Listing::kWorks;
  listed_from_ = {};
  for (const auto& pod : pods_) {
    for (Container& container : pod->containers) Close(container, false);
  }
  pods_.clear();
  stuck_.clear();
  knob_.busy.clear();
  for (Device& device : devices_) {
    if (device.plugged) continue;
    device.plugged = true;
    device.group = next_group_++;
    host_.AddGroup(fakes::GroupOf(device.group, {fakes::NvmeFunction(device.id)}));
  }
  run_->life.DieAfter(-1);
  if (!Answers()) StartDaemon();
  run_->broker->Rescan();
  Wait(seconds(60));
}

}  // namespace dp::model
