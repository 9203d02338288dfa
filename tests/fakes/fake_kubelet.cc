// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_kubelet.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grpcpp/create_channel_posix.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
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

}  // namespace

// A connection to a plugin.
struct FakeKubelet::Session {
  std::string resource;
  std::string path;
  base::UniqueFd connection;  // a duplicate
  std::unique_ptr<v1beta1::DevicePlugin::Stub> stub;
  grpc::ClientContext watch_context;
  std::thread watcher;
  // Guarded by mutex_.
  bool stopped = false;  // gets no calls
  bool dead = false;     // the kubelet of that time is no more

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

FakeKubelet::FakeKubelet(std::string folder, Release release)
    : folder_(std::move(folder)), release_(release), service_(std::make_unique<Service>(*this)) {
  grpc::ServerBuilder builder;
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  socket_ = std::make_unique<GrpcSocket>(*server_, socket_path());
}

FakeKubelet::~FakeKubelet() {
  Stop();
  server_->Shutdown(std::chrono::system_clock::now());
}

FakeKubelet::Clock::time_point FakeKubelet::Start() {
  WipeSockets();
  {
    const std::lock_guard lock(mutex_);
    serving_ = true;
  }
  const Clock::time_point now = socket_->Open();
  if (!registry_.empty()) {
    watcher_ = std::make_unique<FakePluginWatcher>(
        registry_, release_ != Release::kV134,
        FakePluginWatcher::Handler{
            .connect =
                [this](const std::string& resource, const std::string& path) {
                  {
                    const std::lock_guard lock(mutex_);
                    ++finds_;
                    changed_.notify_all();
                  }
                  return Connect(resource, path);
                },
            .disconnect =
                [this](const std::string& resource, const std::string& path) {
                  const std::lock_guard lock(mutex_);
                  if (FindClient(resource, path)) Disconnect(resource, path);
                }});
  }
  return now;
}

void FakeKubelet::Stop() {
  if (!socket_->open()) return;
  watcher_.reset();
  socket_->Close();
  Sessions ended;
  {
    const std::lock_guard lock(mutex_);
    serving_ = false;
    ended = std::exchange(sessions_, {});
    for (const auto& session : ended) {
      session->dead = true;
      session->Close();
    }
    clients_.clear();
    places_.clear();
    endpoints_.clear();
    for (auto& [name, resource] : resources_) {
      resource.devices.clear();
      resource.watching = false;
      resource.allocatable = 0;
      resource.without_since.reset();
    }
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
  return Connect(request.resource_name(), folder_ + "/" + request.endpoint());
}

grpc::Status FakeKubelet::Connect(const std::string& resource, const std::string& path) {
  {
    const std::lock_guard lock(mutex_);
    if (!refusal_.ok()) return refusal_;
  }
  const auto fail = [&](const std::string& what, const std::string& why) {
    const std::lock_guard lock(mutex_);
    ForgetClient(resource, path);
    return grpc::Status(grpc::StatusCode::UNKNOWN,
                        fmt::format("failed to {} {}: {}", what, path, why));
  };
  base::UniqueFd connection = ConnectTo(path);
  if (!connection.valid()) return fail("dial", std::strerror(errno));
  auto session = std::make_shared<Session>();
  session->resource = resource;
  session->path = path;
  session->connection.Reset(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
  session->stub = v1beta1::DevicePlugin::NewStub(
      grpc::CreateInsecureChannelFromFd("plugin", connection.Release()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDialDeadline);
  v1beta1::DevicePluginOptions options;
  if (grpc::Status status = session->stub->GetDevicePluginOptions(&context, {}, &options);
      !status.ok()) {
    return fail("get the options of", status.error_message());
  }

  const std::lock_guard lock(mutex_);
  if (!serving_) return {grpc::StatusCode::UNAVAILABLE, "the kubelet is stopped"};
  Sessions& clients = clients_[resource];
  if (release_ == Release::kV134) {
    clients = {session};
  } else {
    Sessions& places = places_[resource];
    for (const auto& place : places) {
      if (place->path != path) continue;
      ForgetClient(resource, path);
      return {grpc::StatusCode::UNKNOWN, fmt::format("device plugin already connected: {}", path)};
    }
    clients.push_back(session);
    places.push_back(session);
  }
  endpoints_[resource] = session;
  sessions_.push_back(session);
  Resource& known = resources_[resource];
  known.endpoint = path;
  known.options = options;
  known.watching = true;
  ++known.registrations;
  known.registered_at = Clock::now();
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
    std::size_t healthy = 0;
    for (v1beta1::Device& device : *list.mutable_devices()) {
      if (device.health() == "Healthy") ++healthy;
      std::string id = device.id();
      devices[std::move(id)] = std::move(device);
    }
    const std::lock_guard lock(mutex_);
    if (session.dead) continue;
    Resource& resource = resources_[session.resource];
    resource.devices = std::move(devices);
    resource.listed_at = now;
    ++resource.lists;
    SetAllocatable(resource, healthy);
    changed_.notify_all();
  }
  const grpc::Status status = reader->Finish();
  const std::lock_guard lock(mutex_);
  Resource& resource = resources_[session.resource];
  if (session.dead) {
    resource.watch_status = status;
    return;
  }
  if (const auto current = endpoints_.find(session.resource);
      current != endpoints_.end() && current->second.get() == &session) {
    resource.watching = false;
    resource.watch_status = status;
  }
  // As it is: whoever is found is disconnected, not who has ended.
  if (const auto client = FindClient(session.resource, session.path)) {
    Disconnect(session.resource, client->path);
  }
  changed_.notify_all();
}

std::shared_ptr<FakeKubelet::Session> FakeKubelet::FindClient(const std::string& resource,
                                                              const std::string& path) const {
  const auto clients = clients_.find(resource);
  if (clients == clients_.end()) return nullptr;
  for (const auto& client : clients->second) {
    if (release_ == Release::kV134 || client->path == path) return client;
  }
  return nullptr;
}

void FakeKubelet::ForgetClient(const std::string& resource, const std::string& path) {
  std::erase_if(clients_[resource], [&](const auto& client) {
    return release_ == Release::kV134 || client->path == path;
  });
}

void FakeKubelet::Disconnect(const std::string& resource, const std::string& path) {
  if (const auto client = FindClient(resource, path)) client->Close();
  ForgetClient(resource, path);
  if (release_ == Release::kV134) {
    if (const auto endpoint = endpoints_.find(resource); endpoint != endpoints_.end()) {
      endpoint->second->stopped = true;
      SetAllocatable(resources_[resource], 0);
    }
  } else {
    Sessions& places = places_[resource];
    std::erase_if(places, [&](const auto& place) { return place->path == path; });
    if (places.empty()) {
      endpoints_[resource]->stopped = true;
      SetAllocatable(resources_[resource], 0);
    } else {
      endpoints_[resource] = places.back();
      resources_[resource].endpoint = places.back()->path;
      resources_[resource].watching = true;
    }
  }
  changed_.notify_all();
}

void FakeKubelet::SetAllocatable(Resource& resource, std::size_t count) {
  const Clock::time_point now = Clock::now();
  if (count == 0 && resource.allocatable > 0) resource.without_since = now;
  if (count > 0 && resource.without_since) {
    resource.longest_without =
        std::max(resource.longest_without, now - *std::exchange(resource.without_since, {}));
  }
  resource.allocatable = count;
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

absl::Status FakeKubelet::WaitForAllocatable(const std::string& resource, std::size_t count) const {
  return WaitFor(resource, fmt::format("{} allocatable", count),
                 [count](const Resource& r) { return r.allocatable == count; });
}

absl::Status FakeKubelet::WaitForRegisterCalls(int count) const {
  return WaitForCount("Register calls", register_calls_, count);
}

absl::Status FakeKubelet::WaitForFinds(int count) const {
  return WaitForCount("plugins found", finds_, count);
}

absl::Status FakeKubelet::WaitForCount(std::string_view what, const int& counter, int count) const {
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, kPatience, [&] { return counter >= count; })) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(
      fmt::format("waited {} s for {} {}; there were {}", kPatience.count(), count, what, counter));
}

std::shared_ptr<FakeKubelet::Session> FakeKubelet::SessionOf(const std::string& resource) const {
  const std::lock_guard lock(mutex_);
  const auto found = endpoints_.find(resource);
  return found == endpoints_.end() || found->second->stopped ? nullptr : found->second;
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
