// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message_lite.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "plugin/admin_client/admin.h"
#include "plugin/os/event_loop.h"

namespace grpc {
class ByteBuffer;
}

namespace dp::admin_client {

// The daemon behind its Unix socket. Each call has a connection of its own, and so has each stream:
// one that is kept would have to be found dead after each restart of the daemon, by a call that
// fails for nothing. Loop thread.
class AdminSocket final : public Admin {
 public:
  // `loop` outlives this.
  AdminSocket(os::EventLoop& loop, std::string path);
  AdminSocket(const AdminSocket&) = delete;
  AdminSocket& operator=(const AdminSocket&) = delete;
  // After Stop() has called `stopped`.
  ~AdminSocket() override;

  void GetState(Duration deadline, Answered<v1::NodeState> done) override;
  void GetMetrics(Duration deadline, Answered<v1::GetMetricsResponse> done) override;
  void WatchState(Duration deadline, std::function<void(const v1::NodeState&)> changed,
                  std::function<void(const absl::Status&)> ended) override;
  // Ends a reservation (api/admin/v1/api.proto), which Admin leaves to whoever does not only look.
  // A refusal of the daemon has its code and its words.
  void Release(const v1::ReleaseRequest& request, Duration deadline,
               Answered<v1::ReleaseResponse> done);
  // Whoever waits gets Unavailable, now, and so does whoever asks later. Calls `stopped`, in a
  // later turn, when nothing is under way any more. Once.
  void Stop(std::function<void()> stopped);

 private:
  struct Call;
  class Stream;
  using Bytes = absl::StatusOr<grpc::ByteBuffer>;

  template <typename Message>
  void AskFor(const char* method, const google::protobuf::MessageLite& request, Duration deadline,
              Answered<Message> done);
  void Ask(const char* method, const grpc::ByteBuffer& request, Duration deadline,
           std::function<void(Bytes)> done);
  void OnAnswer(Call* call, const absl::Status& status);
  void OnMessage(Stream* stream);
  void OnEnd(Stream* stream, const absl::Status& status);
  void StopIfIdle();
  [[nodiscard]] absl::Status Explain(const absl::Status& status) const;
  [[nodiscard]] absl::Status LateError(Duration deadline) const;
  [[nodiscard]] absl::Status StoppedError() const;

  os::EventLoop& loop_;
  const std::string path_;
  // All that gRPC has not ended, abandoned ones included. They are destroyed here and not on gRPC's
  // threads: the end of a channel may wait for those threads.
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<std::unique_ptr<Stream>> streams_;
  bool stopping_ = false;
  std::function<void()> stopped_;
};

}  // namespace dp::admin_client
