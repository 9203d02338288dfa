// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>

#include "api/kubelet/v1beta1/api.pb.h"
#include "plugin/os/event_loop.h"

namespace dp::server {

// One ListAndWatch call. gRPC makes and finishes it on its threads; everything in between happens
// on the loop thread. Destroys itself when gRPC has let go of it.
class ListStream final : public grpc::ServerWriteReactor<v1beta1::ListAndWatchResponse> {
 public:
  // How the stream asks for what it needs; all are called in turns of the loop.
  struct Source {
    std::function<void(ListStream&)> opened;  // the first thing that is called
    std::function<void(v1beta1::ListAndWatchResponse&)> fill;
    std::function<void()> list_sent;
    std::function<void(ListStream&)> closed;  // the last thing that is called
  };
  // `source` and `loop` outlive the stream.
  ListStream(os::EventLoop& loop, const Source& source);

  // Loop thread. Sends the list as it is when its turn comes: of several changes during one write
  // the kubelet sees the last.
  void SendList();
  // Loop thread. Ends the stream.
  void End();

  // gRPC's threads.
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  os::EventLoop& loop_;
  const Source& source_;
  std::unique_ptr<v1beta1::ListAndWatchResponse> writing_;  // gRPC reads it until OnWriteDone()
  bool changed_ = false;                                    // since writing_ was filled
  bool ended_ = false;
};

}  // namespace dp::server
