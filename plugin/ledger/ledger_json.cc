// SPDX-License-Identifier: Apache-2.0
#include "plugin/ledger/ledger_json.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <cstdint>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "plugin/base/parse.h"
#include "plugin/base/status_macros.h"
#include "plugin/json/parse_json.h"

namespace dp::ledger {
namespace {

// Its dump() gives one text for one value, with the keys in order: what the checksum needs.
using Json = nlohmann::json;

constexpr std::string_view kVersionPrefix = "vfio-doorbell/ledger/v";

constexpr int kMaxDepth = 32;  // a ledger has eight levels
// Numbers of JSON are exact up to here, whoever reads them: 2^53 - 1.
constexpr std::uint64_t kMaxExact = 9007199254740991;

// Of the content as `jq -jcS .content` prints it.
std::string ChecksumOf(std::string_view content) {
  return fmt::format("crc32:{:08x}",
                     crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()));
}

// The writer. It makes no Json of the ledger, which takes seven times as long, and each allocation
// waits for it. What it writes is what the checksum is made of, keys in order and no white space,
// but for a new line before each reservation.

// Names from the host may hold any bytes, and JSON only UTF-8. What is not printable ASCII becomes
// \xhh, and a backslash \\, so that the same bytes come back. JSON doubles each of these
// backslashes.
void WriteText(std::string& out, std::string_view bytes) {
  out += '"';
  for (const char byte : bytes) {
    if (byte == '"') {
      out += R"(\")";
    } else if (byte == '\\') {
      out += R"(\\\\)";
    } else if (byte >= 0x20 && byte < 0x7f) {
      out += byte;
    } else {
      fmt::format_to(std::back_inserter(out), R"(\\x{:02x})", static_cast<unsigned char>(byte));
    }
  }
  out += '"';
}

template <typename T>
void WriteList(std::string& out, const std::vector<T>& items, std::string_view before,
               void (*write)(std::string& out, const T& item)) {
  out += '[';
  for (const T& item : items) {
    if (&item != items.data()) out += ',';
    out += before;
    write(out, item);
  }
  out += ']';
}

// Addresses are texts because JSON numbers are exact only up to 2^53.
void WriteWindow(std::string& out, const core::Window& window) {
  fmt::format_to(std::back_inserter(out), R"({{"base":"{:#010x}","size":"{:#010x}"}})", window.base,
                 window.size);
}

void WritePod(std::string& out, const core::PodName& pod) {
  out += R"({"name":)";
  WriteText(out, pod.name);
  out += R"(,"namespace":)";
  WriteText(out, pod.space);
  out += '}';
}

void WriteHolding(std::string& out, const core::Holding& holding) {
  out += R"({"device":)";
  WriteText(out, holding.device);
  out += R"(,"group":)";
  out += std::to_string(holding.group);
  out += R"(,"members":)";
  WriteText(out, holding.members);
  out += R"(,"reserved":)";
  out += holding.reserved ? "true}" : "false}";
}

void WriteAllocation(std::string& out, const core::Allocation& allocation) {
  out += allocation.cdi ? R"({"cdi":true,"holdings":)" : R"({"holdings":)";
  WriteList(out, allocation.holdings, "", &WriteHolding);
  out += R"(,"resource":)";
  WriteText(out, allocation.resource);
  if (allocation.since_ms > 0) {
    out += R"(,"sinceMs":)";
    out += std::to_string(allocation.since_ms);
  }
  out += '}';
}

void WriteReservation(std::string& out, const core::Reservation& reservation) {
  out += R"({"allocations":)";
  WriteList(out, reservation.allocations, "", &WriteAllocation);
  out += R"(,"pod":)";
  if (reservation.pod) {
    WritePod(out, *reservation.pod);
  } else {
    out += "null";
  }
  out += reservation.started ? R"(,"started":true)" : R"(,"started":false)";
  out += R"(,"window":)";
  if (reservation.window) {
    WriteWindow(out, *reservation.window);
  } else {
    out += "null";
  }
  out += '}';
}

// The reader.

std::optional<std::string> Unescape(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  while (!text.empty()) {
    if (!text.starts_with('\\')) {
      bytes += text.front();
      text.remove_prefix(1);
    } else if (text.starts_with("\\\\")) {
      bytes += '\\';
      text.remove_prefix(2);
    } else {
      if (!text.starts_with("\\x") || text.size() < 4) return std::nullopt;
      const auto byte = base::ParseDigits(text.substr(2, 2), 16, 0xff);
      if (!byte) return std::nullopt;
      bytes += static_cast<char>(*byte);
      text.remove_prefix(4);
    }
  }
  return bytes;
}

// A value of the document, and where it stands in it.
class Node {
 public:
  // `value` outlives the node.
  Node(const Json& value, std::string place) : value_(&value), place_(std::move(place)) {}

  [[nodiscard]] const Json& value() const { return *value_; }

  [[nodiscard]] absl::Status Error(std::string_view what) const {
    return absl::InvalidArgumentError(fmt::format("{} {}", place_, what));
  }

  [[nodiscard]] absl::StatusOr<Node> Field(std::string_view name) const {
    if (!value_->is_object()) return Error("is no object");
    const auto found = value_->find(name);
    Node field(*value_, fmt::format("{}/{}", place_, name));
    if (found == value_->end()) return field.Error("is missing");
    field.value_ = &*found;
    return field;
  }

  [[nodiscard]] absl::StatusOr<std::vector<Node>> Items() const {
    if (!value_->is_array()) return Error("is no array");
    std::vector<Node> items;
    items.reserve(value_->size());
    for (const Json& item : *value_) {
      items.emplace_back(item, fmt::format("{}/{}", place_, items.size()));
    }
    return items;
  }

  [[nodiscard]] absl::StatusOr<std::string> Text() const {
    if (!value_->is_string()) return Error("is no text");
    auto text = Unescape(value_->get_ref<const std::string&>());
    if (!text) return Error(R"(has a backslash that begins neither \\ nor \xhh)");
    return *std::move(text);
  }

  [[nodiscard]] absl::StatusOr<std::uint64_t> Number(std::uint64_t max) const {
    if (!value_->is_number_unsigned() || value_->get<std::uint64_t>() > max)
      return Error(fmt::format("is no whole number from 0 to {}", max));
    return value_->get<std::uint64_t>();
  }

  [[nodiscard]] absl::StatusOr<bool> Flag() const {
    if (!value_->is_boolean()) return Error("is neither true nor false");
    return value_->get<bool>();
  }

  [[nodiscard]] absl::StatusOr<std::uint64_t> Address() const {
    if (value_->is_string()) {
      const std::string_view text = value_->get_ref<const std::string&>();
      const auto address = base::ParseHex<std::uint64_t>(text);
      if (address && text.starts_with("0x")) return *address;
    }
    return Error("is no text of the form \"0x09000000\", of 64 bits at most");
  }

 private:
  const Json* value_;
  std::string place_;  // a JSON pointer
};

absl::StatusOr<core::Window> ReadWindow(const Node& node) {
  core::Window window;
  ASSIGN_OR_RETURN(const Node base, node.Field("base"));
  ASSIGN_OR_RETURN(window.base, base.Address());
  ASSIGN_OR_RETURN(const Node size, node.Field("size"));
  ASSIGN_OR_RETURN(window.size, size.Address());
  return window;
}

absl::StatusOr<core::PodName> ReadPod(const Node& node) {
  core::PodName pod;
  ASSIGN_OR_RETURN(const Node space, node.Field("namespace"));
  ASSIGN_OR_RETURN(pod.space, space.Text());
  ASSIGN_OR_RETURN(const Node name, node.Field("name"));
  ASSIGN_OR_RETURN(pod.name, name.Text());
  return pod;
}

absl::StatusOr<core::Holding> ReadHolding(const Node& node) {
  core::Holding holding;
  ASSIGN_OR_RETURN(const Node device, node.Field("device"));
  ASSIGN_OR_RETURN(holding.device, device.Text());
  ASSIGN_OR_RETURN(const Node group, node.Field("group"));
  ASSIGN_OR_RETURN(const std::uint64_t number,
                   group.Number(std::numeric_limits<std::uint32_t>::max()));
  holding.group = static_cast<std::uint32_t>(number);
  ASSIGN_OR_RETURN(const Node members, node.Field("members"));
  ASSIGN_OR_RETURN(holding.members, members.Text());
  ASSIGN_OR_RETURN(const Node reserved, node.Field("reserved"));
  ASSIGN_OR_RETURN(holding.reserved, reserved.Flag());
  return holding;
}

absl::StatusOr<core::Allocation> ReadAllocation(const Node& node) {
  core::Allocation allocation;
  ASSIGN_OR_RETURN(const Node resource, node.Field("resource"));
  ASSIGN_OR_RETURN(allocation.resource, resource.Text());
  ASSIGN_OR_RETURN(const Node holdings, node.Field("holdings"));
  ASSIGN_OR_RETURN(const std::vector<Node> items, holdings.Items());
  if (items.empty()) return holdings.Error("is empty");
  for (const Node& item : items) {
    ASSIGN_OR_RETURN(core::Holding holding, ReadHolding(item));
    allocation.holdings.push_back(std::move(holding));
  }
  // Only there if it is true.
  if (node.value().contains("cdi")) {
    ASSIGN_OR_RETURN(const Node cdi, node.Field("cdi"));
    ASSIGN_OR_RETURN(allocation.cdi, cdi.Flag());
  }
  // Only there if it is known.
  if (node.value().contains("sinceMs")) {
    ASSIGN_OR_RETURN(const Node since, node.Field("sinceMs"));
    ASSIGN_OR_RETURN(const std::uint64_t milliseconds, since.Number(kMaxExact));
    allocation.since_ms = static_cast<std::int64_t>(milliseconds);
  }
  return allocation;
}

absl::StatusOr<core::Reservation> ReadReservation(const Node& node) {
  core::Reservation reservation;
  ASSIGN_OR_RETURN(const Node window, node.Field("window"));
  if (!window.value().is_null()) {
    ASSIGN_OR_RETURN(reservation.window, ReadWindow(window));
  }
  ASSIGN_OR_RETURN(const Node pod, node.Field("pod"));
  if (!pod.value().is_null()) {
    ASSIGN_OR_RETURN(reservation.pod, ReadPod(pod));
  }
  ASSIGN_OR_RETURN(const Node started, node.Field("started"));
  ASSIGN_OR_RETURN(reservation.started, started.Flag());
  ASSIGN_OR_RETURN(const Node allocations, node.Field("allocations"));
  ASSIGN_OR_RETURN(const std::vector<Node> items, allocations.Items());
  for (const Node& item : items) {
    ASSIGN_OR_RETURN(core::Allocation allocation, ReadAllocation(item));
    reservation.allocations.push_back(std::move(allocation));
  }
  return reservation;
}

absl::StatusOr<core::Ledger> ReadV1(const Node& content) {
  core::Ledger ledger;
  ASSIGN_OR_RETURN(const Node boot_id, content.Field("bootId"));
  ASSIGN_OR_RETURN(ledger.boot_id, boot_id.Text());
  // The first daemons did not count.
  if (content.value().contains("generation")) {
    ASSIGN_OR_RETURN(const Node generation, content.Field("generation"));
    ASSIGN_OR_RETURN(ledger.generation, generation.Number(kMaxExact));
  }
  ASSIGN_OR_RETURN(const Node reservations, content.Field("reservations"));
  ASSIGN_OR_RETURN(const std::vector<Node> items, reservations.Items());
  for (const Node& item : items) {
    ASSIGN_OR_RETURN(core::Reservation reservation, ReadReservation(item));
    ledger.reservations.push_back(std::move(reservation));
  }
  return ledger;
}

// Every version that was ever released, the one that is written last. What is around the content is
// the same in all of them.
struct Version {
  std::uint32_t number;
  absl::StatusOr<core::Ledger> (*read)(const Node& content);
};
constexpr std::array kVersions = {Version{.number = 1, .read = &ReadV1}};

absl::StatusOr<Version> VersionOf(const Node& document) {
  ASSIGN_OR_RETURN(const Node node, document.Field("apiVersion"));
  ASSIGN_OR_RETURN(const std::string text, node.Text());
  std::optional<std::uint32_t> number;
  if (text.starts_with(kVersionPrefix)) {
    number =
        base::ParseDecimal<std::uint32_t>(std::string_view(text).substr(kVersionPrefix.size()));
  }
  if (!number) return node.Error(fmt::format("is not {} and a number", kVersionPrefix));
  for (const Version& version : kVersions) {
    if (version.number == *number) return version;
  }
  if (*number < kVersions.back().number) return node.Error("is a version that never was");
  return absl::FailedPreconditionError(
      fmt::format("/apiVersion is v{}, newer than v{}, the newest that this daemon knows", *number,
                  kVersions.back().number));
}

}  // namespace

std::string Encode(const core::Ledger& ledger) {
  std::string content = R"({"bootId":)";
  WriteText(content, ledger.boot_id);
  content += R"(,"generation":)";
  content += std::to_string(ledger.generation);
  content += R"(,"reservations":)";
  WriteList(content, ledger.reservations, "\n", &WriteReservation);
  content += '}';
  std::string without_lines = content;
  std::erase(without_lines, '\n');
  return fmt::format(R"({{"apiVersion":"{}{}","checksum":"{}","content":{}}}{})", kVersionPrefix,
                     kVersions.back().number, ChecksumOf(without_lines), content, '\n');
}

absl::StatusOr<core::Ledger> Decode(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, json::Parse(text, {.bytes = kMaxBytes, .depth = kMaxDepth}));
  if (!json.is_object()) return absl::InvalidArgumentError("it is no object");
  const Node document(json, "");
  ASSIGN_OR_RETURN(const Version version, VersionOf(document));
  ASSIGN_OR_RETURN(const Node content, document.Field("content"));
  ASSIGN_OR_RETURN(const Node checksum, document.Field("checksum"));
  ASSIGN_OR_RETURN(const std::string expected, checksum.Text());
  const std::string actual = ChecksumOf(content.value().dump());
  if (expected != actual) {
    return checksum.Error(fmt::format("does not fit /content, which has {}", actual));
  }
  return version.read(content);
}

}  // namespace dp::ledger
