// SPDX-License-Identifier: Apache-2.0
#include "plugin/server/list_stream.h"

namespace dp::server {

// The callbacks only post, and gRPC calls OnDone() last, so the task that deletes the stream is the
// last of its tasks.

ListStream::ListStream(os::EventLoop& loop, const Source& source) : loop_(loop), source_(source) {
  loop_.Post([this] { source_.opened(*this); });
}

void ListStream::SendList() {
  if (ended_) return;
  if (writing_) {
    changed_ = true;
    return;
  }
  changed_ = false;
  writing_ = std::make_unique<v1beta1::ListAndWatchResponse>();
  source_.fill(*writing_);
  StartWrite(writing_.get());
}

void ListStream::End() {
  if (ended_) return;
  ended_ = true;
  Finish(grpc::Status::OK);
}

void ListStream::OnWriteDone(bool ok) {
  loop_.Post([this, ok] {
    writing_.reset();
    if (!ok) {
      End();
      return;
    }
    source_.list_sent();
    if (changed_) SendList();
  });
}

void ListStream::OnCancel() {
  loop_.Post([this] { End(); });
}

void ListStream::OnDone() {
  loop_.Post([this] {
    source_.closed(*this);
    delete this;
  });
}

}  // namespace dp::server
