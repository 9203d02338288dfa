// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_admin_server.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>

namespace dp::fakes {

namespace v1 = ::vfio_doorbell::admin::v1;

namespace {

// A stream notices so late that its client has gone.
constexpr std::chrono::milliseconds kLook{50};

}  // namespace

class FakeAdminServer::Service final : public v1::Admin::Service {
 public:
  explicit Service(FakeAdminServer& fake) : fake_(fake) {}
  grpc::Status GetState(grpc::ServerContext* /*context*/, const v1::GetStateRequest* /*request*/,
                        v1::NodeState* response) override {
    std::unique_lock lock(fake_.mutex_);
    ++fake_.state_calls_;
    fake_.changed_.notify_all();
    if (!fake_.WaitForRelease(lock)) return {grpc::StatusCode::UNAVAILABLE, "stopped"};
    *response = fake_.state_;
    return grpc::Status::OK;
  }
  grpc::Status GetMetrics(grpc::ServerContext* /*context*/,
                          const v1::GetMetricsRequest* /*request*/,
                          v1::GetMetricsResponse* response) override {
    std::unique_lock lock(fake_.mutex_);
    if (!fake_.WaitForRelease(lock)) return {grpc::StatusCode::UNAVAILABLE, "stopped"};
    *response = fake_.metrics_;
    return grpc::Status::OK;
  }
  grpc::Status Release(grpc::ServerContext* /*context*/, const v1::ReleaseRequest* request,
                       v1::ReleaseResponse* response) override {
    const std::lock_guard lock(fake_.mutex_);
    fake_.released_.push_back(request->base());
    for (const std::string& device : fake_.released_devices_) response->add_devices(device);
    return fake_.release_;
  }
  grpc::Status WatchState(grpc::ServerContext* context, const v1::WatchStateRequest* /*request*/,
                          grpc::ServerWriter<v1::NodeState>* writer) override {
    return fake_.OnWatch(*context, *writer);
  }

 private:
  FakeAdminServer& fake_;
};

FakeAdminServer::FakeAdminServer(const std::string& path)
    : service_(std::make_unique<Service>(*this)) {
  grpc::ServerBuilder builder;
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  socket_ = std::make_unique<GrpcSocket>(*server_, path);
}

FakeAdminServer::~FakeAdminServer() {
  Stop();
  server_->Shutdown(std::chrono::system_clock::now());
}

void FakeAdminServer::Start() {
  std::error_code error;
  std::filesystem::remove(path(), error);
  socket_->Open();
}

void FakeAdminServer::Stop() {
  socket_->Close();
  const std::lock_guard lock(mutex_);
  ++lives_;
  changed_.notify_all();
}

bool FakeAdminServer::WaitForRelease(std::unique_lock<std::mutex>& lock) {
  const int life = lives_;
  changed_.wait(lock, [&] { return !holding_ || lives_ != life; });
  return lives_ == life;
}

grpc::Status FakeAdminServer::OnWatch(const grpc::ServerContext& context,
                                      grpc::ServerWriter<v1::NodeState>& writer) {
  std::unique_lock lock(mutex_);
  const int life = lives_;
  ++watchers_;
  changed_.notify_all();
  int seen = -1;
  while (lives_ == life && !context.IsCancelled()) {
    if (holding_ || seen == states_) {
      changed_.wait_for(lock, kLook);
      continue;
    }
    seen = states_;
    const v1::NodeState state = state_;
    lock.unlock();
    const bool written = writer.Write(state);
    lock.lock();
    if (!written) break;
  }
  --watchers_;
  changed_.notify_all();
  return grpc::Status::OK;
}

void FakeAdminServer::SetState(v1::NodeState state) {
  const std::lock_guard lock(mutex_);
  state_ = std::move(state);
  ++states_;
  changed_.notify_all();
}

void FakeAdminServer::SetMetrics(v1::GetMetricsResponse metrics) {
  const std::lock_guard lock(mutex_);
  metrics_ = std::move(metrics);
}

void FakeAdminServer::SetRelease(grpc::Status status, std::vector<std::string> devices) {
  const std::lock_guard lock(mutex_);
  release_ = std::move(status);
  released_devices_ = std::move(devices);
}

std::vector<std::uint64_t> FakeAdminServer::released() const {
  const std::lock_guard lock(mutex_);
  return released_;
}

void FakeAdminServer::Hold() {
  const std::lock_guard lock(mutex_);
  holding_ = true;
}

void FakeAdminServer::Release() {
  const std::lock_guard lock(mutex_);
  holding_ = false;
  changed_.notify_all();
}

int FakeAdminServer::state_calls() const {
  const std::lock_guard lock(mutex_);
  return state_calls_;
}

int FakeAdminServer::watchers() const {
  const std::lock_guard lock(mutex_);
  return watchers_;
}

absl::Status FakeAdminServer::WaitForWatchers(int count) const {
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, kPatience, [&] { return watchers_ == count; })) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(fmt::format("waited {} s for {} watchers; there were {}",
                                                 kPatience.count(), count, watchers_));
}

}  // namespace dp::fakes
