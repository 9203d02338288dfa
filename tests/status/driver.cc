// SPDX-License-Identifier: Apache-2.0
// Tells an API server what it reads from standard input, as a monitor does what its daemon says.
// Each line is a JSON object:
//   {"devices": 2, "started": {"0": "pod"}, "unhealthy": [1], "configError": "...",
//    "occurrences": [{"sequence": 1, "message": "...", "pod": "..."}], "daemon": 0}
//   {"silent": "why"}
// All of it is optional; `daemon` is another start of it. Ends at the end of its input.

#include <malloc.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "plugin/base/log.h"
#include "plugin/kube/rest_api.h"
#include "plugin/os/event_loop.h"
#include "plugin/status/pass.h"
#include "plugin/status/publisher.h"
#include "tests/fakes/node_states.h"

namespace dp {
namespace {

using Json = nlohmann::json;

status::NodeState StateOf(const Json& line) {
  status::NodeState state = fakes::GoodState(line.value("devices", 2U));
  const Json started = line.value("started", Json::object());
  for (const auto& [number, pod] : started.items()) {
    const auto index = static_cast<std::uint32_t>(std::stoul(number));
    state.devices.at(index) = fakes::StartedDevice(index, pod.get<std::string>());
  }
  for (const Json& number : line.value("unhealthy", Json::array())) {
    const auto index = number.get<std::uint32_t>();
    state.devices.at(index) = fakes::UnhealthyDevice(index);
  }
  state.daemon.config_error = line.value("configError", "");
  state.daemon.started += std::chrono::seconds(line.value("daemon", 0));
  for (const Json& each : line.value("occurrences", Json::array())) {
    const std::string pod = each.value("pod", "");
    const auto sequence = each.at("sequence").get<std::uint64_t>();
    const auto message = each.at("message").get<std::string>();
    state.occurrences.push_back(pod.empty() ? fakes::OccurrenceAt(sequence, message)
                                            : fakes::PodOccurrenceAt(sequence, pod, message));
    state.occurrences.back().daemon_started = state.daemon.started;
    state.occurrences.back().time = std::chrono::system_clock::now();
  }
  return state;
}

// After each pass, as the monitor would: what a pass needed for a moment goes back to the system.
void Passed(const status::Outcome& outcome) {
  ::malloc_trim(0);
  log::Info("passed", {{"calls", outcome.counters.calls},
                       {"failures", outcome.counters.failures},
                       {"events", outcome.counters.events},
                       {"dropped", outcome.counters.events_dropped}});
}

int Run(int argc, char** argv) {
  kube::Server server{.url = {}, .token_file = {}, .ca_file = {}, .user_agent = "status-driver"};
  status::Options options{.node = {}, .feature_file = {}};
  std::int64_t heartbeat_ms = 600000;
  CLI::App app("Tells an API server what it reads from standard input.");
  app.add_option("--api-server", server.url)->required();
  app.add_option("--token-file", server.token_file)->required();
  app.add_option("--ca-file", server.ca_file)->required();
  app.add_option("--node", options.node)->required();
  app.add_option("--feature-file", options.feature_file);
  app.add_option("--heartbeat-ms", heartbeat_ms);
  app.add_flag("--pod-uids", options.pod_uids);
  app.add_flag("!--no-condition", options.condition);
  app.add_flag("!--no-events", options.events);
  app.add_flag("!--no-object", options.object);
  CLI11_PARSE(app, argc, argv);
  options.heartbeat = std::chrono::milliseconds(heartbeat_ms);

  auto loop = os::EventLoop::Create().value();
  kube::RestApi api(server);
  status::Pass pass(
      api, options,
      {.steady = std::chrono::steady_clock::now, .wall = std::chrono::system_clock::now});
  std::vector<status::Part> parts;
  for (const status::Part part : status::kParts) {
    if (status::IsOn(options, part)) parts.push_back(part);
  }
  status::Publisher publisher(
      *loop, pass, parts,
      {.longest_retry = std::chrono::milliseconds(5000),
       .silence = std::chrono::milliseconds(100),
       .heartbeat = options.heartbeat},
      {.cancel = [&] { api.Cancel(); }, .reopen = [&] { api.Reopen(); }, .passed = Passed});

  std::string input;
  const absl::Status watched = loop->WatchReadable(STDIN_FILENO, [&] {
    std::array<char, 65536> chunk{};
    const ssize_t count = ::read(STDIN_FILENO, chunk.data(), chunk.size());
    if (count <= 0) {
      loop->Unwatch(STDIN_FILENO);
      publisher.Stop([&] { loop->Stop(); });
      return;
    }
    input.append(chunk.data(), static_cast<std::size_t>(count));
    for (std::size_t end = input.find('\n'); end != std::string::npos; end = input.find('\n')) {
      const Json line = Json::parse(input.substr(0, end));
      input.erase(0, end + 1);
      if (line.contains("silent")) {
        publisher.Silence(line["silent"].get<std::string>());
      } else {
        publisher.Show(StateOf(line));
      }
    }
  });
  if (!watched.ok()) return 1;
  loop->Run();
  return 0;
}

}  // namespace
}  // namespace dp

int main(int argc, char** argv) { return dp::Run(argc, argv); }
