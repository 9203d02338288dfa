// SPDX-License-Identifier: Apache-2.0
#include "plugin/server/device_plugin_server.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel_posix.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "api/kubelet/pluginregistration/v1/api.grpc.pb.h"
#include "api/kubelet/v1beta1/api.grpc.pb.h"
#include "plugin/os/unix_connect.h"
#include "plugin/os/unix_listener.h"
#include "tests/fakes/fake_driver_store.h"
#include "tests/fakes/fake_ledger_store.h"
#include "tests/fakes/fake_msi_window_knob.h"
#include "tests/fakes/fake_pci_drivers.h"
#include "tests/fakes/fake_pod_lister.h"
#include "tests/fakes/fake_settings_store.h"
#include "tests/fakes/fake_timers.h"
#include "tests/fakes/loop_thread.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::server {
namespace {

using ::dp::fakes::GroupOf;
using ::dp::fakes::NvmeFunction;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::chrono::seconds kPatience{10};

// A kubelet's view of a server behind a real socket: two devices, of which the second is unhealthy.
class DevicePluginServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    core::Function function = NvmeFunction("0000:01:00.0");
    function.numa_node = 1;
    host_.AddGroup(GroupOf(1, {function}));
    host_.AddGroup(
        GroupOf(2, {NvmeFunction("0000:02:00.0"), NvmeFunction("0000:02:00.1", "nvme")}));
    core::Selector selector;
    selector.vendor = 0x1b36;
    core::Config config;
    config.resources.push_back({.name = "vendor.example/nvme", .selectors = {selector}, .line = 1});
    thread_.Do([&] { Start(std::move(config)); });
    auto connection = os::ConnectUnix(folder_.path() + "/s");
    ASSERT_TRUE(connection.ok()) << connection.status();
    stub_ = v1beta1::DevicePlugin::NewStub(
        grpc::CreateInsecureChannelFromFd("plugin", connection->Release()));
  }

  void Start(core::Config config) {
    auto broker =
        core::DeviceBroker::Create(std::move(config), {.scanner = host_,
                                                       .knob = knob_,
                                                       .settings = store_,
                                                       .ledger = ledger_,
                                                       .pods = pods_,
                                                       .timers = timers_,
                                                       .drivers = drivers_,
                                                       .driver_store = driver_store_,
                                                       .aside = {},
                                                       .has_node = [](const auto&) { return true; },
                                                       .page_size = 4096,
                                                       .boot_id = "this-boot",
                                                       .patience = {},
                                                       .leave = {}});
    broker_ = std::move(broker).value();
    ASSERT_TRUE(broker_->Open().ok());
    auto server = DevicePluginServer::Create(
        thread_.loop(), *broker_, 0,
        {.list_sent = [] {},
         .answered = [](auto, const auto&, auto) {},
         .watched = [this](bool watched) { watched_.push_back(watched); },
         .announced = [this](const absl::Status& status) { announced_.set_value(status); }});
    server_ = std::move(server).value();
    broker_->NotifyChanges([this](std::size_t) { server_->SendList(); });
    listener_ = os::UnixListener::Create(
                    thread_.loop(), folder_.path() + "/s", 0600,
                    [this](base::UniqueFd connection) { server_->Serve(std::move(connection)); })
                    .value();
  }

  void TearDown() override {
    server_->Shutdown();
    thread_.Do([this] { listener_.reset(); });
    thread_.Stop();
  }

  grpc::Status Allocate(const std::vector<std::string>& devices,
                        v1beta1::ContainerAllocateResponse* response = nullptr) {
    v1beta1::AllocateRequest request;
    auto& container = *request.add_container_requests();
    for (const std::string& device : devices) container.add_devices_ids(device);
    v1beta1::AllocateResponse answer;
    grpc::Status status = Call(request, &answer);
    if (status.ok() && response != nullptr) *response = answer.container_responses(0);
    return status;
  }
  grpc::Status Call(const v1beta1::AllocateRequest& request, v1beta1::AllocateResponse* answer) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    return stub_->Allocate(&context, request, answer);
  }
  grpc::Status PreStart(const std::vector<std::string>& devices) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1beta1::PreStartContainerRequest request;
    for (const std::string& device : devices) request.add_devices_ids(device);
    v1beta1::PreStartContainerResponse response;
    return stub_->PreStartContainer(&context, request, &response);
  }
  grpc::Status Prefer(const std::vector<std::string>& available, int size,
                      v1beta1::PreferredAllocationResponse* response = nullptr) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1beta1::PreferredAllocationRequest request;
    auto& container = *request.add_container_requests();
    for (const std::string& device : available) container.add_available_deviceids(device);
    container.set_allocation_size(size);
    v1beta1::PreferredAllocationResponse ignored;
    return stub_->GetPreferredAllocation(&context, request,
                                         response == nullptr ? &ignored : response);
  }

  fakes::TemporaryFolder folder_;
  fakes::FakeHost host_;
  fakes::FakeMsiWindowKnob knob_{host_};
  fakes::FakeSettingsStore store_;
  fakes::FakeLedgerStore ledger_;
  fakes::FakePodLister pods_;
  fakes::FakeTimers timers_;
  fakes::FakePciDrivers drivers_{host_};
  fakes::FakeDriverStore driver_store_;
  std::vector<bool> watched_;
  std::promise<absl::Status> announced_;
  fakes::LoopThread thread_;
  std::unique_ptr<core::DeviceBroker> broker_;
  std::unique_ptr<DevicePluginServer> server_;
  std::unique_ptr<os::UnixListener> listener_;
  std::unique_ptr<v1beta1::DevicePlugin::Stub> stub_;
};

// An open ListAndWatch call.
class Watch {
 public:
  explicit Watch(v1beta1::DevicePlugin::Stub& stub) {
    context_.set_deadline(std::chrono::system_clock::now() + kPatience);
    reader_ = stub.ListAndWatch(&context_, {});
  }
  // "ID=Health@node", or nothing after the end of the stream.
  std::vector<std::string> Next() {
    v1beta1::ListAndWatchResponse list;
    std::vector<std::string> devices;
    if (!reader_->Read(&list)) return devices;
    for (const auto& device : list.devices()) {
      std::string text = device.id() + "=" + device.health();
      for (const auto& node : device.topology().nodes()) text += "@" + std::to_string(node.id());
      devices.push_back(std::move(text));
    }
    return devices;
  }
  void Cancel() { context_.TryCancel(); }
  grpc::Status Finish() { return reader_->Finish(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1beta1::ListAndWatchResponse>> reader_;
};

TEST_F(DevicePluginServerTest, TellsThePluginWatcherWhatItIs) {
  auto connection = os::ConnectUnix(folder_.path() + "/s");
  ASSERT_TRUE(connection.ok()) << connection.status();
  const auto stub = pluginregistration::Registration::NewStub(
      grpc::CreateInsecureChannelFromFd("plugin", connection->Release()));
  grpc::ClientContext context;
  pluginregistration::PluginInfo info;
  ASSERT_TRUE(stub->GetInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.type(), "DevicePlugin");
  EXPECT_EQ(info.name(), "vendor.example/nvme");
  EXPECT_EQ(info.endpoint(), "") << "the kubelet may know the socket by another path";
  EXPECT_THAT(info.supported_versions(), ElementsAre("v1beta1"));
}

TEST_F(DevicePluginServerTest, PassesOnWhatThePluginWatcherSays) {
  auto connection = os::ConnectUnix(folder_.path() + "/s");
  ASSERT_TRUE(connection.ok()) << connection.status();
  const auto stub = pluginregistration::Registration::NewStub(
      grpc::CreateInsecureChannelFromFd("plugin", connection->Release()));
  for (const bool registered : {true, false}) {
    announced_ = {};
    grpc::ClientContext context;
    pluginregistration::RegistrationStatus status;
    status.set_plugin_registered(registered);
    status.set_error(registered ? "" : "not today");
    pluginregistration::RegistrationStatusResponse response;
    ASSERT_TRUE(stub->NotifyRegistrationStatus(&context, status, &response).ok());
    std::future<absl::Status> announced = announced_.get_future();
    ASSERT_EQ(announced.wait_for(kPatience), std::future_status::ready)
        << "waited 10 s for what the kubelet has said";
    EXPECT_EQ(announced.get(), registered ? absl::OkStatus() : absl::UnknownError("not today"));
  }
}

TEST_F(DevicePluginServerTest, SaysWhatItCan) {
  grpc::ClientContext context;
  v1beta1::DevicePluginOptions options;
  ASSERT_TRUE(stub_->GetDevicePluginOptions(&context, {}, &options).ok());
  EXPECT_TRUE(options.pre_start_required());
  EXPECT_TRUE(options.get_preferred_allocation_available());
}

TEST_F(DevicePluginServerTest, ListsEverythingAtOnceAndThenEachChange) {
  Watch watch(*stub_);
  EXPECT_THAT(watch.Next(), ElementsAre("0000:01:00.0=Healthy@1", "0000:02:00.0=Unhealthy"));
  thread_.Do([this] {
    broker_->Rescan();  // no change, no list
    host_.Find(2)->functions[1].driver = "vfio-pci";
    broker_->Rescan();
    timers_.Advance(core::RecoveryDelay::kSettled);
  });
  EXPECT_THAT(watch.Next(), ElementsAre("0000:01:00.0=Healthy@1", "0000:02:00.0=Healthy"));
  thread_.Do([this] {
    host_.RemoveGroup(1);
    broker_->Rescan();
  });
  EXPECT_THAT(watch.Next(), ElementsAre("0000:02:00.0=Healthy"));
}

TEST_F(DevicePluginServerTest, TellsAllWatchersAndNoticesWhenTheLastHasGone) {
  Watch first(*stub_);
  EXPECT_EQ(first.Next().size(), 2U);
  auto second = std::make_unique<Watch>(*stub_);
  EXPECT_EQ(second->Next().size(), 2U);
  thread_.Do([this] {
    host_.RemoveGroup(1);
    broker_->Rescan();
  });
  EXPECT_EQ(first.Next().size(), 1U);
  EXPECT_EQ(second->Next().size(), 1U);
  second->Cancel();
  EXPECT_EQ(second->Finish().error_code(), grpc::StatusCode::CANCELLED);
  first.Cancel();
  EXPECT_EQ(first.Finish().error_code(), grpc::StatusCode::CANCELLED);
  // The client knows before the server does; when the server has ended all calls it knows too.
  server_->Shutdown();
  thread_.Do([this] { EXPECT_THAT(watched_, ElementsAre(true, false)); });
}

TEST_F(DevicePluginServerTest, EndsStreamsCleanly) {
  Watch watch(*stub_);
  EXPECT_EQ(watch.Next().size(), 2U);
  std::promise<void> ended;
  thread_.Do([&] { server_->EndStreams([&] { ended.set_value(); }); });
  EXPECT_TRUE(watch.Next().empty());
  EXPECT_TRUE(watch.Finish().ok());
  EXPECT_EQ(ended.get_future().wait_for(kPatience), std::future_status::ready);
}

TEST_F(DevicePluginServerTest, AnswersAllocate) {
  v1beta1::ContainerAllocateResponse response;
  ASSERT_TRUE(Allocate({"0000:01:00.0"}, &response).ok());
  EXPECT_EQ(response.envs().size(), 3U);
  EXPECT_EQ(response.envs().at("PCI_RESOURCE_VENDOR_EXAMPLE_NVME"), "0000:01:00.0");
  EXPECT_EQ(response.envs().at("VFIO_DOORBELL_MODE_VENDOR_EXAMPLE_NVME"), "enforce");
  ASSERT_EQ(response.devices_size(), 2);
  for (const auto& node : response.devices()) {
    EXPECT_EQ(node.host_path(), node.container_path());
    EXPECT_EQ(node.permissions(), "mrw");
  }
  EXPECT_EQ(response.devices(1).host_path(), "/dev/vfio/1");
  ASSERT_EQ(response.mounts_size(), 1);
  EXPECT_EQ(response.mounts(0).host_path(), "/state/0000:01:00.0");
  EXPECT_TRUE(response.mounts(0).read_only());
  EXPECT_TRUE(PreStart({"0000:01:00.0"}).ok());
}

TEST_F(DevicePluginServerTest, RefusesWhatIsNotOneContainer) {
  v1beta1::AllocateRequest request;
  v1beta1::AllocateResponse answer;
  EXPECT_EQ(Call(request, &answer).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.add_container_requests()->add_devices_ids("0000:01:00.0");
  request.add_container_requests()->add_devices_ids("0000:01:00.0");
  const grpc::Status status = Call(request, &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("one container request in a call"));
  EXPECT_THAT(status.error_message(), HasSubstr("got 2"));
  thread_.Do([this] { EXPECT_TRUE(knob_.writes.empty()); });
}

TEST_F(DevicePluginServerTest, RefusesBadDevices) {
  EXPECT_EQ(Allocate({}).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Allocate({"0000:01:00.0", "0000:01:00.0"}).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Allocate({"0000:09:00.0"}).error_code(), grpc::StatusCode::NOT_FOUND);
  const grpc::Status unhealthy = Allocate({"0000:02:00.0"});
  EXPECT_EQ(unhealthy.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(unhealthy.error_message(), HasSubstr("0000:02:00.1"));
  EXPECT_EQ(PreStart({"0000:02:00.0"}).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  thread_.Do([this] { EXPECT_TRUE(knob_.writes.empty()); });
}

TEST_F(DevicePluginServerTest, TellsTheKernelsRefusalsApart) {
  const std::map<absl::StatusCode, grpc::StatusCode> codes = {
      {absl::StatusCode::kPermissionDenied, grpc::StatusCode::PERMISSION_DENIED},
      {absl::StatusCode::kOutOfRange, grpc::StatusCode::OUT_OF_RANGE},
      {absl::StatusCode::kAlreadyExists, grpc::StatusCode::FAILED_PRECONDITION},
      {absl::StatusCode::kUnimplemented, grpc::StatusCode::FAILED_PRECONDITION},
  };
  for (const auto& [kernel, kubelet] : codes) {
    thread_.Do([&, code = kernel] { knob_.errors[1] = absl::Status(code, "so says the kernel"); });
    const grpc::Status status = Allocate({"0000:01:00.0"});
    EXPECT_EQ(status.error_code(), kubelet);
    EXPECT_EQ(status.error_message(), "no window was set for 0000:01:00.0: so says the kernel");
  }
}

TEST_F(DevicePluginServerTest, AnswersOthersWhileAnAllocationWaits) {
  thread_.Do([this] { knob_.busy = {1}; });
  auto waiting = std::async(std::launch::async, [this] { return Allocate({"0000:01:00.0"}); });
  // It waits once it has set a timer.
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  bool waits = false;
  while (!waits && std::chrono::steady_clock::now() < deadline) {
    thread_.Do([&] { waits = !timers_.idle(); });
  }
  ASSERT_TRUE(waits) << "waited 10 s for the allocation to find its group busy";
  EXPECT_EQ(Prefer({"0000:02:00.0"}, 1).error_code(), grpc::StatusCode::OK);
  thread_.Do([this] { timers_.Advance(kPatience); });
  const grpc::Status status = waiting.get();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("in use by a VMM"));
}

TEST_F(DevicePluginServerTest, PrefersDevices) {
  v1beta1::PreferredAllocationResponse response;
  ASSERT_TRUE(Prefer({"0000:02:00.0", "0000:01:00.0"}, 1, &response).ok());
  ASSERT_EQ(response.container_responses_size(), 1);
  EXPECT_THAT(response.container_responses(0).deviceids(), ElementsAre("0000:01:00.0"));
  EXPECT_EQ(Prefer({"0000:02:00.0", "0000:01:00.0"}, 3).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace dp::server
