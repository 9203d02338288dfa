// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "api/admin/v1/api.grpc.pb.h"
#include "tests/fakes/grpc_socket.h"

namespace dp::fakes {

// The admin socket of a daemon (api/admin/v1/api.proto), with what the test puts into it.
//
// Start() and Stop() are called by one thread at a time, all else by any.
class FakeAdminServer {
 public:
  static constexpr std::chrono::seconds kPatience{10};  // of all waits

  // Does not serve yet: until Start() there is no socket.
  explicit FakeAdminServer(const std::string& path);
  FakeAdminServer(const FakeAdminServer&) = delete;
  FakeAdminServer& operator=(const FakeAdminServer&) = delete;
  ~FakeAdminServer();

  void Start();
  // As if killed. Calls that it holds are not answered.
  void Stop();

  // What GetState says from now on, and each WatchState now.
  void SetState(vfio_doorbell::admin::v1::NodeState state);
  // What GetMetrics says from now on.
  void SetMetrics(vfio_doorbell::admin::v1::GetMetricsResponse metrics);
  // What the call Release says from now on. Ok: the devices.
  void SetRelease(grpc::Status status, std::vector<std::string> devices);
  // From now on nothing is answered, as by a daemon whose loop does not turn; until Release().
  void Hold();
  void Release();

  // How many calls of GetState came in, held ones included.
  [[nodiscard]] int state_calls() const;
  // Where the windows began that were to be released.
  [[nodiscard]] std::vector<std::uint64_t> released() const;
  // How many streams of WatchState are open.
  [[nodiscard]] int watchers() const;
  // DeadlineExceeded: says how many there were instead.
  [[nodiscard]] absl::Status WaitForWatchers(int count) const;

  [[nodiscard]] const std::string& path() const { return socket_->path(); }

 private:
  class Service;

  // False: it stopped before it was released. With `lock` of mutex_.
  bool WaitForRelease(std::unique_lock<std::mutex>& lock);
  grpc::Status OnWatch(const grpc::ServerContext& context,
                       grpc::ServerWriter<vfio_doorbell::admin::v1::NodeState>& writer);

  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<GrpcSocket> socket_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  // All below are guarded by mutex_.
  vfio_doorbell::admin::v1::NodeState state_;
  vfio_doorbell::admin::v1::GetMetricsResponse metrics_;
  grpc::Status release_;
  std::vector<std::string> released_devices_;
  std::vector<std::uint64_t> released_;
  bool holding_ = false;
  int state_calls_ = 0;
  int watchers_ = 0;
  int states_ = 0;  // that were set
  int lives_ = 0;   // that have ended
};

}  // namespace dp::fakes
