// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "api/kubevirt/hooks/plugins/v1alpha1/api.grpc.pb.h"
#include "tests/fakes/fake_pod_resources.h"
#include "tests/fakes/grpc_socket.h"
#include "tests/integration/world.h"

// What virt-handler asks, with a client made of the same .proto. tests/kubevirt has KubeVirt's own.

namespace dp::integration {
namespace {

namespace v1alpha1 = ::kubevirt::hooks::plugins::v1alpha1;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kDevice[] = "0000:01:00.0";
constexpr char kOther[] = "0000:02:00.0";

class NodeHookTest : public World {
 protected:
  NodeHookTest() : pods_(path("pods.sock")) {
    AddDevice(kDevice, 11);
    AddDevice(kOther, 12);
    pods_.Start();
    kubelet_.Start();
  }

  void StartDaemon() {
    Start({"--node-hook-socket", path("hook.sock")});
    ASSERT_EQ(kubelet_.WaitForDevices(kResource, 2), absl::OkStatus()) << daemon_->log();
    // Not by address: such a channel has a thread that goes on for up to 10 s after its end.
    hook_ = v1alpha1::NodeHookService::NewStub(
        grpc::CreateInsecureChannelFromFd("hook", fakes::ConnectTo(path("hook.sock")).Release()));
  }
  void StartPod(const std::string& name, const std::string& device) {
    ASSERT_TRUE(kubelet_.Allocate(kResource, {device}, nullptr).ok());
    pods_.SetPods({{.pod = {.space = "default", .name = name},
                    .container = "compute",
                    .resource = kResource,
                    .devices = {device}}});
    const grpc::Status status = kubelet_.PreStartContainer(kResource, {device});
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  static std::string Vmi(const std::string& name, const std::string& memory = "2Gi",
                         const std::string& resource = kResource) {
    return fmt::format(R"({{"metadata": {{"name": "{}", "namespace": "default"}},
      "spec": {{"domain": {{"memory": {{"guest": "{}"}},
        "devices": {{"hostDevices": [{{"name": "a", "deviceName": "{}"}}]}}}}}}}})",
                       name, memory, resource);
  }
  grpc::Status Call(const std::string& hook_point, const std::string& vmi) {
    v1alpha1::ExecuteNodeHookRequest request;
    request.set_hookpoint(hook_point);
    request.set_vmi(vmi);
    request.mutable_node_context()->set_node_name("node-a");
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    v1alpha1::ExecuteNodeHookResponse response;
    return hook_->ExecuteNodeHook(&context, request, &response);
  }

  fakes::FakePodResources pods_;
  std::unique_ptr<v1alpha1::NodeHookService::Stub> hook_;
};

TEST_F(NodeHookTest, LetsAMachineStartAsOftenAsItIsAsked) {
  StartDaemon();
  StartPod("virt-launcher-vm-a-x7k2p", kDevice);
  for (int i = 0; i < 20; ++i) {
    const grpc::Status status = Call("PreVMStart", Vmi("vm-a"));
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_EQ(WindowOf(11), "0x09100000 0x00100000");
  EXPECT_EQ(WindowOf(12), "0x08000000 0x00100000");
  Stop();
  EXPECT_FALSE(std::filesystem::exists(path("hook.sock")));
}

TEST_F(NodeHookTest, RefusesAWindowThatSomebodyHasMoved) {
  StartDaemon();
  StartPod("virt-launcher-vm-a-x7k2p", kDevice);
  sysfs_.SetMsiWindow(11, "0x08000000 0x00100000");
  for (int i = 0; i < 3; ++i) {
    const grpc::Status status = Call("PreVMStart", Vmi("vm-a"));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(status.error_message(),
              "device 0000:01:00.0: the window in force is 0x08000000 0x00100000, and 0x09100000 "
              "0x00100000 is reserved for it: delete the pod virt-launcher-vm-a-x7k2p");
  }
  EXPECT_EQ(WindowOf(11), "0x08000000 0x00100000") << "nothing is written";
  EXPECT_TRUE(daemon_->WaitForLog("VM not let start"));
  const std::string& log = daemon_->log();
  EXPECT_EQ(log.find("VM not let start"), log.rfind("VM not let start")) << "it is said once";
  EXPECT_TRUE(Call("PreVMStart", Vmi("vm-b", "2Gi", "other.example/thing")).ok());
}

TEST_F(NodeHookTest, RefusesAPoolThatMeetsTheMemoryOfAMachineWhosePodIsNotKnown) {
  WriteConfig(R"(
window:
  pool: {start: 0x80000000, end: 0x90000000}
  allowUnproven: true
resources:
  - name: vendor.example/nvme
    selectors:
      - {driver: vfio-pci}
)");
  StartDaemon();
  EXPECT_TRUE(Call("PreVMStart", Vmi("vm-a", "1Gi")).ok());
  const grpc::Status status = Call("PreVMStart", Vmi("vm-a", "1025Mi"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), AllOf(HasSubstr("the pool of windows"), HasSubstr("RAM")));
}

TEST_F(NodeHookTest, RefusesWhatIsNoMachine) {
  StartDaemon();
  for (const auto& [vmi, message] : std::initializer_list<std::pair<std::string, const char*>>{
           {"", "it is no JSON"},
           {"{}", "/kind: is neither"},
           {Vmi("vm-a", "1500 M"), "/spec/domain/memory/guest: "},
           {Vmi("vm-a", "-1"), "/spec/domain/memory/guest: "},
           {std::string(std::size_t{4} << 20, '[').substr(0, 1 << 20), "nested"}}) {
    const grpc::Status status = Call("PreVMStart", vmi);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(),
                AllOf(HasSubstr("the VirtualMachineInstance cannot be read"), HasSubstr(message)));
  }
}

// Of a machine that is deleted, KubeVirt sends but a name.
TEST_F(NodeHookTest, HasNoObjectionToAnyEnd) {
  StartDaemon();
  for (const char* hook_point :
       {"PostVMStart", "PreVMStop", "PostVMStop", "PreMigrationSource", ""}) {
    EXPECT_TRUE(Call(hook_point, R"({"metadata": {"name": "vm-a"}})").ok()) << hook_point;
    EXPECT_TRUE(Call(hook_point, "").ok()) << hook_point;
  }
}

TEST_F(NodeHookTest, LooksAtThePodsWhenAMachineHasStopped) {
  StartDaemon();
  StartPod("virt-launcher-vm-a-x7k2p", kDevice);
  const int calls = pods_.calls();
  ASSERT_TRUE(Call("PostVMStop", Vmi("vm-a")).ok());
  EXPECT_EQ(pods_.WaitForCalls(calls + 1), absl::OkStatus());
}

// The start is refused: whoever turns the hook on would find out only when no VM starts.
TEST_F(NodeHookTest, DoesNotStartWhereItCannotListen) {
  Start({"--node-hook-socket", path("no/such/folder/hook.sock")});
  EXPECT_EQ(daemon_->Wait(), 1);
  EXPECT_THAT(daemon_->log(), HasSubstr(path("no/such/folder/hook.sock")));
}

}  // namespace
}  // namespace dp::integration
