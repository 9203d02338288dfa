// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "plugin/core/ports.h"

namespace dp::app {

// Counts what the kernel says to writes, by errno: "0", "EBUSY". Loop thread.
class CountingKnob final : public core::MsiWindowKnob {
 public:
  // Both outlive it.
  CountingKnob(core::MsiWindowKnob& knob, std::map<std::string, std::uint64_t>& writes)
      : knob_(knob), writes_(writes) {}

  absl::StatusOr<core::Window> Read(std::uint32_t group) override { return knob_.Read(group); }
  absl::Status Check(std::uint32_t group) override { return knob_.Check(group); }
  absl::Status Write(std::uint32_t group, core::Window window) override {
    return Count(knob_.Write(group, window));
  }
  absl::Status Reset(std::uint32_t group) override { return Count(knob_.Reset(group)); }

 private:
  absl::Status Count(absl::Status status) {
    ++writes_[NameOf(status.code())];
    return status;
  }
  // Of the errno that the knob has made the code of (core/ports.h).
  static const char* NameOf(absl::StatusCode code) {
    switch (code) {
      case absl::StatusCode::kOk:
        return "0";
      case absl::StatusCode::kPermissionDenied:
        return "EACCES";
      case absl::StatusCode::kUnavailable:
        return "EBUSY";
      case absl::StatusCode::kOutOfRange:
        return "ERANGE";
      case absl::StatusCode::kAlreadyExists:
        return "EADDRINUSE";
      case absl::StatusCode::kUnimplemented:
        return "EOPNOTSUPP";
      case absl::StatusCode::kInvalidArgument:
        return "EINVAL";
      case absl::StatusCode::kNotFound:
        return "ENOENT";
      default:
        return "other";
    }
  }

  core::MsiWindowKnob& knob_;
  std::map<std::string, std::uint64_t>& writes_;
};

}  // namespace dp::app
