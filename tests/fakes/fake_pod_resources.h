// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "api/kubelet/podresources/v1/api.grpc.pb.h"
#include "plugin/core/ports.h"
#include "tests/fakes/grpc_socket.h"

namespace dp::fakes {

// The PodResources API of a kubelet, over a real socket, with the manners of the real one
// (kubernetes pkg/kubelet/apis/podresources):
//  - when it starts, it replaces what is at its path;
//  - it lists each device by itself;
//  - when it goes, its connections go, and its socket stays behind.
//
// Start() and Stop() are called by one thread at a time, all else by any.
class FakePodResources {
 public:
  static constexpr std::chrono::seconds kPatience{10};  // of all waits

  // Does not serve yet: until Start() there is no socket.
  explicit FakePodResources(const std::string& path);
  FakePodResources(const FakePodResources&) = delete;
  FakePodResources& operator=(const FakePodResources&) = delete;
  ~FakePodResources();

  void Start();
  // As if killed. Calls that it holds are not answered.
  void Stop();
  void Restart() {
    Stop();
    Start();
  }

  // What List says from now on.
  void SetPods(v1::ListPodResourcesResponse pods);
  // The same, of devices without NUMA nodes. Entries of one pod, and of one container, follow each
  // other.
  void SetPods(const std::vector<core::PodDevices>& pods);
  // From now on List fails with this status; Ok: no more.
  void Refuse(grpc::Status status);
  // From now on calls of List are not answered, until Release(). Their answer is what it was when
  // they came: as late as one of a slow kubelet can be.
  void Hold();
  void Release();

  // How many calls of List came in, refused and held ones included.
  [[nodiscard]] int calls() const;
  // DeadlineExceeded: says how many there were instead.
  [[nodiscard]] absl::Status WaitForCalls(int count) const;

  [[nodiscard]] const std::string& path() const { return socket_->path(); }

 private:
  class Service;

  grpc::Status OnList(v1::ListPodResourcesResponse& response);

  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<GrpcSocket> socket_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  // All below are guarded by mutex_.
  v1::ListPodResourcesResponse pods_;
  grpc::Status refusal_;
  bool holding_ = false;
  int calls_ = 0;
  int lives_ = 0;  // that have ended
};

}  // namespace dp::fakes
