// SPDX-License-Identifier: Apache-2.0
#include "plugin/admin_client/ask.h"

#include <functional>
#include <memory>
#include <utility>

#include "plugin/admin_client/admin_socket.h"
#include "plugin/base/status_macros.h"
#include "plugin/os/event_loop.h"

namespace dp::admin_client {
namespace {

// Turns a loop until `call` is answered and nothing of it is left.
template <typename Message>
absl::StatusOr<Message> Wait(
    const std::string& socket,
    const std::function<void(AdminSocket&, Admin::Answered<Message>)>& call) {
  ASSIGN_OR_RETURN(const std::unique_ptr<os::EventLoop> loop, os::EventLoop::Create());
  AdminSocket daemon(*loop, socket);
  absl::StatusOr<Message> result;
  call(daemon, [&](absl::StatusOr<Message> answer) {
    result = std::move(answer);
    // The answer may come before the loop runs.
    loop->Post([&] { daemon.Stop([&] { loop->Stop(); }); });
  });
  loop->Run();
  return result;
}

}  // namespace

absl::StatusOr<v1::NodeState> AskState(const std::string& socket, Admin::Duration deadline) {
  return Wait<v1::NodeState>(socket,
                             [deadline](AdminSocket& daemon, Admin::Answered<v1::NodeState> done) {
                               daemon.GetState(deadline, std::move(done));
                             });
}

absl::StatusOr<v1::ReleaseResponse> AskRelease(const std::string& socket,
                                               const v1::ReleaseRequest& request,
                                               Admin::Duration deadline) {
  return Wait<v1::ReleaseResponse>(
      socket, [&](AdminSocket& daemon, Admin::Answered<v1::ReleaseResponse> done) {
        daemon.Release(request, deadline, std::move(done));
      });
}

}  // namespace dp::admin_client
