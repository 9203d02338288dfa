// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/node_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "plugin/base/parse.h"
#include "plugin/base/status_macros.h"
#include "plugin/json/parse_json.h"

namespace dp::ctl {
namespace {

using Json = nlohmann::json;
using Ordered = nlohmann::ordered_json;

constexpr json::Bounds kBounds{.bytes = std::size_t{16} << 20, .depth = 16};

std::string Hex(std::uint64_t value) { return fmt::format("{:#010x}", value); }

Ordered PodJson(const std::optional<core::PodName>& pod) {
  if (!pod) return nullptr;
  return {{"namespace", pod->space}, {"name", pod->name}};
}

Ordered KernelJson(const KernelWindow& kernel) {
  return {{"read", kernel.is_read}, {"window", JsonOf(kernel.window)}, {"error", kernel.error}};
}

Ordered FailureJson(const std::optional<Failure>& failure) {
  if (!failure) return nullptr;
  return {{"reason", failure->reason}, {"message", failure->message}, {"timeMs", failure->time_ms}};
}

Ordered DaemonJson(const std::optional<Daemon>& daemon) {
  if (!daemon) return nullptr;
  return {{"version", daemon->version},
          {"startedMs", daemon->started_ms},
          {"mode", daemon->mode},
          {"configFile", daemon->config_file},
          {"configError", daemon->config_error},
          {"ledgerError", daemon->ledger_error},
          {"podsError", daemon->pods_error}};
}

// Reads members of an object that may be anything.
class Reader {
 public:
  explicit Reader(const Json& value) : value_(value) {}

  [[nodiscard]] std::string Text(const char* key) const {
    const Json* found = Find(key);
    return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
  }
  template <typename T>
  [[nodiscard]] T Number(const char* key) const {
    const Json* found = Find(key);
    return found != nullptr && found->is_number_integer() ? found->get<T>() : T{};
  }
  [[nodiscard]] bool Flag(const char* key) const {
    const Json* found = Find(key);
    return found != nullptr && found->is_boolean() && found->get<bool>();
  }
  [[nodiscard]] std::uint64_t HexNumber(const char* key) const {
    return base::ParseHex<std::uint64_t>(Text(key)).value_or(0);
  }
  [[nodiscard]] Reader Member(const char* key) const {
    static const Json kNothing;
    const Json* found = Find(key);
    return Reader(found == nullptr ? kNothing : *found);
  }
  [[nodiscard]] bool is_object() const { return value_.is_object(); }
  [[nodiscard]] const Json& value() const { return value_; }

 private:
  [[nodiscard]] const Json* Find(const char* key) const {
    if (!value_.is_object()) return nullptr;
    const auto found = value_.find(key);
    return found == value_.end() ? nullptr : &*found;
  }

  const Json& value_;
};

std::optional<core::Window> WindowOf(const Reader& reader) {
  if (!reader.is_object()) return std::nullopt;
  return core::Window{.base = reader.HexNumber("base"), .size = reader.HexNumber("size")};
}

std::optional<core::PodName> PodOf(const Reader& reader) {
  if (!reader.is_object()) return std::nullopt;
  return core::PodName{.space = reader.Text("namespace"), .name = reader.Text("name")};
}

State StateOf(std::string_view name) {
  for (const State state : {State::kFree, State::kAllocated, State::kStarted, State::kUnhealthy}) {
    if (NameOf(state) == name) return state;
  }
  return State::kUnknown;
}

std::optional<Daemon> DaemonOf(const Reader& reader) {
  if (!reader.is_object()) return std::nullopt;
  return Daemon{.version = reader.Text("version"),
                .started_ms = reader.Number<std::int64_t>("startedMs"),
                .mode = reader.Text("mode"),
                .config_file = reader.Text("configFile"),
                .config_error = reader.Text("configError"),
                .ledger_error = reader.Text("ledgerError"),
                .pods_error = reader.Text("podsError")};
}

std::optional<Failure> FailureOf(const Reader& reader) {
  if (!reader.is_object()) return std::nullopt;
  return Failure{.reason = reader.Text("reason"),
                 .message = reader.Text("message"),
                 .time_ms = reader.Number<std::int64_t>("timeMs")};
}

Device DeviceOf(const Reader& reader) {
  Device device;
  device.id = reader.Text("id");
  device.resource = reader.Text("resource");
  device.group = reader.Number<std::uint32_t>("group");
  device.function = reader.Text("function");
  device.driver = reader.Text("driver");
  if (reader.Member("numaNode").value().is_number_integer())
    device.numa_node = reader.Number<int>("numaNode");
  device.reason = reader.Text("reason");
  device.unhealthy = reader.Text("unhealthy");
  device.observe = reader.Text("observe");
  device.state = StateOf(reader.Text("state"));
  device.since_ms = reader.Number<std::int64_t>("sinceMs");
  device.window = WindowOf(reader.Member("window"));
  device.pod = PodOf(reader.Member("pod"));
  device.last_failure = FailureOf(reader.Member("lastFailure"));
  const Reader kernel = reader.Member("kernel");
  device.kernel = {.is_read = kernel.Flag("read"),
                   .window = WindowOf(kernel.Member("window")),
                   .error = kernel.Text("error")};
  return device;
}

Leftover LeftoverOf(const Reader& reader) {
  return {.device = reader.Text("device"),
          .group = reader.Number<std::uint32_t>("group"),
          .window = WindowOf(reader.Member("window")).value_or(core::Window{}),
          .since_ms = reader.Number<std::int64_t>("sinceMs")};
}

Occurrence OccurrenceOf(const Reader& reader) {
  return {.time_ms = reader.Number<std::int64_t>("timeMs"),
          .warning = reader.Flag("warning"),
          .reason = reader.Text("reason"),
          .message = reader.Text("message"),
          .device = reader.Text("device"),
          .resource = reader.Text("resource"),
          .pod = PodOf(reader.Member("pod"))};
}

template <typename T>
std::vector<T> ListOf(const Reader& reader, T (*read)(const Reader&)) {
  std::vector<T> items;
  if (!reader.value().is_array()) return items;
  for (const Json& item : reader.value()) items.push_back(read(Reader(item)));
  return items;
}

}  // namespace

Ordered JsonOf(const std::optional<core::Window>& window) {
  if (!window) return nullptr;
  return {{"base", Hex(window->base)}, {"size", Hex(window->size)}};
}

Ordered JsonOf(const Device& device) {
  return {{"id", device.id},
          {"resource", device.resource},
          {"group", device.group},
          {"function", device.function},
          {"driver", device.driver},
          {"numaNode", device.numa_node ? Ordered(*device.numa_node) : Ordered()},
          {"state", NameOf(device.state)},
          {"sinceMs", device.since_ms},
          {"reason", device.reason},
          {"unhealthy", device.unhealthy},
          {"observe", device.observe},
          {"window", JsonOf(device.window)},
          {"pod", PodJson(device.pod)},
          {"kernel", KernelJson(device.kernel)},
          {"differs", Differs(device)},
          {"lastFailure", FailureJson(device.last_failure)}};
}

Ordered JsonOf(const Occurrence& occurrence) {
  return {{"timeMs", occurrence.time_ms},  {"warning", occurrence.warning},
          {"reason", occurrence.reason},   {"message", occurrence.message},
          {"device", occurrence.device},   {"resource", occurrence.resource},
          {"pod", PodJson(occurrence.pod)}};
}

Ordered JsonOf(const Node& node) {
  Ordered devices = Ordered::array();
  for (const Device& device : node.devices) devices.push_back(JsonOf(device));
  Ordered leftovers = Ordered::array();
  for (const Leftover& leftover : node.leftovers) {
    leftovers.push_back({{"device", leftover.device},
                         {"group", leftover.group},
                         {"window", JsonOf(std::optional(leftover.window))},
                         {"sinceMs", leftover.since_ms}});
  }
  Ordered occurrences = Ordered::array();
  for (const Occurrence& occurrence : node.occurrences) occurrences.push_back(JsonOf(occurrence));
  return {{"apiVersion", kApiVersion},
          {"kind", "Node"},
          {"daemon", DaemonJson(node.daemon)},
          {"pool",
           {{"start", Hex(node.pool.start)},
            {"end", Hex(node.pool.end)},
            {"windowSize", Hex(node.pool.window_size)},
            {"free", node.free_windows}}},
          {"devices", std::move(devices)},
          {"leftovers", std::move(leftovers)},
          {"occurrences", std::move(occurrences)}};
}

absl::StatusOr<Node> NodeFromJson(std::string_view text) {
  ASSIGN_OR_RETURN(const Json document, json::Parse(text, kBounds));
  const Reader reader(document);
  if (reader.Text("apiVersion") != kApiVersion || reader.Text("kind") != "Node")
    return absl::InvalidArgumentError(fmt::format("it is no Node of {}", kApiVersion));
  Node node;
  node.daemon = DaemonOf(reader.Member("daemon"));
  const Reader pool = reader.Member("pool");
  node.pool = {.start = pool.HexNumber("start"),
               .end = pool.HexNumber("end"),
               .window_size = pool.HexNumber("windowSize")};
  node.free_windows = pool.Number<std::uint64_t>("free");
  node.devices = ListOf(reader.Member("devices"), &DeviceOf);
  node.leftovers = ListOf(reader.Member("leftovers"), &LeftoverOf);
  node.occurrences = ListOf(reader.Member("occurrences"), &OccurrenceOf);
  return node;
}

}  // namespace dp::ctl
