// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/node_hook.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/guest/vmi.h"
#include "plugin/hook/launcher_pod.h"
#include "plugin/hook/vm_start.h"

namespace dp::app {
namespace {

constexpr mode_t kSocketMode = 0600;  // virt-handler is root

}  // namespace

absl::StatusOr<std::unique_ptr<NodeHook>> NodeHook::Create(os::EventLoop& loop,
                                                           core::DeviceBroker& broker,
                                                           const std::string& path) {
  std::unique_ptr<NodeHook> hook(new NodeHook(loop, broker));
  ASSIGN_OR_RETURN(
      hook->server_,
      server::NodeHookServer::Create(
          loop, [hook = hook.get()](const std::string& hook_point, const std::string& vmi,
                                    const server::NodeHookServer::Done& done) {
            hook->OnCall(hook_point, vmi, done);
          }));
  ASSIGN_OR_RETURN(hook->listener_,
                   os::UnixListener::Create(loop, path, kSocketMode,
                                            [hook = hook.get()](base::UniqueFd connection) {
                                              hook->server_->Serve(std::move(connection));
                                            }));
  return hook;
}

void NodeHook::Stop(std::function<void()> stopped) {
  listener_.reset();
  shutdown_ = std::jthread([this, stopped = std::move(stopped)] {
    server_->Shutdown();
    loop_.Post(stopped);
  });
}

void NodeHook::OnCall(const std::string& hook_point, const std::string& vmi,
                      const server::NodeHookServer::Done& done) {
  if (hook_point == "PreVMStart") {
    CheckStart(vmi, done);
    return;
  }
  // Only a hint: a machine that is deleted by force has no such call.
  if (hook_point == "PostVMStop") broker_.LookForEnded();
  // The others are nothing to us, whatever is added to them.
  done(absl::OkStatus());
}

void NodeHook::CheckStart(const std::string& text, const server::NodeHookServer::Done& done) {
  auto vmi = guest::ParseVmi(text);
  if (!vmi.ok()) {
    Say("VM not checked", "", std::string(vmi.status().message()));
    done(absl::InvalidArgumentError(fmt::format("the VirtualMachineInstance cannot be read: {}",
                                                std::string(vmi.status().message()))));
    return;
  }
  const core::IsPod is_pod = [space = vmi->space, name = vmi->name](const core::PodName& pod) {
    return hook::IsLauncherOf(space, name, pod);
  };
  broker_.HeldBy(is_pod, [this, vmi = *std::move(vmi),
                          done](absl::StatusOr<std::vector<core::HeldGroup>> held) {
    if (!held.ok()) {
      done(held.status());
      return;
    }
    hook::NodeFacts facts{.resources = {}, .pool = broker_.pool(), .held = *std::move(held)};
    for (const core::ResourceOffers& offers : broker_.offers())
      facts.resources.push_back(offers.resource);
    const std::string vm = fmt::format("{}/{}", vmi.space, vmi.name);
    const auto checked = hook::CheckVmStart(vmi, facts);
    if (!checked.ok()) {
      Say("VM not let start", vm, std::string(checked.status().message()));
    } else if (!checked->empty()) {
      Say("VM let start", vm, fmt::format("{}", fmt::join(*checked, "; ")));
    }
    done(checked.status());
  });
}

// KubeVirt asks again and again until the machine runs.
void NodeHook::Say(std::string_view what, const std::string& vm, std::string_view sentence) {
  std::string said = fmt::format("{} {} {}", what, vm, sentence);
  if (said == last_said_) return;
  last_said_ = std::move(said);
  log::Warning(what, {{"reason", base::Reason::kNodeHook}, {"vm", vm}, {"error", sentence}});
}

}  // namespace dp::app
