// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/plugins.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/os/syscall.h"

namespace dp::app {
namespace {

// For the kubelet to take note of the end of its streams.
constexpr std::chrono::milliseconds kStreamsDeadline{500};

}  // namespace

Plugins::Plugins(Parts parts, Events events) : parts_(parts), events_(std::move(events)) {}

void Plugins::Open(const Options& options) {
  ChooseWay(options);
  folder_watch_ = std::make_unique<kubelet::FolderWatch>(
      parts_.loop, folder_, [this](bool kubelet_started) { OnFolderChange(kubelet_started); });
}

// Never both: docs/adr/2026-11-24-one-way-of-registration.md
void Plugins::ChooseWay(const Options& options) {
  folder_ = options.kubelet_dir;
  if (options.registration != "plugins-registry") return;
  // The final slash: it is to be a folder.
  if (::access((options.plugins_registry_dir + "/").c_str(), W_OK | X_OK) == 0) {
    way_ = kubelet::Endpoint::Way::kPluginsRegistry;
    folder_ = options.plugins_registry_dir;
    return;
  }
  log::Warning("registering through the kubelet's socket",
               {{"reason", base::Reason::kNoPluginsRegistry},
                {"error", os::ErrnoError(errno, "register in " + options.plugins_registry_dir)}});
}

absl::Status Plugins::Add(std::size_t resource) {
  ASSIGN_OR_RETURN(auto server,
                   server::DevicePluginServer::Create(
                       parts_.loop, parts_.broker, resource,
                       {.list_sent =
                            [this, resource] {
                              plugins_[resource].list_sent_ms = parts_.timers.WallMs();
                              ::malloc_trim(0);
                            },
                        .answered =
                            [this, resource](auto method, const auto& status, auto duration) {
                              OnAnswered(resource, method, status, duration);
                            },
                        .watched = [this, resource](bool watched) { OnWatched(resource, watched); },
                        .announced =
                            [this, resource](const absl::Status& status) {
                              if (!plugins_[resource].endpoint) return;
                              plugins_[resource].endpoint->OnAnnounced(status);
                            }}));
  auto endpoint = kubelet::Endpoint::Create(
      parts_.loop, way_, folder_, parts_.broker.offers()[resource].resource,
      {.connected = [server = server.get()](
                        base::UniqueFd connection) { server->Serve(std::move(connection)); },
       .registered = [this, resource] { OnRegistered(resource); }});
  if (plugins_.size() <= resource) plugins_.resize(resource + 1);
  plugins_[resource].server = std::move(server);
  if (!endpoint.ok()) return endpoint.status();
  plugins_[resource].endpoint = *std::move(endpoint);
  return absl::OkStatus();
}

void Plugins::Start(std::size_t resource) { plugins_[resource].endpoint->Start(); }

void Plugins::SendList(std::size_t resource) {
  if (resource < plugins_.size() && plugins_[resource].server)
    plugins_[resource].server->SendList();
}

void Plugins::OnFolderChange(bool kubelet_started) {
  if (kubelet_started) {
    ++parts_.statistics.kubelet_restarts;
    parts_.broker.KubeletStarted();
  }
  for (const Plugin& plugin : plugins_) {
    if (plugin.endpoint) plugin.endpoint->OnFolderChange(kubelet_started);
  }
}

void Plugins::OnRegistered(std::size_t resource) {
  ++parts_.statistics.registrations[parts_.broker.offers()[resource].resource];
  events_.registered();
}

void Plugins::OnWatched(std::size_t resource, bool watched) {
  Plugin& plugin = plugins_[resource];
  if (!plugin.endpoint) return;
  plugin.endpoint->SetWatched(watched);
  plugin.watched_since_ms = watched ? parts_.timers.WallMs() : 0;
  events_.watched();
  WatchFolderIfNeeded();
}

void Plugins::OnAnswered(std::size_t resource, server::DevicePluginServer::Method method,
                         const absl::Status& status,
                         server::DevicePluginServer::Duration duration) {
  const bool is_start = method == server::DevicePluginServer::Method::kPreStartContainer;
  const std::pair key(parts_.broker.offers()[resource].resource,
                      std::string(core::ResultOf(status)));
  core::Statistics& statistics = parts_.statistics;
  ++(is_start ? statistics.starts : statistics.allocations)[key];
  (is_start ? statistics.start : statistics.allocate).Add(duration);
}

// As long as the kubelet watches every resource it has not restarted, and the folder does not
// matter.
void Plugins::WatchFolderIfNeeded() {
  if (drained_) return;
  const bool all_watched = std::all_of(plugins_.begin(), plugins_.end(), [](const Plugin& plugin) {
    return !plugin.server || (plugin.endpoint && plugin.endpoint->watched());
  });
  if (all_watched) {
    folder_watch_->Pause();
  } else {
    folder_watch_->Resume();
  }
}

void Plugins::Retire(std::size_t resource) {
  if (!plugins_[resource].server) return;
  Retired& retired = retired_.emplace_back();
  retired.plugin = std::exchange(plugins_[resource], {});
  retired.stopped = !retired.plugin.endpoint;
  const auto end = [this, &retired] {
    retired.ended = true;
    RetireFurther(retired);
  };
  retired.deadline = parts_.loop.CallAfter(kStreamsDeadline, end);
  // First: whoever sees a stream end finds no socket any more.
  if (!retired.stopped) {
    retired.plugin.endpoint->Stop([this, &retired] {
      retired.stopped = true;
      RetireFurther(retired);
    });
  }
  retired.plugin.server->EndStreams(end);
}

void Plugins::RetireFurther(Retired& retired) {
  if (!retired.stopped || !retired.ended || retired.shutdown.joinable()) return;
  retired.shutdown = std::jthread([this, &retired] {
    retired.plugin.server->Shutdown();
    parts_.loop.Post([this, &retired] {
      parts_.loop.Cancel(*retired.deadline);
      retired_.remove_if([&retired](const Retired& entry) { return &entry == &retired; });
      if (drained_ && retired_.empty()) drained_();
    });
  });
  // Meanwhile: if the folder is being watched, the kernel takes milliseconds to end that.
  if (drained_) folder_watch_.reset();
}

void Plugins::Drain(std::function<void()> stopped) {
  drained_ = std::move(stopped);
  for (std::size_t resource = 0; resource < plugins_.size(); ++resource) Retire(resource);
  if (retired_.empty()) drained_();
}

std::vector<server::ResourceFacts> Plugins::Facts() const {
  std::vector<server::ResourceFacts> facts;
  for (std::size_t i = 0; i < plugins_.size(); ++i) {
    const Plugin& plugin = plugins_[i];
    if (!plugin.server) continue;
    const core::Resource& resource = parts_.broker.resource(i);
    const auto& counts = parts_.statistics.registrations;
    const auto registrations = counts.find(resource.name);
    facts.push_back({.name = resource.name,
                     .watched = plugin.endpoint && plugin.endpoint->watched(),
                     .failure = plugin.endpoint ? plugin.endpoint->failure() : std::string(),
                     .watched_since_ms = plugin.watched_since_ms,
                     .list_sent_ms = plugin.list_sent_ms,
                     .registrations = registrations == counts.end() ? 0 : registrations->second,
                     .observe = resource.observe,
                     .cdi = resource.cdi,
                     .iommufd = resource.iommufd});
  }
  return facts;
}

}  // namespace dp::app
