// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/device_broker.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/core/describe_node.h"
#include "plugin/core/offers.h"
#include "plugin/core/pod_index.h"
#include "plugin/core/preferred_allocation.h"

// How an allocation goes. The groups asked for are read afresh. Then the reservations end that
// these devices were part of, and a new one is made (Reserve()).
//
// Only the writing can wait (a former VMM has not let go of its group yet). Meanwhile other calls
// wait: two that change the same pool and the same groups side by side would need rules for every
// order of their failures, and the kubelet admits one pod after the other anyway.

namespace dp::core {
namespace {

constexpr char kShuttingDown[] = "the plugin is shutting down";
constexpr char kTakenOver[] = "another daemon has taken over the ledger, this one serves no more";

std::string DevicesOf(std::span<const Target> targets) {
  std::vector<std::string_view> devices;
  devices.reserve(targets.size());
  for (const Target& target : targets) devices.push_back(target.offer.id);
  return fmt::format("{}", fmt::join(devices, ","));
}

}  // namespace

DeviceBroker::DeviceBroker(Config config, Host host)
    : config_(std::move(config)),
      host_(std::move(host)),
      catalogue_({.config = config_,
                  .scanner = host_.scanner,
                  .knob = host_.knob,
                  .has_node = host_.has_node,
                  .timers = host_.timers,
                  .explain = [this](std::span<Offer> offers) { binder_.Explain(offers); }}),
      reservations_(config_.pool, host_.knob, host_.settings),
      books_({.catalogue = catalogue_,
              .settings = host_.settings,
              .ledger = host_.ledger,
              .boot_id = host_.boot_id,
              .page_size = host_.page_size,
              .timers = host_.timers},
             reservations_),
      writer_(host_.knob, host_.timers, host_.patience),
      tools_{.catalogue = catalogue_,
             .reservations = reservations_,
             .books = books_,
             .writer = writer_,
             .timers = host_.timers},
      reconciler_({.pods = host_.pods,
                   .timers = host_.timers,
                   .reservations = reservations_,
                   .books = books_,
                   .in_turn = [this](std::function<void()> look) { InTurn(std::move(look)); }},
                  host_.leave),
      binder_({.config = config_,
               .scanner = host_.scanner,
               .drivers = host_.drivers,
               .store = host_.driver_store,
               .timers = host_.timers,
               .aside = host_.aside,
               .boot_id = host_.boot_id,
               .is_reserved =
                   [this](const std::string& device) {
                     return reservations_.Find(device).lease != nullptr;
                   },
               .in_turn = [this](std::function<void()> task) { InTurn(std::move(task)); },
               .scan = [this] { catalogue_.Rescan(); }}) {
  catalogue_.NotifyScans([this](const Inventory& inventory) {
    if (binder_.is_needed()) InTurn([this, inventory] { binder_.Look(inventory); });
  });
}

absl::StatusOr<std::unique_ptr<DeviceBroker>> DeviceBroker::Create(Config config, Host host) {
  auto broker = std::unique_ptr<DeviceBroker>(new DeviceBroker(std::move(config), std::move(host)));
  ASSIGN_OR_RETURN(broker->inventory_, broker->catalogue_.Open());
  return broker;
}

absl::Status DeviceBroker::Open() {
  const Inventory inventory = std::exchange(inventory_, {});
  catalogue_.LogStart(inventory);
  RETURN_IF_ERROR(books_.Open(inventory, config_.mode, host_.timers.Now()));
  RETURN_IF_ERROR(binder_.Open());
  reconciler_.Start();
  InTurn([this, &inventory] { binder_.Look(inventory); });
  return absl::OkStatus();
}

void DeviceBroker::InTurn(std::function<void()> task) {
  Enqueue({.serve =
               [this, task = std::move(task)] {
                 task();
                 EndTurn();
               },
           .refuse = [](const absl::Status& /*draining*/) {}});
}

void DeviceBroker::Enqueue(Call call) {
  if (draining_) {
    call.refuse(Because(base::Reason::kDaemonEnds, absl::UnavailableError(kShuttingDown)));
    return;
  }
  queue_.push_back(std::move(call));
  ServeQueue();
}

void DeviceBroker::ServeQueue() {
  while (!busy_ && !queue_.empty()) {
    busy_ = true;
    const Call call = std::move(queue_.front());
    queue_.pop_front();
    // As during an update. What this one knows is out of date: what it did now could undo what the
    // other one has promised.
    if (books_.IsTakenOver()) {
      if (!std::exchange(taken_over_, true)) {
        log::Warning("taken over", {{"reason", base::Reason::kYoungerDaemon}});
      }
      call.refuse(Because(base::Reason::kYoungerDaemon, absl::UnavailableError(kTakenOver)));
      busy_ = false;
      continue;
    }
    call.serve();
  }
}

void DeviceBroker::EndTurn() {
  reconciler_.Start();
  busy_ = false;
  if (turned_) turned_();
  ServeQueue();
}

NodeStatus DeviceBroker::Describe() const {
  NodeStatus node = DescribeNode(config_, catalogue_, reservations_, books_);
  node.pods_error = reconciler_.pods_error();
  return node;
}

void DeviceBroker::Release(std::uint64_t base, const Released& done) {
  // Outside of the queue, as with a start.
  host_.pods.List([this, base, done](const ContainerStart::Listed& listed) {
    if (!listed.ok()) {
      done(absl::FailedPreconditionError(
          fmt::format("the kubelet does not say which pods there are: {}",
                      std::string(listed.status().message()))));
      return;
    }
    Enqueue({.serve =
                 [this, base, listed, done] {
                   auto devices = reservations_.ReleaseWindow(base, PodIndex(*listed));
                   if (devices.ok()) books_.Changed();
                   if (const absl::Status status = books_.Save(); !status.ok()) {
                     log::Error("ledger not written",
                                {{"reason", base::Reason::kLedgerNotWritten}, {"error", status}});
                   }
                   done(std::move(devices));
                   EndTurn();
                 },
             .refuse = [done](const absl::Status& status) { done(status); }});
  });
}

void DeviceBroker::HeldBy(const IsPod& is_pod, const Held& done) {
  Enqueue({.serve =
               [this, is_pod, done] {
                 std::vector<HeldGroup> held;
                 for (const Reservations::Lease& lease : reservations_.leases()) {
                   const auto& [window, pod, allocations, started] = lease.reservation;
                   if (!pod || !is_pod(*pod)) continue;
                   for (const Allocation& allocation : allocations) {
                     for (const Holding& holding : allocation.holdings)
                       held.push_back(LookAt(*pod, allocation, holding, window));
                   }
                 }
                 done(std::move(held));
                 EndTurn();
               },
           .refuse = [done](const absl::Status& status) { done(status); }});
}

HeldGroup DeviceBroker::LookAt(const PodName& pod, const Allocation& allocation,
                               const Holding& holding, const std::optional<Window>& window) {
  HeldGroup held{.pod = pod,
                 .resource = allocation.resource,
                 .device = holding.device,
                 .reserved = holding.reserved ? window : std::nullopt,
                 .window = {},
                 .grace = {},
                 .error = {}};
  const absl::StatusOr<Group> group = host_.scanner.ScanGroup(holding.group);
  if (!group.ok()) {
    held.error = std::string(group.status().message());
    return held;
  }
  held.window = group->window;
  if (const Function* grace = FindGrace(*group)) held.grace = grace->name;
  return held;
}

void DeviceBroker::Reconfigure(Config next, const Reconfigured& done) {
  Enqueue({.serve =
               [this, next = std::move(next), done] {
                 ServeReconfigure(next, done);
                 EndTurn();
               },
           .refuse = [done](const absl::Status& status) { done(status); }});
}

void DeviceBroker::ServeReconfigure(Config next, const Reconfigured& done) {
  ConfigChange change = PlanChange(config_, std::move(next));
  const auto inventory = host_.scanner.Scan();
  if (!inventory.ok()) {
    done(inventory.status());
    return;
  }
  auto offers = catalogue_.OffersAfter(change.config, *inventory);
  if (!offers.ok()) {
    done(offers.status());
    return;
  }
  if (config_.pool != change.config.pool) {
    // Outside of its pool the next daemon would not look for what this one has not written down.
    books_.Changed();
    if (const absl::Status status = books_.Save(); !status.ok()) {
      done(absl::UnavailableError(
          fmt::format("the pool stays as it is while the ledger cannot be written: {}",
                      std::string(status.message()))));
      return;
    }
    reservations_.SetPool(change.config.pool);
  }
  config_ = change.config;
  if (config_.mode == Mode::kEnforce &&
      reservations_.Adopt(*inventory, *offers, host_.timers.Now()) > 0) {
    books_.Changed();
  }
  catalogue_.Reconfigured(*std::move(offers));
  done(std::move(change));
  binder_.Forget();
  binder_.Look(*inventory);
}

void DeviceBroker::Allocate(std::size_t resource, std::vector<std::string> devices,
                            const Allocated& done) {
  Enqueue({.serve =
               [this, resource, devices = std::move(devices), done] {
                 ServeAllocate(
                     {.resource = resource, .devices = devices, .done = done, .targets = {}});
               },
           .refuse = [done](const absl::Status& status) { done(status); }});
}

void DeviceBroker::ServeAllocate(Request request) {
  request_ = std::move(request);
  auto targets = catalogue_.LookAgain(request_->resource, request_->devices);
  if (!targets.ok()) {
    Finish(targets.status());
    return;
  }
  request_->targets = *std::move(targets);
  reservations_.EndFormer(request_->devices);
  books_.Changed();

  Reserve(tools_, request_->resource, request_->targets,
          [this](const absl::StatusOr<Books::Entry>& entry) {
            if (entry.ok()) {
              HandOver(*entry);
            } else {
              Finish(entry.status());
            }
          });
}

void DeviceBroker::HandOver(const Books::Entry& entry) {
  const Settings& settings = entry.settings;
  log::Info("allocated",
            {{"resource", settings.resource},
             {"devices", DevicesOf(request_->targets)},
             {"mode", ModeName(settings.mode)},
             {"window", settings.window ? FormatWindow(*settings.window) : std::string("none")}});
  Finish(MakeGrant(request_->targets, settings, entry.directory));
}

void DeviceBroker::Finish(absl::StatusOr<Grant> result) {
  const Allocated done = std::move(request_->done);
  request_.reset();
  done(std::move(result));
  EndTurn();
}

void DeviceBroker::CheckBeforeStart(std::size_t resource, std::vector<std::string> devices,
                                    const Checked& done) {
  if (ContainerStart::IsSettled(reservations_, devices)) {
    EnqueueStart(resource, std::move(devices), std::nullopt, done);
    return;
  }
  // Outside of the queue: a kubelet that does not answer must not hold up allocations.
  host_.pods.List(
      [this, resource, devices = std::move(devices), done](ContainerStart::Listed listed) {
        EnqueueStart(resource, devices, std::move(listed), done);
      });
}

void DeviceBroker::EnqueueStart(std::size_t resource, std::vector<std::string> devices,
                                std::optional<ContainerStart::Listed> listed, const Checked& done) {
  Enqueue({.serve =
               [this, resource, devices = std::move(devices), listed = std::move(listed), done] {
                 start_ = std::make_unique<ContainerStart>(
                     tools_, resource, devices, listed, [this, done](const absl::Status& status) {
                       done(status);
                       EndTurn();
                     });
                 start_->Run();
               },
           .refuse = done});
}

absl::StatusOr<std::vector<std::string>> DeviceBroker::Prefer(
    std::size_t resource, std::span<const std::string> available,
    std::span<const std::string> must_include, int size) const {
  return PreferDevices(offers()[resource].offers, available, must_include, size);
}

void DeviceBroker::Drain() {
  draining_ = true;
  reconciler_.Stop();
  catalogue_.Stop();
  binder_.Stop();
  const std::deque<Call> waiting = std::exchange(queue_, {});
  writer_.Abandon(kShuttingDown);
  for (const Call& call : waiting) {
    call.refuse(Because(base::Reason::kDaemonEnds, absl::UnavailableError(kShuttingDown)));
  }
}

}  // namespace dp::core
