// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_pod_resources.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>

namespace dp::fakes {

class FakePodResources::Service final : public v1::PodResourcesLister::Service {
 public:
  explicit Service(FakePodResources& fake) : fake_(fake) {}
  grpc::Status List(grpc::ServerContext* /*context*/,
                    const v1::ListPodResourcesRequest* /*request*/,
                    v1::ListPodResourcesResponse* response) override {
    return fake_.OnList(*response);
  }

 private:
  FakePodResources& fake_;
};

FakePodResources::FakePodResources(const std::string& path)
    : service_(std::make_unique<Service>(*this)) {
  grpc::ServerBuilder builder;
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  socket_ = std::make_unique<GrpcSocket>(*server_, path);
}

FakePodResources::~FakePodResources() {
  Stop();
  Release();
  server_->Shutdown(std::chrono::system_clock::now());
}

void FakePodResources::Start() {
  std::error_code error;
  std::filesystem::remove(path(), error);
  socket_->Open();
}

void FakePodResources::Stop() {
  socket_->Close();
  const std::lock_guard lock(mutex_);
  ++lives_;
  changed_.notify_all();
}

grpc::Status FakePodResources::OnList(v1::ListPodResourcesResponse& response) {
  std::unique_lock lock(mutex_);
  ++calls_;
  changed_.notify_all();
  grpc::Status status = refusal_;
  if (status.ok()) response = pods_;
  changed_.wait(lock, [this, life = lives_] { return !holding_ || lives_ != life; });
  return status;
}

void FakePodResources::SetPods(v1::ListPodResourcesResponse pods) {
  const std::lock_guard lock(mutex_);
  pods_ = std::move(pods);
}

void FakePodResources::SetPods(const std::vector<core::PodDevices>& pods) {
  v1::ListPodResourcesResponse list;
  v1::PodResources* pod = nullptr;
  v1::ContainerResources* container = nullptr;
  for (const core::PodDevices& entry : pods) {
    if (pod == nullptr || pod->namespace_() != entry.pod.space || pod->name() != entry.pod.name) {
      pod = list.add_pod_resources();
      pod->set_namespace_(entry.pod.space);
      pod->set_name(entry.pod.name);
      container = nullptr;
    }
    if (container == nullptr || container->name() != entry.container) {
      container = pod->add_containers();
      container->set_name(entry.container);
    }
    for (const std::string& id : entry.devices) {
      v1::ContainerDevices& device = *container->add_devices();
      device.set_resource_name(entry.resource);
      device.add_device_ids(id);
    }
  }
  SetPods(std::move(list));
}

void FakePodResources::Refuse(grpc::Status status) {
  const std::lock_guard lock(mutex_);
  refusal_ = std::move(status);
}

void FakePodResources::Hold() {
  const std::lock_guard lock(mutex_);
  holding_ = true;
}

void FakePodResources::Release() {
  const std::lock_guard lock(mutex_);
  holding_ = false;
  changed_.notify_all();
}

int FakePodResources::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

absl::Status FakePodResources::WaitForCalls(int count) const {
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, kPatience, [&] { return calls_ >= count; })) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(fmt::format("waited {} s for {} calls of List; there were {}",
                                                 kPatience.count(), count, calls_));
}

}  // namespace dp::fakes
