// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

// Archives of files as text (tests/testdata/README.md, "The format"). Pure.
namespace dp::ctl {

// What is more than that is neither written nor read.
inline constexpr std::size_t kMostArchiveBytes = std::size_t{32} << 20;
inline constexpr std::size_t kMostArchiveEntries = 200000;

struct Entry {
  enum class Kind { kFile, kLink, kDirectory };

  Kind kind = Kind::kFile;
  std::string path;     // relative, without "." and ".."
  std::string content;  // of a link: where it leads
};

// Whether an archive may have something at that path.
bool IsArchivePath(std::string_view path);

// Gives each entry to `use`, in the order of the text, until that says no. InvalidArgument: it is
// no archive; one sentence with the line.
absl::Status ReadArchive(std::string_view text, const std::function<absl::Status(Entry)>& use);

// Makes one.
class ArchiveWriter {
 public:
  // Lines "# ..." at the top.
  void AddComment(std::string_view text);
  // What is not added for lack of room, or because it is no text, is noted as left out.
  void AddFile(const std::string& path, std::string_view content);
  void AddLink(const std::string& path, std::string_view target);
  void AddDirectory(const std::string& path);
  void LeaveOut(std::string_view path, std::string_view why);

  // The archive, which says at its end what was left out.
  [[nodiscard]] std::string Finish() const;
  [[nodiscard]] std::size_t left_out() const { return left_out_; }
  [[nodiscard]] bool is_full() const { return is_full_; }

 private:
  bool HasRoom(const std::string& path, std::size_t bytes);

  std::string text_;
  std::size_t entries_ = 0;
  bool is_full_ = false;
  std::size_t left_out_ = 0;
  std::vector<std::string> reasons_;  // the first ones
};

}  // namespace dp::ctl
