// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>

#include "plugin/os/event_loop.h"

namespace dp::server {

// One call that streams a value each time it has changed. gRPC makes and finishes it on its
// threads; everything in between happens on the loop thread. Destroys itself when gRPC has let go
// of it.
//
// The callbacks only post, and gRPC calls OnDone() last, so the task that deletes the stream is the
// last of its tasks.
template <typename Message>
class LatestStream final : public grpc::ServerWriteReactor<Message> {
 public:
  // How the stream asks for what it needs; all are called in turns of the loop.
  struct Source {
    std::function<void(LatestStream&)> opened;  // the first thing that is called
    std::function<void(Message&)> fill;
    std::function<void()> sent;
    std::function<void(LatestStream&)> closed;  // the last thing that is called
  };
  // `source` and `loop` outlive the stream.
  LatestStream(os::EventLoop& loop, const Source& source) : loop_(loop), source_(source) {
    loop_.Post([this] { source_.opened(*this); });
  }

  // Loop thread. Sends the value as it is when its turn comes: of several changes during one write
  // the client sees the last.
  void Send() {
    if (ended_) return;
    if (writing_) {
      changed_ = true;
      return;
    }
    changed_ = false;
    writing_ = std::make_unique<Message>();
    source_.fill(*writing_);
    this->StartWrite(writing_.get());
  }

  // Loop thread. Ends the stream.
  void End() {
    if (ended_) return;
    ended_ = true;
    this->Finish(grpc::Status::OK);
  }

  // gRPC's threads.
  void OnWriteDone(bool ok) override {
    loop_.Post([this, ok] {
      writing_.reset();
      if (!ok) {
        End();
        return;
      }
      source_.sent();
      if (changed_) Send();
    });
  }
  void OnCancel() override {
    loop_.Post([this] { End(); });
  }
  void OnDone() override {
    loop_.Post([this] {
      source_.closed(*this);
      delete this;
    });
  }

 private:
  os::EventLoop& loop_;
  const Source& source_;
  std::unique_ptr<Message> writing_;  // gRPC reads it until OnWriteDone()
  bool changed_ = false;              // since writing_ was filled
  bool ended_ = false;
};

}  // namespace dp::server
