// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/ports.h"
#include "tests/fakes/fake_host.h"

namespace dp::fakes {

// The knob of a FakeHost, with the kernel's rules: a group that a VMM owns takes only the window
// that it has (Documentation/ABI/testing/sysfs-kernel-iommu_groups, msi_window).
class FakeMsiWindowKnob final : public core::MsiWindowKnob {
 public:
  // `host` outlives the knob.
  explicit FakeMsiWindowKnob(FakeHost& host) : host_(host) {}

  std::set<std::uint32_t> busy;                  // groups that a VMM owns
  std::map<std::uint32_t, absl::Status> errors;  // what writes to a group fail with
  absl::Status closed;                           // what opening any of them for writing fails with
  std::set<std::uint32_t> deaf;                  // groups that take a write and keep their window
  std::vector<std::string> writes;               // that succeeded: "7: 0x09000000 0x00100000"

  [[nodiscard]] core::Window WindowOf(std::uint32_t group) { return *host_.Find(group)->window; }

  absl::StatusOr<core::Window> Read(std::uint32_t group) override;
  absl::Status Check(std::uint32_t /*group*/) override { return closed; }
  absl::Status Write(std::uint32_t group, core::Window window) override;
  absl::Status Reset(std::uint32_t group) override;

 private:
  FakeHost& host_;
};

}  // namespace dp::fakes
