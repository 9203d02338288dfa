// SPDX-License-Identifier: Apache-2.0
#include "plugin/kubelet/endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/kubelet/folder_watch.h"

// A kubelet that starts removes every socket of the folder and then makes its own. The first means
// that our socket must be made again, the second that we must register: once, because a second
// registration would end the connection of the first one, and a call on it. A socket that somebody
// else removed needs no registration: the kubelet connects to it within Register only, and keeps
// what it has.

namespace dp::kubelet {
namespace {

constexpr mode_t kSocketMode = 0600;

// FNV-1a: tells apart resources whose readable parts are alike.
std::uint32_t Hash(std::string_view text) {
  std::uint32_t hash = 0x811c9dc5;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193;
  return hash;
}

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::symlink_status(path, error));
}

}  // namespace

std::string SocketName(std::string_view resource) {
  constexpr std::size_t kReadable = 24;
  std::string readable(resource.substr(resource.rfind('/') + 1).substr(0, kReadable));
  std::replace_if(
      readable.begin(), readable.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '-');
  return fmt::format("vfio-doorbell-{}-{:08x}.sock", readable, Hash(resource));
}

Endpoint::Endpoint(os::EventLoop& loop, const std::string& folder, const std::string& resource,
                   Events events)
    : loop_(loop),
      path_(folder + "/" + SocketName(resource)),
      resource_(resource),
      events_(std::move(events)),
      registration_(loop,
                    {.kubelet_socket = folder + "/" + FolderWatch::kKubeletSocket,
                     .endpoint = SocketName(resource),
                     .resource = resource},
                    [this] {
                      ExpectWatch();
                      events_.registered();
                    }) {}

Endpoint::~Endpoint() {
  if (unwatched_) loop_.Cancel(*unwatched_);
}

absl::StatusOr<std::unique_ptr<Endpoint>> Endpoint::Create(os::EventLoop& loop,
                                                           const std::string& folder,
                                                           const std::string& resource,
                                                           Events events) {
  std::unique_ptr<Endpoint> endpoint(new Endpoint(loop, folder, resource, std::move(events)));
  if (absl::Status status = endpoint->Listen(); !status.ok()) return status;
  return endpoint;
}

absl::Status Endpoint::Listen() {
  listener_.reset();
  auto listener = os::UnixListener::Create(
      loop_, path_, kSocketMode,
      [this](base::UniqueFd connection) { events_.connected(std::move(connection)); });
  if (!listener.ok()) return listener.status();
  listener_ = *std::move(listener);
  return absl::OkStatus();
}

void Endpoint::ListenAgain() {
  if (listener_ && listener_->InPlace()) return;
  // A second daemon serves the resource now, as during an update. Taking the path back would start
  // a fight; when it goes, its socket goes, and that is reported.
  if (Exists(path_)) {
    if (!std::exchange(superseded_, true)) {
      log::Warning("superseded", {{"reason", "socket_replaced"}, {"socket", path_}});
    }
    return;
  }
  if (absl::Status status = Listen(); !status.ok()) {
    if (const std::string failure(status.message()); failure != last_failure_) {
      log::Error("not listening", {{"reason", "listen"}, {"error", status}});
      last_failure_ = failure;
    }
    return;
  }
  log::Info("listening again", {{"socket", path_}});
  superseded_ = false;
  last_failure_.clear();
}

void Endpoint::OnFolderChange(bool kubelet_started) {
  if (stopped_) return;
  const bool was_superseded = superseded_;
  ListenAgain();
  if (superseded_) return;
  if (kubelet_started || was_superseded) registration_.Start();
}

void Endpoint::SetWatched(bool watched) {
  watched_ = watched;
  if (!watched_) ExpectWatch();
}

void Endpoint::ExpectWatch() {
  if (watched_ || unwatched_ || stopped_) return;
  unwatched_ = loop_.CallAfter(kUnwatchedGrace, [this] {
    unwatched_.reset();
    if (watched_ || superseded_ || registration_.active()) return;
    log::Info("not watched", {{"resource", resource_}});
    registration_.Start();
  });
}

void Endpoint::Stop(std::function<void()> stopped) {
  stopped_ = true;
  if (unwatched_) loop_.Cancel(*std::exchange(unwatched_, std::nullopt));
  listener_.reset();
  registration_.Stop(std::move(stopped));
}

}  // namespace dp::kubelet
