// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_kubelet.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grpcpp/create_channel_posix.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "plugin/base/unique_fd.h"

namespace dp::fakes {
namespace {

constexpr std::chrono::seconds kDialDeadline{10};

void SetNonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

base::UniqueFd Connect(const std::string& path) {
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = AddressOf(path);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) {
    return {};
  }
  SetNonblocking(socket.get());
  return socket;
}

}  // namespace

// A connection to a plugin.
struct FakeKubelet::Session {
  std::string resource;
  base::UniqueFd connection;  // a duplicate
  std::unique_ptr<v1beta1::DevicePlugin::Stub> stub;
  grpc::ClientContext watch_context;
  std::thread watcher;

  void Close() {
    ::shutdown(connection.get(), SHUT_RDWR);
    watch_context.TryCancel();
  }
};

class FakeKubelet::Service final : public v1beta1::Registration::Service {
 public:
  explicit Service(FakeKubelet& kubelet) : kubelet_(kubelet) {}
  grpc::Status Register(grpc::ServerContext* /*context*/, const v1beta1::RegisterRequest* request,
                        v1beta1::Empty* /*response*/) override {
    return kubelet_.OnRegister(*request);
  }

 private:
  FakeKubelet& kubelet_;
};

FakeKubelet::FakeKubelet(std::string folder)
    : folder_(std::move(folder)), service_(std::make_unique<Service>(*this)) {
  grpc::ServerBuilder builder;
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  socket_ = std::make_unique<GrpcSocket>(*server_, socket_path());
}

FakeKubelet::~FakeKubelet() {
  Stop();
  server_->Shutdown(std::chrono::system_clock::now());
  for (const auto& session : ended_sessions_) session->watcher.join();
}

FakeKubelet::Clock::time_point FakeKubelet::Start() {
  WipeSockets();
  {
    const std::lock_guard lock(mutex_);
    serving_ = true;
  }
  return socket_->Open();
}

void FakeKubelet::Stop() {
  if (!socket_->open()) return;
  socket_->Close();
  std::vector<std::shared_ptr<Session>> ended;
  {
    const std::lock_guard lock(mutex_);
    serving_ = false;
    ended = std::exchange(ended_sessions_, {});
    for (auto& [resource, session] : sessions_) {
      session->Close();
      ended.push_back(std::move(session));
    }
    sessions_.clear();
  }
  for (const auto& session : ended) session->watcher.join();
}

void FakeKubelet::WipeSockets() const {
  std::error_code error;
  std::vector<std::filesystem::path> sockets;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    if (entry.is_socket(error)) sockets.push_back(entry.path());
  }
  for (const auto& socket : sockets) std::filesystem::remove(socket, error);
}

grpc::Status FakeKubelet::OnRegister(const v1beta1::RegisterRequest& request) {
  {
    const std::lock_guard lock(mutex_);
    ++register_calls_;
    changed_.notify_all();
    if (!serving_) return {grpc::StatusCode::UNAVAILABLE, "the kubelet is stopped"};
    if (!refusal_.ok()) return refusal_;
  }
  if (request.version() != "v1beta1") {
    return {grpc::StatusCode::UNKNOWN,
            fmt::format("API version {} is not supported, only v1beta1 is", request.version())};
  }
  const std::string path = folder_ + "/" + request.endpoint();
  base::UniqueFd connection = Connect(path);
  if (!connection.valid()) {
    return {grpc::StatusCode::UNKNOWN,
            fmt::format("failed to dial {}: {}", path, std::strerror(errno))};
  }
  auto session = std::make_shared<Session>();
  session->resource = request.resource_name();
  session->connection.Reset(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
  session->stub = v1beta1::DevicePlugin::NewStub(
      grpc::CreateInsecureChannelFromFd("plugin", connection.Release()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDialDeadline);
  v1beta1::DevicePluginOptions options;
  if (grpc::Status status = session->stub->GetDevicePluginOptions(&context, {}, &options);
      !status.ok()) {
    return {grpc::StatusCode::UNKNOWN,
            fmt::format("failed to get the options of {}: {}", path, status.error_message())};
  }

  const std::lock_guard lock(mutex_);
  if (!serving_) return {grpc::StatusCode::UNAVAILABLE, "the kubelet is stopped"};
  if (const auto former = sessions_.find(session->resource); former != sessions_.end()) {
    former->second->Close();
    ended_sessions_.push_back(former->second);
  }
  sessions_[session->resource] = session;
  Resource& resource = resources_[session->resource];
  resource.endpoint = request.endpoint();
  resource.options = options;
  resource.devices.clear();
  resource.watching = true;
  ++resource.registrations;
  resource.registered_at = Clock::now();
  session->watcher = std::thread([this, session] { Watch(*session); });
  changed_.notify_all();
  return grpc::Status::OK;
}

void FakeKubelet::Watch(Session& session) {
  const auto reader = session.stub->ListAndWatch(&session.watch_context, {});
  v1beta1::ListAndWatchResponse list;
  while (reader->Read(&list)) {
    const Clock::time_point now = Clock::now();
    Devices devices;
    for (v1beta1::Device& device : *list.mutable_devices()) {
      std::string id = device.id();
      devices[std::move(id)] = std::move(device);
    }
    const std::lock_guard lock(mutex_);
    const auto current = sessions_.find(session.resource);
    if (current == sessions_.end() || current->second.get() != &session) continue;
    Resource& resource = resources_[session.resource];
    resource.devices = std::move(devices);
    resource.listed_at = now;
    ++resource.lists;
    changed_.notify_all();
  }
  const grpc::Status status = reader->Finish();
  const std::lock_guard lock(mutex_);
  const auto current = sessions_.find(session.resource);
  if (current != sessions_.end() && current->second.get() != &session) return;
  Resource& resource = resources_[session.resource];
  resource.watching = false;
  resource.watch_status = status;
  changed_.notify_all();
}

void FakeKubelet::RefuseRegistrations(grpc::Status status) {
  const std::lock_guard lock(mutex_);
  refusal_ = std::move(status);
}

FakeKubelet::Resource FakeKubelet::Get(const std::string& resource) const {
  const std::lock_guard lock(mutex_);
  const auto found = resources_.find(resource);
  return found == resources_.end() ? Resource{} : found->second;
}

int FakeKubelet::register_calls() const {
  const std::lock_guard lock(mutex_);
  return register_calls_;
}

absl::Status FakeKubelet::WaitFor(const std::string& resource, std::string_view what,
                                  const std::function<bool(const Resource&)>& is_such) const {
  const Resource unknown;
  std::unique_lock lock(mutex_);
  const auto found = [&]() -> const Resource& {
    const auto entry = resources_.find(resource);
    return entry == resources_.end() ? unknown : entry->second;
  };
  if (changed_.wait_for(lock, kPatience, [&] { return is_such(found()); })) {
    return absl::OkStatus();
  }
  const Resource& instead = found();
  return absl::DeadlineExceededError(fmt::format(
      "waited {} s for {} to have {}; it has {} registrations, {} lists and {} devices, "
      "and is {}watched; Register was called {} times",
      kPatience.count(), resource, what, instead.registrations, instead.lists,
      instead.devices.size(), instead.watching ? "" : "not ", register_calls_));
}

absl::Status FakeKubelet::WaitForRegistrations(const std::string& resource, int count) const {
  return WaitFor(resource, fmt::format("{} registrations", count),
                 [count](const Resource& r) { return r.registrations >= count; });
}

absl::Status FakeKubelet::WaitForDevices(const std::string& resource, std::size_t count) const {
  return WaitFor(resource, fmt::format("{} devices", count), [count](const Resource& r) {
    return r.watching && r.lists > 0 && r.devices.size() == count;
  });
}

absl::Status FakeKubelet::WaitForRegisterCalls(int count) const {
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, kPatience, [&] { return register_calls_ >= count; })) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(fmt::format("waited {} s for {} Register calls; there were {}",
                                                 kPatience.count(), count, register_calls_));
}

std::shared_ptr<FakeKubelet::Session> FakeKubelet::SessionOf(const std::string& resource) const {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(resource);
  return found == sessions_.end() ? nullptr : found->second;
}

namespace {

const grpc::Status kNotRegistered(grpc::StatusCode::FAILED_PRECONDITION,
                                  "the resource is not registered");

}  // namespace

grpc::Status FakeKubelet::Allocate(const std::string& resource,
                                   const std::vector<std::string>& devices,
                                   v1beta1::ContainerAllocateResponse* response) {
  v1beta1::AllocateRequest request;
  auto& container = *request.add_container_requests();
  for (const std::string& device : devices) container.add_devices_ids(device);
  v1beta1::AllocateResponse answer;
  grpc::Status status = Allocate(resource, request, &answer);
  if (status.ok() && answer.container_responses_size() != 1) {
    return {grpc::StatusCode::INTERNAL, fmt::format("{} container responses to one request",
                                                    answer.container_responses_size())};
  }
  if (status.ok() && response != nullptr) {
    *response = std::move(*answer.mutable_container_responses(0));
  }
  return status;
}

grpc::Status FakeKubelet::Allocate(const std::string& resource,
                                   const v1beta1::AllocateRequest& request,
                                   v1beta1::AllocateResponse* response) {
  const auto session = SessionOf(resource);
  if (!session) return kNotRegistered;
  grpc::ClientContext context;  // no deadline, as the real one
  return session->stub->Allocate(&context, request, response);
}

grpc::Status FakeKubelet::PreStartContainer(const std::string& resource,
                                            const std::vector<std::string>& devices) {
  const auto session = SessionOf(resource);
  if (!session) return kNotRegistered;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  v1beta1::PreStartContainerRequest request;
  for (const std::string& device : devices) request.add_devices_ids(device);
  v1beta1::PreStartContainerResponse response;
  return session->stub->PreStartContainer(&context, request, &response);
}

grpc::Status FakeKubelet::GetPreferredAllocation(const std::string& resource,
                                                 const v1beta1::PreferredAllocationRequest& request,
                                                 v1beta1::PreferredAllocationResponse* response) {
  const auto session = SessionOf(resource);
  if (!session) return kNotRegistered;
  grpc::ClientContext context;
  return session->stub->GetPreferredAllocation(&context, request, response);
}

}  // namespace dp::fakes
