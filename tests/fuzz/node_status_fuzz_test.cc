// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/stubs/logging.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "api/admin/v1/api.pb.h"
#include "plugin/status/condition.h"
#include "plugin/status/doorbell_node.h"
#include "plugin/status/events.h"
#include "plugin/status/features.h"
#include "plugin/status/node_state.h"
#include "plugin/status/wire/from_proto.h"
#include "tests/fuzz/require.h"

// Input: the bytes of a NodeState, as the daemon sends it. To see one:
// protoc --decode=vfio_doorbell.admin.v1.NodeState api/admin/v1/api.proto < FILE
namespace dp::fuzz {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostDeviceBytes = 4096;
// What all else of the object may have.
constexpr std::size_t kMostOtherBytes = std::size_t{124} << 10;

const status::EventQueue::Now kNow{.steady = {}, .wall = status::Time(std::chrono::hours(500000))};

void RequireWord(const Json& word) {
  const auto text = word.get<std::string>();
  Require(!text.empty() && text.size() <= 128, "a reason is there and short", text);
  for (const char c : text) {
    Require((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'),
            "a reason has letters and digits only", text);
  }
}

void RequireSoundEvents(const status::NodeState& state) {
  status::EventQueue events("node-a");
  for (const status::Occurrence& occurrence : state.occurrences) events.Take(occurrence, kNow);
  for (const std::uint64_t id : events.Due(kNow)) {
    const status::Series& series = events.at(id);
    const Json event = status::EventObject(series, "node-a", "");
    RequireWord(event["reason"]);
    Require(event["note"].get<std::string>().size() <= 1024, "a note is short");
    const auto name = event["metadata"]["name"].get<std::string>();
    Require(name.size() <= 253 && name.find('/') == std::string::npos, "a name is one", name);
    Require(status::EventsPath(series).find("..") == std::string::npos, "a path leads nowhere else",
            status::EventsPath(series));
    Require(!event.dump().empty(), "an Event is JSON");
    events.Sent(id, kNow);
  }
}

void Try(std::string_view input) {
  vfio_doorbell::admin::v1::NodeState message;
  if (!message.ParseFromArray(input.data(), static_cast<int>(input.size()))) return;
  const status::NodeState state = status::wire::FromProto(message);
  const status::Condition condition = status::ConditionOf(state);
  RequireWord(condition.reason);
  Require(condition.message.size() <= 512, "the message of a condition is short");
  RequireOneLine(condition.message);
  const status::Told told{.daemon_started = state.daemon.started, .sequence = 1};
  const Json object{
      {"status", status::DoorbellNodeStatus(state, condition, told, kMostDeviceBytes)}};
  // dump() throws at what is no text.
  Require(object.dump().size() < kMostDeviceBytes + kMostOtherBytes, "the object is bounded");
  Require(object["status"]["devices"].size() +
                  object["status"].value("devicesLeftOut", std::size_t{0}) ==
              state.devices.size(),
          "no device is forgotten");
  if (told.daemon_started != status::Time()) {
    Require(status::FindTold(object) == told, "what was told is found again");
  }
  const std::string features = status::FeatureFile(state);
  Require(features.ends_with("\n"), "a feature file ends with a line");
  RequireSoundEvents(state);
}

}  // namespace
}  // namespace dp::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // It logs each text that is no UTF-8.
  [[maybe_unused]] static auto* const kLog = google::protobuf::SetLogHandler(nullptr);
  dp::fuzz::Try({reinterpret_cast<const char*>(data), size});
  return 0;
}
