// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_msi_window_knob.h"

#include <fmt/format.h>

namespace dp::fakes {

absl::StatusOr<core::Window> FakeMsiWindowKnob::Read(std::uint32_t group) {
  const core::Group* found = host_.Find(group);
  if (found == nullptr || found->knob == core::Knob::kAbsent) {
    return absl::NotFoundError(fmt::format("group {} has no msi_window", group));
  }
  if (found->knob == core::Knob::kNone) {
    return absl::FailedPreconditionError(fmt::format("group {} has no software window", group));
  }
  return *found->window;
}

absl::Status FakeMsiWindowKnob::Write(std::uint32_t group, core::Window window) {
  if (absl::Status status = Read(group).status(); !status.ok()) return status;
  if (const auto error = errors.find(group); error != errors.end()) return error->second;
  core::Group& found = *host_.Find(group);
  if (busy.contains(group) && found.window != window) {
    return absl::UnavailableError(fmt::format("group {} is in use by a VMM", group));
  }
  if (!deaf.contains(group)) found.window = window;
  writes.push_back(fmt::format("{}: {}", group, core::FormatWindow(window)));
  return absl::OkStatus();
}

absl::Status FakeMsiWindowKnob::Reset(std::uint32_t group) {
  if (absl::Status status = Write(group, core::kFixedWindow); !status.ok()) return status;
  writes.back() = fmt::format("{}: default", group);
  return absl::OkStatus();
}

}  // namespace dp::fakes
