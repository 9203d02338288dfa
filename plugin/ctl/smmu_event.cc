// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/smmu_event.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <utility>

#include "plugin/base/parse.h"

namespace dp::ctl {
namespace {

constexpr std::size_t kWords = 4;  // EVTQ_ENT_DWORDS

// arm-smmu-v3.c, event_str[]; the numbers are those of the SMMUv3 specification (7.3).
struct Kind {
  std::uint64_t id;
  std::string_view name;
};
constexpr std::array kKinds{
    Kind{0x02, "C_BAD_STREAMID"},    Kind{0x03, "F_STE_FETCH"},       Kind{0x04, "C_BAD_STE"},
    Kind{0x06, "F_STREAM_DISABLED"}, Kind{0x08, "C_BAD_SUBSTREAMID"}, Kind{0x09, "F_CD_FETCH"},
    Kind{0x0a, "C_BAD_CD"},          Kind{0x10, "F_TRANSLATION"},     Kind{0x11, "F_ADDR_SIZE"},
    Kind{0x12, "F_ACCESS"},          Kind{0x13, "F_PERMISSION"},      Kind{0x25, "F_VMS_FETCH"}};

std::string NameOf(std::uint64_t id) {
  const auto* const found =
      std::find_if(kKinds.begin(), kKinds.end(), [id](const Kind& kind) { return kind.id == id; });
  return found == kKinds.end() ? fmt::format("event {:#04x}", id) : std::string(found->name);
}

// Those whose third word is an I/O virtual address.
bool HasAddress(std::uint64_t id) { return id >= 0x10 && id <= 0x13; }

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// The word at the start of a text.
std::string_view Word(std::string_view text) { return text.substr(0, text.find_first_of(" \t,")); }

// Behind `key`; empty: it is not there.
std::string_view Behind(std::string_view line, std::string_view key) {
  const auto at = line.find(key);
  return at == std::string_view::npos ? "" : line.substr(at + key.size());
}

template <typename T>
std::optional<T> NumberBehind(std::string_view line, std::string_view key) {
  return base::ParseNumber<T>(Word(Behind(line, key)));
}

// "iova=0x0" or "iova: 0x0".
std::optional<std::uint64_t> AddressIn(std::string_view line) {
  std::string_view rest = Behind(line, "iova");
  const auto number = rest.find_first_not_of("=: ");
  if (rest.empty() || number == 0 || number == std::string_view::npos) return std::nullopt;
  return base::ParseNumber<std::uint64_t>(Word(rest.substr(number)));
}

std::optional<SmmuEvent> ReadDecoded(std::string_view line) {
  const std::string_view rest = Behind(line, "event: ");
  if (rest.find(" client: ") == std::string_view::npos) return std::nullopt;
  // A stream that no device has is "(unassigned sid)".
  const std::string_view client = Behind(rest, " client: ");
  SmmuEvent event;
  event.name = Word(rest);
  if (!client.starts_with('(')) event.client = Word(client);
  event.stream = NumberBehind<std::uint32_t>(rest, " sid: ");
  event.iova = AddressIn(rest);
  return event;
}

// Reads line after line.
class Reader {
 public:
  void Read(std::string_view line) {
    if (auto decoded = ReadDecoded(line)) {
      Finish();
      // The kernel has printed the words of the same event above it.
      if (can_replace_ && !events_.empty() && events_.back().stream == decoded->stream &&
          events_.back().name == decoded->name) {
        events_.pop_back();
      }
      Add(*std::move(decoded), false);
    } else if (const std::string_view rest = Behind(line, "event 0x");
               rest.find(" received:") != std::string_view::npos) {
      Finish();
      id_ = base::ParseHex<std::uint8_t>(Word(rest));
    } else if (id_ && ReadWord(line)) {
      if (count_ == kWords) Finish();
    } else if (const auto iova = AddressIn(line)) {
      Finish();
      Add({.name = "address", .client = {}, .stream = {}, .iova = iova}, false);
    }
  }

  std::vector<SmmuEvent> Result() {
    Finish();
    return std::move(events_);
  }

 private:
  // A line that ends in one of the four words, as "0x0000008000000010".
  bool ReadWord(std::string_view line) {
    constexpr std::size_t kLength = 18;
    line = Trimmed(line);
    if (line.size() < kLength || count_ == kWords) return false;
    const std::string_view word = line.substr(line.size() - kLength);
    const auto number = word.starts_with("0x") ? base::ParseHex<std::uint64_t>(word) : std::nullopt;
    if (!number) return false;
    words_[count_++] = *number;
    return true;
  }

  // The event whose words were read, whether they are all there or not.
  void Finish() {
    if (!id_) return;
    SmmuEvent event;
    event.name = NameOf(*id_);
    if (count_ > 0) event.stream = static_cast<std::uint32_t>(words_[0] >> 32);
    if (count_ > 2 && HasAddress(*id_)) event.iova = words_[2];
    id_.reset();
    count_ = 0;
    Add(std::move(event), true);
  }

  void Add(SmmuEvent event, bool can_replace) {
    can_replace_ = can_replace;
    if (events_.size() < kMostEvents) events_.push_back(std::move(event));
  }

  std::vector<SmmuEvent> events_;
  bool can_replace_ = false;        // the last one, by a decoded one
  std::optional<std::uint8_t> id_;  // of the event whose words are read; empty: none are
  std::array<std::uint64_t, kWords> words_{};
  std::size_t count_ = 0;
};

}  // namespace

std::vector<SmmuEvent> ParseEvents(std::string_view text) {
  text = text.substr(0, kMostEventText);
  if (const auto number = base::ParseNumber<std::uint64_t>(Trimmed(text)))
    return {{.name = {}, .client = {}, .stream = {}, .iova = number}};
  Reader reader;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    reader.Read(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return reader.Result();
}

}  // namespace dp::ctl
