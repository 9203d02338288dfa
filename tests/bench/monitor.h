// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/child_process.h"
#include "tests/bench/host.h"
#include "tests/fakes/fake_api_server.h"

namespace dp::bench {

// The monitor beside a daemon, with all that it can do: its pages, and what it tells Kubernetes,
// which is played. One thread.
class Monitor {
 public:
  // Starts `program` and waits until an API server was told how the node stands. Internal: it was
  // not; what the monitor said.
  static absl::StatusOr<std::unique_ptr<Monitor>> Start(const std::string& program,
                                                        const Host& host);
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  // As Prometheus does. Internal: there is no such page.
  [[nodiscard]] absl::Status Scrape() const;
  [[nodiscard]] const ChildProcess& process() const { return *process_; }
  absl::Status Terminate() { return process_->Terminate().status(); }

 private:
  Monitor() = default;
  absl::Status Await(const std::string& log_path);

  fakes::FakeApiServer api_;
  std::unique_ptr<ChildProcess> process_;
  std::uint16_t port_ = 0;
};

// Scrapes again and again, on a thread of its own, until the end.
class Scraper {
 public:
  // `monitor` outlives it.
  Scraper(const Monitor& monitor, std::chrono::milliseconds interval);
  Scraper(const Scraper&) = delete;
  Scraper& operator=(const Scraper&) = delete;
  ~Scraper();

  // Ends it. Internal: a scrape has failed.
  absl::Status Stop();

 private:
  std::promise<void> stop_;
  std::future<absl::Status> end_;
};

}  // namespace dp::bench
