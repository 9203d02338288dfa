// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "plugin/base/parse.h"
#include "plugin/base/status_macros.h"
#include "plugin/ctl/output.h"

namespace dp::ctl {
namespace {

constexpr std::size_t kLongestPath = 1024;
constexpr std::size_t kMostReasons = 20;

std::optional<std::string_view> Value(std::string_view line, std::string_view key) {
  if (!line.starts_with(key)) return std::nullopt;
  return line.substr(key.size());
}

bool IsText(std::string_view content) {
  return std::none_of(content.begin(), content.end(), [](unsigned char c) {
    return (c < ' ' && c != '\n' && c != '\t') || c == 0x7f;
  });
}

class Reader {
 public:
  Reader(std::string_view text, const std::function<absl::Status(Entry)>& use)
      : rest_(text), use_(use) {}

  absl::Status Read() {
    std::size_t entries = 0;
    while (const auto line = NextLine()) {
      if (line->empty() || line->front() == '#') continue;
      if (++entries > kMostArchiveEntries)
        return Error(fmt::format("it has more than {} entries", kMostArchiveEntries));
      ASSIGN_OR_RETURN(Entry entry, ReadEntry(*line));
      if (!IsArchivePath(entry.path)) return Error("its path leads out of the archive");
      RETURN_IF_ERROR(use_(std::move(entry)));
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<Entry> ReadEntry(std::string_view line) {
    if (const auto folder = Value(line, "Directory: "))
      return Entry{.kind = Entry::Kind::kDirectory, .path = std::string(*folder), .content = {}};
    const auto path = Value(line, "Path: ");
    if (!path) return Error("expected \"Directory:\" or \"Path:\"");
    const auto next = NextLine();
    if (!next) return Error("it ends after \"Path:\"");
    if (const auto target = Value(*next, "SymlinkTo: ")) {
      return Entry{
          .kind = Entry::Kind::kLink, .path = std::string(*path), .content = std::string(*target)};
    }
    const auto count = Value(*next, "Lines: ");
    const auto lines = count ? base::ParseDecimal<std::uint32_t>(*count) : std::nullopt;
    if (!lines) return Error("expected \"SymlinkTo:\" or \"Lines:\" and a number");
    Entry entry{.kind = Entry::Kind::kFile, .path = std::string(*path), .content = {}};
    for (std::uint32_t i = 0; i < *lines; ++i) {
      const auto content = NextLine();
      if (!content) return Error("it ends inside a file");
      entry.content.append(*content).push_back('\n');
    }
    return entry;
  }

  std::optional<std::string_view> NextLine() {
    if (rest_.empty()) return std::nullopt;
    ++line_;
    const auto end = std::min(rest_.find('\n'), rest_.size());
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    return line;
  }

  [[nodiscard]] absl::Status Error(std::string_view what) const {
    return absl::InvalidArgumentError(fmt::format("line {}: {}", line_, what));
  }

  std::string_view rest_;
  const std::function<absl::Status(Entry)>& use_;
  std::size_t line_ = 0;
};

}  // namespace

bool IsArchivePath(std::string_view path) {
  if (path.empty() || path.size() > kLongestPath || !IsText(path) ||
      path.find_first_of("\n\t") != std::string_view::npos) {
    return false;
  }
  while (true) {
    const auto end = path.find('/');
    const std::string_view part = path.substr(0, end);
    if (part.empty() || part == "." || part == "..") return false;
    if (end == std::string_view::npos) return true;
    path.remove_prefix(end + 1);
  }
}

absl::Status ReadArchive(std::string_view text, const std::function<absl::Status(Entry)>& use) {
  if (text.size() > kMostArchiveBytes) {
    return absl::InvalidArgumentError(
        fmt::format("it has {} bytes, more than {}", text.size(), kMostArchiveBytes));
  }
  return Reader(text, use).Read();
}

bool ArchiveWriter::HasRoom(const std::string& path, std::size_t bytes) {
  // Room for the heading of an entry, and for what is said at the end.
  constexpr std::size_t kHeading = 64;
  constexpr std::size_t kEnd = 65536;
  if (!IsArchivePath(path)) {
    LeaveOut(path, "has a name that is no text");
    return false;
  }
  if (entries_ >= kMostArchiveEntries ||
      text_.size() + path.size() + bytes + kHeading + kEnd > kMostArchiveBytes) {
    is_full_ = true;
    LeaveOut(path, "the archive is full");
    return false;
  }
  ++entries_;
  return true;
}

void ArchiveWriter::AddComment(std::string_view text) {
  text_ += fmt::format("# {}\n", Printable(text));
}

void ArchiveWriter::AddFile(const std::string& path, std::string_view content) {
  if (!IsText(content)) return LeaveOut(path, "is no text");
  if (!HasRoom(path, content.size())) return;
  const bool is_cut = !content.empty() && content.back() != '\n';
  const auto lines = std::count(content.begin(), content.end(), '\n') + (is_cut ? 1 : 0);
  text_ += fmt::format("Path: {}\nLines: {}\n{}{}", path, lines, content, is_cut ? "\n" : "");
}

void ArchiveWriter::AddLink(const std::string& path, std::string_view target) {
  if (target.empty() || !IsText(target) || target.find('\n') != std::string_view::npos)
    return LeaveOut(path, "leads to what is no text");
  if (HasRoom(path, target.size())) text_ += fmt::format("Path: {}\nSymlinkTo: {}\n", path, target);
}

void ArchiveWriter::AddDirectory(const std::string& path) {
  if (HasRoom(path, 0)) text_ += fmt::format("Directory: {}\n", path);
}

void ArchiveWriter::LeaveOut(std::string_view path, std::string_view why) {
  constexpr std::size_t kLongest = 200;
  if (left_out_++ < kMostReasons)
    reasons_.push_back(Printable(fmt::format("{}: {}", path.substr(0, kLongest), why)));
}

std::string ArchiveWriter::Finish() const {
  std::string text = text_;
  for (const std::string& reason : reasons_) text += fmt::format("# left out: {}\n", reason);
  if (left_out_ > reasons_.size())
    text += fmt::format("# left out: {} more\n", left_out_ - reasons_.size());
  return text;
}

}  // namespace dp::ctl
