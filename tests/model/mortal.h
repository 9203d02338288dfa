// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "plugin/core/ports.h"

namespace dp::model {

// The life of one run of the daemon. It can be cut short between any two things that it does to the
// outside; what it does afterwards has no effect.
class Life {
 public:
  // It dies before its (effects + 1)th effect.
  void DieAfter(int effects) { left_ = effects; }
  void Die() { dead_ = true; }
  [[nodiscard]] bool dead() const { return dead_; }

  // Whether the next effect takes place.
  bool Spend() {
    if (left_ >= 0 && left_-- == 0) dead_ = true;
    return !dead_;
  }

 private:
  int left_ = -1;  // negative: no end is set
  bool dead_ = false;
};

// What a system call of a dead process would say is seen by nobody.
inline absl::Status Dead() { return absl::AbortedError("the process is dead"); }

class MortalKnob final : public core::MsiWindowKnob {
 public:
  MortalKnob(Life& life, core::MsiWindowKnob& knob) : life_(life), knob_(knob) {}
  absl::StatusOr<core::Window> Read(std::uint32_t group) override { return knob_.Read(group); }
  absl::Status Check(std::uint32_t group) override { return knob_.Check(group); }
  absl::Status Write(std::uint32_t group, core::Window window) override {
    return life_.Spend() ? knob_.Write(group, window) : Dead();
  }
  absl::Status Reset(std::uint32_t group) override {
    return life_.Spend() ? knob_.Reset(group) : Dead();
  }

 private:
  Life& life_;
  core::MsiWindowKnob& knob_;
};

class MortalSettings final : public core::SettingsStore {
 public:
  MortalSettings(Life& life, core::SettingsStore& store) : life_(life), store_(store) {}
  absl::StatusOr<std::string> Put(const std::string& key, const core::Settings& value) override {
    if (!life_.Spend()) return Dead();
    return store_.Put(key, value);
  }
  absl::Status Remove(const std::string& key) override {
    return life_.Spend() ? store_.Remove(key) : Dead();
  }
  absl::StatusOr<std::vector<std::string>> Keys() override { return store_.Keys(); }

 private:
  Life& life_;
  core::SettingsStore& store_;
};

class MortalLedger final : public core::LedgerStore {
 public:
  MortalLedger(Life& life, core::LedgerStore& store) : life_(life), store_(store) {}
  absl::StatusOr<core::Ledger> Load() override { return store_.Load(); }
  absl::Status Save(const core::Ledger& ledger) override {
    return life_.Spend() ? store_.Save(ledger) : Dead();
  }
  bool IsTakenOver() override { return store_.IsTakenOver(); }

 private:
  Life& life_;
  core::LedgerStore& store_;
};

class MortalPods final : public core::PodLister {
 public:
  MortalPods(Life& life, core::PodLister& lister) : life_(life), lister_(lister) {}
  void List(Listed done) override {
    lister_.List([this, done = std::move(done)](auto listed) {
      if (!life_.dead()) done(std::move(listed));
    });
  }

 private:
  Life& life_;
  core::PodLister& lister_;
};

class MortalTimers final : public core::Timers {
 public:
  MortalTimers(Life& life, core::Timers& timers) : life_(life), timers_(timers) {}
  [[nodiscard]] std::chrono::steady_clock::time_point Now() const override { return timers_.Now(); }
  [[nodiscard]] std::int64_t WallMs() const override { return timers_.WallMs(); }
  void CallAfter(std::chrono::steady_clock::duration delay, std::function<void()> call) override {
    timers_.CallAfter(delay, [this, call = std::move(call)] {
      if (!life_.dead()) call();
    });
  }

 private:
  Life& life_;
  core::Timers& timers_;
};

}  // namespace dp::model
