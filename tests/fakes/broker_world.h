// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/config.h"
#include "plugin/core/device_broker.h"
#include "tests/fakes/fake_driver_store.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/fake_ledger_store.h"
#include "tests/fakes/fake_msi_window_knob.h"
#include "tests/fakes/fake_pci_drivers.h"
#include "tests/fakes/fake_pod_lister.h"
#include "tests/fakes/fake_settings_store.h"
#include "tests/fakes/fake_timers.h"

namespace dp::fakes {

// A DeviceBroker with everything around it in memory. Public members are for the test to change.
class BrokerWorld {
 public:
  // The answer, if there is one yet.
  template <typename T>
  using Answer = std::shared_ptr<std::optional<T>>;

  FakeHost host;
  FakeMsiWindowKnob knob{host};
  FakeSettingsStore settings;
  FakeLedgerStore ledger;
  FakePodLister pods;
  FakeTimers timers;
  FakePciDrivers drivers{host};
  FakeDriverStore driver_store;
  core::Config config;
  std::set<std::string> missing_nodes;  // below /dev
  std::string boot_id = "this-boot";
  core::Leave leave;
  // Everything on one thread, in a later turn.
  core::Aside aside = [this](std::function<void()> work, std::function<void()> done) {
    timers.CallAfter({}, [work = std::move(work), done = std::move(done)] {
      work();
      done();
    });
  };

  [[nodiscard]] core::DeviceBroker& broker() { return *broker_; }

  core::DeviceBroker::Host Parts() {
    return {.scanner = host,
            .knob = knob,
            .settings = settings,
            .ledger = ledger,
            .pods = pods,
            .timers = timers,
            .drivers = drivers,
            .driver_store = driver_store,
            .aside = aside,
            .has_node = [this](const std::string& path) { return !missing_nodes.contains(path); },
            .page_size = 4096,
            .boot_id = boot_id,
            .patience = {},
            .leave = leave};
  }

  // Also again, as after a crash: what only the daemon's memory had is gone.
  absl::Status Start() {
    auto broker = core::DeviceBroker::Create(config, Parts());
    if (!broker.ok()) return broker.status();
    if (broker_) {
      broker_->Drain();
      // Its timers and questions still call it.
      former_.push_back(std::move(broker_));
    }
    broker_ = *std::move(broker);
    return broker_->Open();
  }

  Answer<absl::StatusOr<core::Grant>> Ask(std::size_t resource, std::vector<std::string> devices) {
    auto answer = std::make_shared<std::optional<absl::StatusOr<core::Grant>>>();
    broker_->Allocate(resource, std::move(devices),
                      [answer](absl::StatusOr<core::Grant> grant) { *answer = std::move(grant); });
    return answer;
  }
  // Unknown: there is no answer yet.
  absl::Status Allocate(std::size_t resource, std::vector<std::string> devices) {
    const auto answer = Ask(resource, std::move(devices));
    return answer->has_value() ? (*answer)->status() : absl::UnknownError("not answered yet");
  }
  Answer<absl::Status> AskToStart(std::size_t resource, std::vector<std::string> devices) {
    auto answer = std::make_shared<std::optional<absl::Status>>();
    broker_->CheckBeforeStart(resource, std::move(devices),
                              [answer](absl::Status status) { *answer = std::move(status); });
    return answer;
  }
  absl::Status Check(std::size_t resource, std::vector<std::string> devices) {
    return AskToStart(resource, std::move(devices))
        ->value_or(absl::UnknownError("not answered yet"));
  }

 private:
  std::vector<std::unique_ptr<core::DeviceBroker>> former_;
  std::unique_ptr<core::DeviceBroker> broker_;
};

}  // namespace dp::fakes
