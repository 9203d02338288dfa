// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/monitor.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "plugin/base/status_macros.h"
#include "tests/fakes/http_client.h"

namespace dp::bench {
namespace {

constexpr char kNode[] = "node-a";
constexpr std::chrono::seconds kDeadline{10};

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Of what it says when it listens; 0: nothing yet.
std::uint16_t PortIn(const std::string& text) {
  const std::string before = "address=127.0.0.1:";
  const auto found = text.find(before);
  if (found == std::string::npos) return 0;
  return static_cast<std::uint16_t>(
      std::strtoul(text.c_str() + found + before.size(), nullptr, 10));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Monitor>> Monitor::Start(const std::string& program,
                                                        const Host& host) {
  std::unique_ptr<Monitor> monitor(new Monitor);
  monitor->api_.Put(std::string("/api/v1/nodes/") + kNode,
                    {{"metadata", {{"name", kNode}, {"uid", "uid-1"}}},
                     {"status", {{"conditions", fakes::FakeApiServer::Json::array()}}}});
  ASSIGN_OR_RETURN(
      monitor->process_,
      ChildProcess::Start(
          {program, "--admin-socket=" + host.admin_socket(), "--http-address=127.0.0.1:0",
           std::string("--node-name=") + kNode, "--api-server=" + monitor->api_.url(),
           "--feature-file=" + host.feature_file()},
          host.monitor_log_path()));
  RETURN_IF_ERROR(monitor->Await(host.monitor_log_path()));
  return monitor;
}

absl::Status Monitor::Await(const std::string& log_path) {
  const auto deadline = Clock::now() + kDeadline;
  while ((port_ = PortIn(ReadAll(log_path))) == 0) {
    RETURN_IF_ERROR(process_->KeepsRunningFor(std::chrono::milliseconds(10)));
    if (Clock::now() > deadline) {
      return absl::InternalError(fmt::format("the monitor does not listen after {} s; it said:\n{}",
                                             kDeadline.count(), ReadAll(log_path)));
    }
  }
  if (!api_.WaitForCount("PATCH", fmt::format("/doorbellnodes/{}/status", kNode), 1))
    return absl::InternalError(
        fmt::format("the monitor has not told the API server how the node stands; it said:\n{}",
                    ReadAll(log_path)));
  return Scrape();
}

absl::Status Monitor::Scrape() const {
  const std::string answer = fakes::GetHttp(port_, "/metrics");
  if (answer.starts_with("HTTP/1.1 200 ") &&
      answer.find("\nvfio_doorbell_monitor_daemon_up 1\n") != std::string::npos) {
    return absl::OkStatus();
  }
  return absl::InternalError("the monitor shows no metrics of a daemon: " + answer);
}

Scraper::Scraper(const Monitor& monitor, std::chrono::milliseconds interval)
    : end_(std::async(std::launch::async,
                      [&monitor, interval, stopped = stop_.get_future()]() -> absl::Status {
                        do {
                          RETURN_IF_ERROR(monitor.Scrape());
                        } while (stopped.wait_for(interval) == std::future_status::timeout);
                        return absl::OkStatus();
                      })) {}

Scraper::~Scraper() {
  if (end_.valid()) static_cast<void>(Stop());
}

absl::Status Scraper::Stop() {
  stop_.set_value();
  return end_.get();
}

}  // namespace dp::bench
