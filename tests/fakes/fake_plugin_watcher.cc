// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_plugin_watcher.h"

#include <fmt/format.h>
#include <grpcpp/create_channel_posix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>
#include <vector>

#include "tests/fakes/grpc_socket.h"

namespace dp::fakes {
namespace {

constexpr std::chrono::seconds kDialDeadline{10};
constexpr std::chrono::seconds kInfoDeadline{1};
constexpr std::chrono::seconds kNotifyDeadline{5};
constexpr std::chrono::milliseconds kFirstBackOff{500};
constexpr std::chrono::milliseconds kLongestBackOff{122'000};

}  // namespace

FakePluginWatcher::FakePluginWatcher(std::string folder, bool forgets_refused, Handler handler)
    : folder_(std::move(folder)),
      forgets_refused_(forgets_refused),
      handler_(std::move(handler)),
      inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
      end_(::eventfd(0, EFD_CLOEXEC)) {
  if (::inotify_add_watch(inotify_.get(), folder_.c_str(), IN_CREATE | IN_DELETE) < 0) {
    fmt::print(stderr, "a fake cannot watch {}\n", folder_);
    std::abort();
  }
  Scan();
  thread_ = std::thread([this] { Run(); });
}

FakePluginWatcher::~FakePluginWatcher() {
  ::eventfd_write(end_.get(), 1);
  thread_.join();
}

void FakePluginWatcher::Run() {
  while (true) {
    Reconcile();
    pollfd end{.fd = end_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&end, 1, static_cast<int>(kPeriod.count())) == 1) return;
    ReadChanges();
  }
}

void FakePluginWatcher::Scan() {
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (entry.is_socket()) found_[entry.path().string()].generation = ++generations_;
  }
}

void FakePluginWatcher::ReadChanges() {
  alignas(inotify_event) char buffer[4096];
  for (ssize_t size = 0; (size = ::read(inotify_.get(), buffer, sizeof(buffer))) > 0;) {
    for (ssize_t at = 0; at < size;) {
      const auto& event = *reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event.len);
      const std::string path = folder_ + "/" + event.name;
      if ((event.mask & IN_DELETE) != 0) {
        found_.erase(path);
      } else if (std::filesystem::is_socket(path)) {
        found_[path].generation = ++generations_;
      }
    }
  }
}

void FakePluginWatcher::Reconcile() {
  std::vector<std::string> busy;
  for (auto entry = registered_.begin(); entry != registered_.end();) {
    const auto found = found_.find(entry->first);
    if (found != found_.end() && found->second.generation == entry->second.generation) {
      ++entry;
      continue;
    }
    busy.push_back(entry->first);
    const Registered gone = entry->second;
    const std::string path = entry->first;
    entry = registered_.erase(entry);
    handler_.disconnect(gone.resource, path);
  }
  for (auto& [path, found] : found_) {
    if (registered_.contains(path) || Clock::now() < found.not_before) continue;
    if (std::find(busy.begin(), busy.end(), path) == busy.end()) Register(path, found);
  }
}

void FakePluginWatcher::Register(const std::string& path, Found& found) {
  std::string error;
  if (base::UniqueFd connection = ConnectTo(path); connection.valid()) {
    error = TryToRegister(path, found, std::move(connection));
  } else {
    // The real one goes on dialing, beside everything else.
    if (found.dialed == Clock::time_point{}) found.dialed = Clock::now();
    if (Clock::now() - found.dialed < kDialDeadline) return;
    error = "dial failed";
  }
  found.dialed = {};
  if (error.empty()) return;
  found.back_off = std::clamp(found.back_off * 2, kFirstBackOff, kLongestBackOff);
  found.not_before = Clock::now() + found.back_off;
}

// Empty: it was registered.
std::string FakePluginWatcher::TryToRegister(const std::string& path, const Found& found,
                                             base::UniqueFd connection) {
  const auto stub = pluginregistration::Registration::NewStub(
      grpc::CreateInsecureChannelFromFd("plugin", connection.Release()));
  const auto notify = [&](std::string error) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kNotifyDeadline);
    pluginregistration::RegistrationStatus status;
    status.set_plugin_registered(error.empty());
    status.set_error(error);
    pluginregistration::RegistrationStatusResponse response;
    const grpc::Status sent = stub->NotifyRegistrationStatus(&context, status, &response);
    return error.empty() && !sent.ok() ? sent.error_message() : error;
  };

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kInfoDeadline);
  pluginregistration::PluginInfo info;
  if (const grpc::Status status = stub->GetInfo(&context, {}, &info); !status.ok()) {
    return fmt::format("GetInfo failed: {}", status.error_message());
  }
  if (info.type() != "DevicePlugin") {
    return notify(fmt::format(
        "RegisterPlugin error -- no handler registered for plugin type: {} at socket {}",
        info.type(), path));
  }
  const auto& versions = info.supported_versions();
  if (std::find(versions.begin(), versions.end(), "v1beta1") == versions.end()) {
    return notify("RegisterPlugin error -- plugin validation failed with err: v1beta1 is missing");
  }
  registered_[path] = {.generation = found.generation, .resource = info.name()};
  const std::string socket = info.endpoint().empty() ? path : info.endpoint();
  if (const grpc::Status status = handler_.connect(info.name(), socket); !status.ok()) {
    if (forgets_refused_) registered_.erase(path);
    return notify(
        fmt::format("RegisterPlugin error -- plugin registration failed with err: {} ({})",
                    status.error_message(), path));
  }
  return notify("");
}

}  // namespace dp::fakes
