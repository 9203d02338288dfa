// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/doorbell_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "plugin/kube/time_text.h"
#include "plugin/status/words.h"

namespace dp::status {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLongestWord = 64;
constexpr std::size_t kLongestResource = 128;
constexpr std::size_t kLongestMessage = 200;
constexpr std::size_t kLongestPod = 320;  // a namespace has 63 bytes, a name 253
constexpr std::size_t kMostResources = 128;
constexpr std::size_t kMostLeftovers = 64;

std::string Hex(std::uint64_t number) { return fmt::format("{:#010x}", number); }

void Set(Json& object, const char* key, std::string_view text, std::size_t most = kLongestWord) {
  if (!text.empty()) object[key] = Bounded(text, most);
}

void SetTime(Json& object, const char* key, Time time) {
  if (time != Time()) object[key] = kube::TimeText(time);
}

Json FailureJson(const Failure& failure) {
  Json json{{"reason", CamelCase(failure.reason)}};
  Set(json, "message", failure.message, kLongestMessage);
  SetTime(json, "time", failure.time);
  return json;
}

Json DeviceJson(const Device& device) {
  Json json{{"id", Bounded(device.id, kLongestWord)},
            {"resource", Bounded(device.resource, kLongestResource)},
            {"group", device.group},
            {"state", NameOf(device.state)}};
  // Mostly the same.
  if (device.function != device.id) Set(json, "function", device.function);
  Set(json, "driver", device.driver);
  if (device.numa_node) json["numaNode"] = *device.numa_node;
  if (device.window) json["window"] = WindowText(*device.window);
  if (device.pod) Set(json, "pod", device.pod->space + "/" + device.pod->name, kLongestPod);
  SetTime(json, "since", device.since);
  if (!device.healthy) {
    json["reason"] = CamelCase(device.reason);
    Set(json, "message", device.unhealthy, kLongestMessage);
  }
  if (device.last_failure) json["lastError"] = FailureJson(*device.last_failure);
  return json;
}

// The lower, the sooner it is left out.
int Weight(const Device& device) {
  if (!device.healthy || device.last_failure) return 2;
  return device.window || device.pod ? 1 : 0;
}

// In the order of the state, those of the least weight left out, from the end.
Json Devices(const std::vector<Device>& devices, std::size_t most_bytes, std::size_t& left_out) {
  std::vector<Json> all;
  std::vector<std::size_t> sizes;
  std::size_t bytes = 0;
  for (const Device& device : devices) {
    all.push_back(DeviceJson(device));
    sizes.push_back(all.back().dump().size() + 1);
    bytes += sizes.back();
  }
  std::vector<bool> is_out(devices.size(), false);
  for (int weight = 0; weight <= 2; ++weight) {
    for (std::size_t i = devices.size(); i-- > 0 && bytes > most_bytes;) {
      if (is_out[i] || Weight(devices[i]) != weight) continue;
      is_out[i] = true;
      bytes -= sizes[i];
      ++left_out;
    }
  }
  Json list = Json::array();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!is_out[i]) list.push_back(std::move(all[i]));
  }
  return list;
}

struct Counts {
  int devices = 0;
  int healthy = 0;
  int reserved = 0;

  void Add(const Device& device) {
    ++devices;
    if (device.healthy) ++healthy;
    if (device.window) ++reserved;
  }
  [[nodiscard]] Json AsJson() const {
    return {{"devices", devices}, {"healthy", healthy}, {"reserved", reserved}};
  }
};

}  // namespace

Json DoorbellNode(const std::string& node, const std::string& node_uid) {
  return {{"apiVersion", "vfio-doorbell.io/v1alpha1"},
          {"kind", "DoorbellNode"},
          {"metadata",
           {{"name", node},
            {"labels", {{"app.kubernetes.io/managed-by", "vfio-doorbell-monitor"}}},
            {"ownerReferences",
             Json::array(
                 {{{"apiVersion", "v1"}, {"kind", "Node"}, {"name", node}, {"uid", node_uid}}})}}}};
}

void MarkStatus(const Condition& condition, Json& status) {
  status["ready"] = condition.status;
  status["reason"] = condition.reason;
  status["message"] = Bounded(condition.message, kLongestMessage);
}

Json DoorbellNodeStatus(const NodeState& state, const Condition& condition, const Told& told,
                        std::size_t most_bytes) {
  Json status = Json::object();
  MarkStatus(condition, status);
  const Daemon& daemon = state.daemon;
  Json& about = status["daemon"];
  about = {{"mode", NameOf(daemon.mode)},
           {"configGeneration", daemon.config_generation},
           {"groupsWithKnob", daemon.groups_with_knob},
           {"groupsWithoutKnob", daemon.groups_without_knob}};
  Set(about, "version", daemon.version);
  Set(about, "configHash", daemon.config_hash);
  Set(about, "bootID", daemon.boot_id);
  SetTime(about, "started", daemon.started);
  if (state.pool.windows > 0) {
    status["pool"] = {{"start", Hex(state.pool.start)},
                      {"end", Hex(state.pool.end)},
                      {"windowSize", Hex(state.pool.window_size)},
                      {"windows", state.pool.windows},
                      {"free", state.pool.free}};
  }
  Counts all;
  std::map<std::string_view, Counts> by_resource;
  const Failure* last = nullptr;
  for (const Device& device : state.devices) {
    all.Add(device);
    by_resource[device.resource].Add(device);
    if (device.last_failure && (last == nullptr || last->time < device.last_failure->time)) {
      last = &*device.last_failure;
    }
  }
  status["counts"] = all.AsJson();
  if (last != nullptr) status["lastError"] = FailureJson(*last);
  status["resources"] = Json::array();
  for (const Resource& resource : state.resources) {
    if (status["resources"].size() == kMostResources) break;
    Json json = by_resource[resource.name].AsJson();
    json["name"] = Bounded(resource.name, kLongestResource);
    json["watched"] = resource.watched;
    status["resources"].push_back(std::move(json));
  }
  std::size_t left_out = 0;
  status["devices"] = Devices(state.devices, most_bytes, left_out);
  if (left_out > 0) status["devicesLeftOut"] = left_out;
  for (const Leftover& leftover : state.leftovers) {
    Json& list = status["leftovers"];
    if (list.size() == kMostLeftovers) break;
    Json json{{"device", Bounded(leftover.device, kLongestWord)},
              {"group", leftover.group},
              {"window", WindowText(leftover.window)}};
    SetTime(json, "since", leftover.since);
    list.push_back(std::move(json));
  }
  if (told.daemon_started != Time()) {
    using std::chrono::duration_cast;
    using std::chrono::milliseconds;
    status["told"] = {{"daemonStarted",
                       duration_cast<milliseconds>(told.daemon_started.time_since_epoch()).count()},
                      {"sequence", told.sequence}};
  }
  return status;
}

Told FindTold(const Json& object) {
  const auto number = [&](const char* pointer) -> std::int64_t {
    const Json::json_pointer path(pointer);
    if (!object.contains(path) || !object[path].is_number_integer()) return 0;
    return std::max<std::int64_t>(0, object[path].get<std::int64_t>());
  };
  // Whatever somebody has written there: as a time it must not overflow.
  constexpr std::int64_t kFarFuture = std::int64_t{1} << 42;
  const std::int64_t started = number("/status/told/daemonStarted");
  if (started == 0 || started > kFarFuture) return {};
  return {.daemon_started = Time(std::chrono::milliseconds(started)),
          .sequence = static_cast<std::uint64_t>(number("/status/told/sequence"))};
}

}  // namespace dp::status
