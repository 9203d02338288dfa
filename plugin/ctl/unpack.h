// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace dp::ctl {

// Where, in an archive, is what is not of sysfs. Nothing there may be a link.
inline constexpr std::string_view kOwnFolder = "vfio-doorbell";

// An archive as a folder, which goes with the object. Nothing outside of the folder is made or
// written, whatever paths and links the archive has.
class Unpacked {
 public:
  // InvalidArgument: it is no archive, with file and line. Else by errno; names the path.
  static absl::StatusOr<std::unique_ptr<Unpacked>> Create(const std::string& path);
  Unpacked(const Unpacked&) = delete;
  Unpacked& operator=(const Unpacked&) = delete;
  ~Unpacked();

  // Of what is as in sysfs.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit Unpacked(std::string path) : path_(std::move(path)) {}

  std::string path_;
};

// Writes a file where there is none, for its owner alone. By errno; names the path.
absl::Status WriteNewFile(const std::string& path, std::string_view content);

}  // namespace dp::ctl
