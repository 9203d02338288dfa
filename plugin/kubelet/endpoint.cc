// SPDX-License-Identifier: Apache-2.0
#include "plugin/kubelet/endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/kubelet/folder_watch.h"
#include "plugin/os/unix_connect.h"

// Every registration is made with a socket of its own, because a kubelet knows a plugin by the path
// of its socket. One of 1.36 or newer refuses a path that it is connected to, and then forgets to
// take note when that connection ends: the resource would be lost until it restarts. The plugin
// watcher delays a path that has failed by up to two minutes. And a new process beside an old one
// must not take its path away.
//
// A kubelet that starts removes every socket of the folder of its own one, and connects to ours
// within Register only. So a socket that is gone there is not missed until the next registration.
// The plugin watcher removes nothing, and comes whenever it likes.

namespace dp::kubelet {
namespace {

constexpr mode_t kSocketMode = 0600;

// FNV-1a: tells apart resources whose readable parts are alike.
std::uint32_t Hash(std::string_view text) {
  std::uint32_t hash = 0x811c9dc5;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193;
  return hash;
}

// Microseconds since the host was booted, in as many digits for a century: the older the smaller.
std::string Now() {
  return fmt::format("{:013x}", std::chrono::duration_cast<std::chrono::microseconds>(
                                    std::chrono::steady_clock::now().time_since_epoch())
                                    .count());
}

// Of a message of the kubelet: without the names of sockets, which are others each time.
std::string WithoutSockets(std::string text, const std::string& prefix) {
  for (auto at = text.find(prefix); at != std::string::npos; at = text.find(prefix, at)) {
    text.erase(at, text.find('.', at) - at);
  }
  return text;
}

}  // namespace

std::string SocketPrefix(std::string_view resource) {
  constexpr std::size_t kReadable = 16;
  std::string readable(resource.substr(resource.rfind('/') + 1).substr(0, kReadable));
  std::replace_if(
      readable.begin(), readable.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '-');
  return fmt::format("vfio-doorbell-{}-{:08x}-", readable, Hash(resource));
}

Endpoint::Endpoint(os::EventLoop& loop, Way way, const std::string& folder,
                   const std::string& resource, Events events)
    : loop_(loop),
      way_(way),
      folder_(folder),
      resource_(resource),
      prefix_(SocketPrefix(resource)),
      born_(Now()),
      events_(std::move(events)),
      registration_(loop,
                    {.kubelet_socket = folder + "/" + FolderWatch::kKubeletSocket,
                     .resource = resource,
                     .endpoint = [this] { return UnusedSocket(); },
                     .socket_patience = kSocketPatience},
                    [this] {
                      ExpectWatch(kUnwatchedGrace);
                      events_.registered();
                    }) {}

Endpoint::~Endpoint() {
  if (unwatched_) loop_.Cancel(*unwatched_);
}

absl::StatusOr<std::unique_ptr<Endpoint>> Endpoint::Create(os::EventLoop& loop, Way way,
                                                           const std::string& folder,
                                                           const std::string& resource,
                                                           Events events) {
  std::unique_ptr<Endpoint> endpoint(new Endpoint(loop, way, folder, resource, std::move(events)));
  endpoint->RemoveStaleSockets();
  RETURN_IF_ERROR(endpoint->Listen());
  return endpoint;
}

absl::Status Endpoint::Listen() {
  listener_.reset();
  auto listener = os::UnixListener::Create(
      loop_, fmt::format("{}/{}{}-{:x}.sock", folder_, prefix_, born_, ++sockets_), kSocketMode,
      [this](base::UniqueFd connection) { events_.connected(std::move(connection)); });
  if (!listener.ok()) return listener.status();
  listener_ = *std::move(listener);
  used_ = false;
  return absl::OkStatus();
}

absl::StatusOr<std::string> Endpoint::UnusedSocket() {
  if (used_ || !listener_ || !listener_->InPlace()) RETURN_IF_ERROR(Listen());
  used_ = true;
  return listener_->path().substr(folder_.size() + 1);
}

void Endpoint::Start() {
  if (way_ == Way::kKubeletSocket) registration_.Start();
}

void Endpoint::Announce() {
  if (unwatched_) loop_.Cancel(*std::exchange(unwatched_, std::nullopt));
  if (way_ == Way::kKubeletSocket) {
    registration_.Start();
  } else if (const absl::Status status = Listen(); !status.ok()) {
    OnFailure(base::Reason::kNotListening, status);
  }
}

void Endpoint::OnFolderChange(bool kubelet_started) {
  if (stopped_) return;
  const bool was_superseded = superseded_;
  if (IsSuperseded()) return;
  const bool lost =
      way_ == Way::kPluginsRegistry && !unwatched_ && !(listener_ && listener_->InPlace());
  const bool started = way_ == Way::kKubeletSocket && kubelet_started;
  if (started || was_superseded || lost) Announce();
}

void Endpoint::SetWatched(bool watched) {
  watched_ = watched;
  if (!watched_) ExpectWatch(kCutGrace);
}

void Endpoint::OnAnnounced(const absl::Status& status) {
  if (stopped_ || way_ != Way::kPluginsRegistry) return;
  if (!status.ok()) {
    OnFailure(base::Reason::kNotRegistered, status);
    return;
  }
  log::Info("registered",
            {{"resource", resource_}, {"socket", listener_ ? listener_->path() : ""}});
  last_failure_.clear();
  pause_ = kFirstPause;
  ExpectWatch(kUnwatchedGrace);
  events_.registered();
}

void Endpoint::OnFailure(base::Reason reason, const absl::Status& status) {
  if (const std::string failure = WithoutSockets(std::string(status.message()), prefix_);
      failure != last_failure_) {
    log::Warning("not registered",
                 {{"resource", resource_}, {"reason", reason}, {"error", status}});
    last_failure_ = failure;
  }
  ExpectWatch(pause_);
  pause_ = std::min(pause_ * 2, kLongestPause);
}

std::string Endpoint::failure() const {
  return way_ == Way::kPluginsRegistry ? last_failure_
                                       : WithoutSockets(registration_.failure(), prefix_);
}

void Endpoint::ExpectWatch(std::chrono::milliseconds grace) {
  if (watched_ || stopped_) return;
  if (unwatched_) loop_.Cancel(*unwatched_);
  unwatched_ = loop_.CallAfter(grace, [this] {
    unwatched_.reset();
    if (watched_ || registration_.active()) return;
    if (IsSuperseded()) {
      // Its socket says when it goes, unless it is killed.
      ExpectWatch(kSupersededPause);
      return;
    }
    log::Info("not watched", {{"resource", resource_}});
    Announce();
  });
}

std::vector<std::string> Endpoint::Sockets() const {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder_, error), end; !error && entry != end;
       entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (name.compare(0, prefix_.size(), prefix_) == 0) names.push_back(std::move(name));
  }
  return names;
}

// A kubelet that is asked by two processes in turn would go from one to the other and back.
bool Endpoint::IsSuperseded() {
  const auto names = Sockets();
  const auto younger = std::find_if(names.begin(), names.end(), [this](const std::string& name) {
    return name.compare(prefix_.size(), born_.size(), born_) > 0 &&
           os::ConnectUnix(folder_ + "/" + name).ok();
  });
  const bool superseded = younger != names.end();
  if (superseded && !superseded_) {
    log::Warning("superseded",
                 {{"reason", base::Reason::kYoungerDaemon}, {"socket", folder_ + "/" + *younger}});
  }
  superseded_ = superseded;
  return superseded_;
}

// The plugin watcher would ask them for ever.
void Endpoint::RemoveStaleSockets() const {
  for (const std::string& name : Sockets()) {
    const std::string path = folder_ + "/" + name;
    std::error_code error;
    if (!std::filesystem::is_socket(std::filesystem::symlink_status(path, error)) ||
        !absl::IsUnavailable(os::ConnectUnix(path).status())) {
      continue;
    }
    if (std::filesystem::remove(path, error)) log::Info("stale socket removed", {{"socket", path}});
  }
}

void Endpoint::Stop(std::function<void()> stopped) {
  stopped_ = true;
  if (unwatched_) loop_.Cancel(*std::exchange(unwatched_, std::nullopt));
  listener_.reset();
  registration_.Stop(std::move(stopped));
}

}  // namespace dp::kubelet
