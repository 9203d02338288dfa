// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "plugin/core/ports.h"
#include "plugin/os/event_loop.h"

namespace dp::kubelet {

// Asks the kubelet's PodResources API (KEP-606) for the devices of all pods. Loop thread.
//
// An answer is never older than its question: whoever asks gets what the kubelet said to a call
// that began after that. Up to kMostCalls calls are under way; whoever asks meanwhile waits until
// one of them has ended, and is then answered by one call together with all others who wait.
//
// That a pod is not listed does not mean that it is gone. The kubelet lists it only after its first
// Allocate. One that has just started serves this API before it has heard of its pods again and has
// read its checkpoint: the list may lack pods, or their devices. And it leaves out init containers,
// but for those that run beside the others (Kubernetes 1.34, server_v1.go and kubelet.go).
class PodResources final : public core::PodLister {
 public:
  // Below the kubelet's --root-dir, unlike the folder of the device plugins.
  static constexpr char kDefaultSocket[] = "/var/lib/kubelet/pod-resources/kubelet.sock";
  // It takes 1 to 8 ms (seen with Kubernetes 1.34).
  static constexpr std::chrono::seconds kAnswerDeadline{5};
  // The kubelet allows for bursts of 10 calls, and for 100 a second, of all of its clients together
  // (pkg/kubelet/apis/podresources/constants.go).
  static constexpr std::size_t kMostCalls = 4;

  // `deadline` is what each call has, once it has begun: an answer takes twice as long at most.
  // `loop` outlives this.
  explicit PodResources(os::EventLoop& loop, std::string socket = kDefaultSocket,
                        os::EventLoop::Clock::duration deadline = kAnswerDeadline);
  PodResources(const PodResources&) = delete;
  PodResources& operator=(const PodResources&) = delete;
  // After Stop() has called `stopped`.
  ~PodResources() override;

  // NotFound: there is no socket (yet: a kubelet that starts takes the old one away first), or a
  // kubelet that does not know the API. Unavailable: nobody listens there (yet), the connection
  // broke, or Stop() was called. DeadlineExceeded: no answer in time. ResourceExhausted: too many
  // calls (of all clients) for the kubelet, or an answer of more than 16 MiB. DataLoss: an answer
  // that cannot be understood; Internal, Unknown: not even by gRPC. Else as the kubelet or
  // connect(2) say. Each message is one sentence with the path of the socket.
  void List(Listed done) override;
  // Whoever waits gets Unavailable, now, and so does whoever asks later. Calls `stopped`, in a
  // later turn, when nothing is under way any more. Once.
  void Stop(std::function<void()> stopped);

 private:
  struct Call;

  void BeginNext();
  void OnTimeout(Call* call);
  void OnAnswer(Call* call, const absl::Status& status);
  [[nodiscard]] absl::Status StoppedError() const;

  os::EventLoop& loop_;
  const std::string socket_;
  const os::EventLoop::Clock::duration deadline_;
  std::vector<Listed> waiting_;  // for one of calls_ to end
  // All that gRPC has not answered, abandoned ones included. They are destroyed here and not on
  // gRPC's threads: the end of a channel may wait for those threads.
  std::vector<std::unique_ptr<Call>> calls_;
  bool stopping_ = false;
  std::function<void()> stopped_;
};

}  // namespace dp::kubelet
