// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"

namespace dp::sysfs {

// An open directory of sysfs. Everything in it is reached through its descriptor, so it stays the
// same one while its parts are read, and links in it lead nowhere else.
class SysfsDirectory {
 public:
  explicit SysfsDirectory(base::UniqueFd fd) : fd_(std::move(fd)) {}

  // Room for one attribute or for a run of directory entries: the callee's scratch memory, kept by
  // the caller because a scan needs it ten thousand times.
  class Buffer {
   public:
    // sysfs gives an attribute one page (Documentation/filesystems/sysfs.rst), and no page of ours
    // is larger than 64 KiB.
    static constexpr std::size_t kLongestAttribute = 65536;
    Buffer() : bytes_(std::make_unique_for_overwrite<char[]>(kLongestAttribute + 1)) {}
    [[nodiscard]] std::span<char> bytes() const { return {bytes_.get(), kLongestAttribute + 1}; }

   private:
    std::unique_ptr<char[]> bytes_;
  };

  // The errors of all members: the message is a clause that follows the path ("cannot be read:
  // Permission denied"), the code is NotFound if there is nothing of that name.

  // A whole attribute, in `buffer`. `path` is relative to this directory and may not contain links.
  absl::StatusOr<std::string_view> Read(const char* path, Buffer& buffer) const;
  // Whether this process may open an attribute for writing; nothing is written. Returns errno, 0
  // for yes.
  [[nodiscard]] int CheckWritable(const char* path) const;
  // Writes an attribute, in one write(2) as the kernel wants it. Returns errno, 0 for success: what
  // it means is up to the attribute.
  [[nodiscard]] int Write(const char* path, std::string_view value) const;
  // The names in the directory at `path`, in any order, into `names`, which is cleared first.
  // OutOfRange: there are more than `most`; `names` has some of them.
  absl::Status List(const char* path, Buffer& buffer, std::vector<std::string>& names,
                    std::size_t most = std::numeric_limits<std::size_t>::max()) const;
  // Where the link at `path` leads, as it is written in it.
  absl::StatusOr<std::string> ReadLink(const char* path) const;
  // A directory at `path`, to which links may lead as long as they stay inside this one.
  absl::StatusOr<SysfsDirectory> Follow(const char* path) const;

 private:
  base::UniqueFd fd_;
};

// Where sysfs is mounted: the only object that knows. No path outside of it is ever opened.
class SysfsRoot {
 public:
  // FailedPrecondition: `path` is not a directory that can be opened; names it.
  static absl::StatusOr<SysfsRoot> Open(std::string path);

  [[nodiscard]] const SysfsDirectory& directory() const { return directory_; }
  // For messages: the full path of something below the root.
  [[nodiscard]] std::string PathOf(std::string_view relative) const {
    return path_ + "/" + std::string(relative);
  }

 private:
  SysfsRoot(std::string path, SysfsDirectory directory)
      : path_(std::move(path)), directory_(std::move(directory)) {}

  std::string path_;
  SysfsDirectory directory_;
};

}  // namespace dp::sysfs
