// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/kubevirt/hooks/info/api.grpc.pb.h"
#include "api/kubevirt/hooks/plugins/v1alpha1/api.grpc.pb.h"
#include "api/kubevirt/hooks/v1alpha1/api.grpc.pb.h"
#include "api/kubevirt/hooks/v1alpha2/api.grpc.pb.h"
#include "api/kubevirt/hooks/v1alpha3/api.grpc.pb.h"
#include "tests/fakes/sysfs_tree.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/integration/daemon.h"

// The checker as virt-launcher sees it: the real binary, its socket, the calls of each version.

namespace dp::integration {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace hooks = kubevirt::hooks;

struct Answer {
  grpc::Status status;
  std::string xml;
};

class CheckerTest : public ::testing::Test {
 protected:
  void Start() {
    checker_ = Run({"--socket", socket()});
    ASSERT_TRUE(checker_->WaitForLog("listening")) << checker_->log();
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel("unix:" + socket(), grpc::InsecureChannelCredentials(),
                                         arguments);
  }

  std::unique_ptr<Daemon> Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--sysfs-root", sysfs_.path()});
    return std::make_unique<Daemon>(std::move(arguments), root_.path(), std::vector<std::string>(),
                                    DP_CHECKER);
  }

  // A function alone in its group, on a kernel with the knob.
  void AddDevice(const std::string& address, std::uint32_t group, const std::string& window,
                 std::uint16_t vendor = 0x1b36, std::uint16_t device = 0x10) {
    sysfs_.AddPciFunction({.address = address, .group = group, .vendor = vendor, .device = device});
    sysfs_.SetMsiWindow(group, window);
  }

  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + Daemon::kPatience);
  }

  template <typename Callbacks, typename Params, typename Result>
  Answer Define(const std::string& xml) const {
    grpc::ClientContext context;
    SetDeadline(context);
    Params params;
    params.set_domainxml(xml);
    params.set_vmi(R"({"metadata": {"name": "vm-a"}})");
    Result result;
    const grpc::Status status =
        Callbacks::NewStub(channel_)->OnDefineDomain(&context, params, &result);
    return {status, result.domainxml()};
  }

  [[nodiscard]] Answer Mutate(const std::string& xml, const std::string& type = "libvirt") const {
    grpc::ClientContext context;
    SetDeadline(context);
    hooks::plugins::v1alpha1::MutateDomainRequest request;
    request.set_domain_type(type);
    request.set_domain(xml);
    request.mutable_sidecar_context()->set_invocation_context("Boot");
    hooks::plugins::v1alpha1::MutateDomainResponse response;
    const grpc::Status status =
        hooks::plugins::v1alpha1::DomainHookService::NewStub(channel_)->MutateDomain(
            &context, request, &response);
    return {status, response.domain()};
  }

  // By each way in which KubeVirt may ask.
  [[nodiscard]] std::vector<Answer> AskAll(const std::string& xml) const {
    return {Define<hooks::v1alpha1::Callbacks, hooks::v1alpha1::OnDefineDomainParams,
                   hooks::v1alpha1::OnDefineDomainResult>(xml),
            Define<hooks::v1alpha2::Callbacks, hooks::v1alpha2::OnDefineDomainParams,
                   hooks::v1alpha2::OnDefineDomainResult>(xml),
            Define<hooks::v1alpha3::Callbacks, hooks::v1alpha3::OnDefineDomainParams,
                   hooks::v1alpha3::OnDefineDomainResult>(xml),
            Mutate(xml)};
  }

  void ExpectTheSame(const std::string& xml) const {
    for (const Answer& answer : AskAll(xml)) {
      EXPECT_TRUE(answer.status.ok()) << answer.status.error_message() << "\n" << xml;
      EXPECT_TRUE(answer.xml == xml) << xml;
    }
  }

  void ExpectError(const std::string& xml, grpc::StatusCode code, const std::string& part) const {
    for (const Answer& answer : AskAll(xml)) {
      EXPECT_EQ(answer.status.error_code(), code) << answer.status.error_message();
      EXPECT_THAT(answer.status.error_message(), HasSubstr(part));
      EXPECT_EQ(answer.xml, "");
    }
  }

  [[nodiscard]] std::string socket() const { return path("c.sock"); }
  [[nodiscard]] std::string path(const std::string& name) const {
    return root_.path() + "/" + name;
  }

  fakes::TemporaryFolder root_;
  fakes::SysfsTree sysfs_;
  std::unique_ptr<Daemon> checker_;
  std::shared_ptr<grpc::Channel> channel_;
};

// As KubeVirt makes it: without a `mode`.
std::string DomainWith(std::string_view devices, std::string_view memory = "4294967296") {
  return fmt::format(
      "<domain type=\"kvm\" xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\">\n"
      "\t<name>default_vm-a</name>\n\t<memory unit=\"b\">{}</memory>\n"
      "\t<os>\n\t\t<type arch=\"aarch64\" machine=\"virt\">hvm</type>\n\t</os>\n"
      "\t<devices>{}</devices>\n</domain>",
      memory, devices);
}

std::string HostDevice(int bus) {
  return fmt::format(
      "\n\t\t<hostdev type=\"pci\" managed=\"no\">\n\t\t\t<source>\n\t\t\t\t<address type=\"pci\" "
      "domain=\"0x0000\" bus=\"{:#04x}\" slot=\"0x00\" function=\"0x0\"></address>\n"
      "\t\t\t</source>\n\t\t\t<alias name=\"ua-hostdevice-a\"></alias>\n\t\t</hostdev>",
      bus);
}

std::string Replaced(std::string text, const std::string& old, const std::string& with) {
  for (auto at = text.find(old); at != std::string::npos; at = text.find(old, at + with.size()))
    text.replace(at, old.size(), with);
  return text;
}

TEST_F(CheckerTest, SaysWhatItWantsToBeCalledFor) {
  Start();
  grpc::ClientContext context;
  SetDeadline(context);
  hooks::info::InfoResult result;
  const grpc::Status status =
      hooks::info::Info::NewStub(channel_)->Info(&context, hooks::info::InfoParams(), &result);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(result.name(), "vfio-doorbell");
  ASSERT_EQ(result.hookpoints_size(), 1);
  EXPECT_EQ(result.hookpoints(0).name(), "OnDefineDomain");
  EXPECT_THAT(result.versions(), ElementsAre("v1alpha1", "v1alpha2", "v1alpha3"));
}

TEST_F(CheckerTest, GivesBackEachDomainByteForByte) {
  AddDevice("0000:01:00.0", 11, "0x09100000 0x00100000");
  Start();
  const std::string plain = DomainWith(HostDevice(1));
  ExpectTheSame(plain);
  ExpectTheSame(Replaced(plain, "\n", "\r\n"));
  ExpectTheSame(Replaced(plain, "\n", ""));
  ExpectTheSame(Replaced(plain, "\"", "'") + "\n\n \t\r\n");
  ExpectTheSame("\xef\xbb\xbf<?xml version=\"1.0\" encoding='UTF-8'?>\n<!-- a -->\n" + plain);
  ExpectTheSame(
      Replaced(plain, "<devices>", "<!-- <memory>1</memory> --><?what ever?><devices   \n >"));
  ExpectTheSame(Replaced(plain, "default_vm-a", "\xc3\xa4&amp;&#x1F600;<![CDATA[<a>]]>"));
  ExpectTheSame(Replaced(plain, "<hostdev ", "<hostdev mode='subsystem' "));
  ExpectTheSame(Replaced(plain, "</devices>", "</devices><strange xmlns='urn:x' a = 'b'/>"));
  // Nothing of ours in it: another machine, or none.
  ExpectTheSame("<domain><memory>1</memory><os><type machine='q35'/></os></domain>");
  ExpectTheSame(Replaced(DomainWith(""), "virt", "sbsa-ref"));
}

TEST_F(CheckerTest, RefusesAWindowInMemory) {
  AddDevice("0000:01:00.0", 11, "0xa0000000 0x00100000");
  Start();
  ExpectError(DomainWith(HostDevice(1)), grpc::StatusCode::FAILED_PRECONDITION,
              "device 0000:01:00.0: the window [0xa0000000, 0xa0100000) meets RAM of the guest, "
              "[0x40000000, 0x140000000)");
  EXPECT_TRUE(checker_->WaitForLog("domain refused domain=default_vm-a")) << checker_->log();
  // The same window beside a smaller guest.
  ExpectTheSame(DomainWith(HostDevice(1), "1073741824"));
}

TEST_F(CheckerTest, ReadsTheWindowThatIsInForceNow) {
  // A kernel without the knob: the window is among the reserved regions.
  sysfs_.AddPciFunction({.address = "0000:01:00.0", .group = 11});
  Start();
  const std::string xml = DomainWith(HostDevice(1));
  ExpectTheSame(xml);
  sysfs_.SetMsiWindow(11, "0x40000000 0x00100000");
  ExpectError(xml, grpc::StatusCode::FAILED_PRECONDITION, "meets RAM of the guest");
  sysfs_.SetMsiWindow(11, "0x0ff00000 0x00100000");
  ExpectTheSame(xml);
}

TEST_F(CheckerTest, LogsWhatDoesNotHinderADomain) {
  AddDevice("0000:01:00.0", 11, "0x10000000 0x00100000");
  Start();
  ExpectTheSame(DomainWith(HostDevice(1)));
  EXPECT_TRUE(checker_->WaitForLog("meets the 32-bit PCI window of the guest", 4));
}

TEST_F(CheckerTest, RefusesWhatCannotBeProven) {
  AddDevice("0000:01:00.0", 11, "0x09100000 0x00100000");
  Start();
  ExpectError(DomainWith(HostDevice(2)), grpc::StatusCode::FAILED_PRECONDITION,
              "0000:02:00.0 does not exist: this host has no such function");
  ExpectError(Replaced(DomainWith(HostDevice(1)), "virt", "sbsa-ref"),
              grpc::StatusCode::FAILED_PRECONDITION, "only QEMU's virt for aarch64 is known");
}

TEST_F(CheckerTest, AnSmmuAndGraceNeedTheDefaultWindow) {
  AddDevice("0000:01:00.0", 11, "0x09100000 0x00100000");
  AddDevice("0000:02:00.0", 12, "0x09100000 0x00100000", 0x10de, 0x2342);
  AddDevice("0000:03:00.0", 13, "0x08000000 0x00100000", 0x10de, 0x2342);
  Start();
  const std::string smmu = "<iommu model='smmuv3'><driver accel='on'/></iommu>";
  ExpectError(DomainWith(HostDevice(1) + smmu), grpc::StatusCode::FAILED_PRECONDITION,
              "the domain has an SMMUv3 (line 13: <iommu model='smmuv3'>)");
  ExpectError(DomainWith(HostDevice(2)), grpc::StatusCode::FAILED_PRECONDITION,
              "0000:02:00.0 is a Grace GPU");
  ExpectTheSame(DomainWith(HostDevice(3) + smmu));
}

TEST_F(CheckerTest, RefusesWhatIsNoDomain) {
  AddDevice("0000:01:00.0", 11, "0x09100000 0x00100000");
  Start();
  const auto invalid = grpc::StatusCode::INVALID_ARGUMENT;
  const std::string plain = DomainWith(HostDevice(1));
  ExpectError("", invalid, "it is empty");
  ExpectError("<domain/>", invalid, "line 1: <domain> has no <memory>");
  ExpectError(plain.substr(0, plain.size() / 2), invalid, "it is no XML that is well-formed");
  ExpectError(Replaced(plain, "0x01", "0x1ff"), invalid, "<address> has a bus \"0x1ff\"");
  ExpectError(std::string(10 << 20, ' '), invalid, "it has 10485760 bytes, more than 4194304");
  ExpectError(plain + std::string(1, '\0'), invalid, "zero byte");
  const Answer other = Mutate(plain, "cloud-hypervisor");
  EXPECT_EQ(other.status.error_code(), invalid);
  EXPECT_THAT(other.status.error_message(), HasSubstr("\"cloud-hypervisor\""));
  ExpectTheSame(plain);
}

TEST_F(CheckerTest, FetchesAndExpandsNothing) {
  // Whoever opened it would wait for a writer.
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  Start();
  const auto invalid = grpc::StatusCode::INVALID_ARGUMENT;
  const std::string url = "file://" + path("fifo");
  const std::string body = "<domain><name>&a;</name><memory>1</memory></domain>";
  ExpectError("<!DOCTYPE domain SYSTEM '" + url + "'>" + body, invalid, "DOCTYPE");
  ExpectError("<!DOCTYPE domain [<!ENTITY a SYSTEM '" + url + "'>]>" + body, invalid, "DOCTYPE");
  ExpectError("<!DOCTYPE domain [<!ENTITY % p SYSTEM '" + url + "'>%p;]>" + body, invalid,
              "DOCTYPE");
  std::string bomb = "<!DOCTYPE domain [<!ENTITY a0 'aaaaaaaaaa'>";
  for (int i = 1; i < 20; ++i)
    bomb += fmt::format("<!ENTITY a{0} '&a{1};&a{1};&a{1};&a{1};&a{1};&a{1};'>", i, i - 1);
  ExpectError(bomb + "<!ENTITY a '&a19;'>]>" + body, invalid, "DOCTYPE");
  ExpectError(body, invalid, "line 1: it is no XML that is well-formed");
  // An inclusion is an element like any other.
  ExpectTheSame(
      "<domain><memory>1</memory><xi:include xmlns:xi='http://www.w3.org/2001/XInclude' "
      "href='" +
      url + "'/></domain>");
}

TEST_F(CheckerTest, AnswersManyAtATime) {
  constexpr int kThreads = 8;
  constexpr int kCalls = 25;
  for (int bus = 1; bus <= kThreads; ++bus) {
    AddDevice(fmt::format("0000:{:02x}:00.0", bus), static_cast<std::uint32_t>(bus),
              bus % 2 == 0 ? "0x40000000 0x00100000" : "0x09100000 0x00100000");
  }
  Start();
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int bus = 1; bus <= kThreads; ++bus) {
    threads.emplace_back([this, bus] {
      const std::string xml = DomainWith(HostDevice(bus));
      for (int i = 0; i < kCalls; ++i) {
        const Answer answer = Mutate(xml);
        EXPECT_EQ(answer.status.ok(), bus % 2 != 0) << answer.status.error_message();
        EXPECT_TRUE(answer.xml == (bus % 2 == 0 ? "" : xml));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(CheckerTest, WritesNothing) {
  AddDevice("0000:01:00.0", 11, "0x09100000 0x00100000");
  const auto times = [this] {
    std::map<std::string, std::filesystem::file_time_type> all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(sysfs_.path())) {
      if (!entry.is_symlink()) all[entry.path().string()] = entry.last_write_time();
    }
    return all;
  };
  const auto before = times();
  Start();
  ExpectTheSame(DomainWith(HostDevice(1)));
  EXPECT_EQ(times(), before);
}

TEST_F(CheckerTest, EndsWithItsSocket) {
  Start();
  ExpectTheSame("<domain><memory>1</memory></domain>");
  checker_->Signal(SIGTERM);
  EXPECT_EQ(checker_->Wait(), 0) << checker_->log();
  EXPECT_FALSE(std::filesystem::exists(socket()));
}

TEST_F(CheckerTest, TakesThePlaceOfACrashedRun) {
  Start();
  checker_.reset();  // killed
  EXPECT_TRUE(std::filesystem::exists(socket()));
  Start();
  ExpectTheSame("<domain><memory>1</memory></domain>");
}

TEST_F(CheckerTest, NamesWhatKeepsItFromServing) {
  checker_ = Run({"--socket", path("missing/c.sock")});
  EXPECT_EQ(checker_->Wait(), 1);
  EXPECT_THAT(checker_->log(), HasSubstr(path("missing/c.sock")));
  checker_ = Run({"--socket", path(std::string(100, 'x'))});
  EXPECT_EQ(checker_->Wait(), 1);
  EXPECT_THAT(checker_->log(), HasSubstr("107 bytes"));
}

TEST_F(CheckerTest, ChecksAFile) {
  AddDevice("0000:01:00.0", 11, "0x09100000 0x00100000");
  AddDevice("0000:02:00.0", 12, "0xa0000000 0x00100000");
  const auto check = [this](const std::string& xml) {
    std::ofstream(path("domain.xml"), std::ios::binary) << xml;
    checker_ = Run({"--check", path("domain.xml")});
    return checker_->Wait();
  };
  EXPECT_EQ(check(DomainWith(HostDevice(1))), 0);
  EXPECT_EQ(checker_->output(),
            "[0x90a0000, 0x90b0000)           the page of stolen time\n"
            "[0x10000000, 0x3eff0000)         the 32-bit PCI window\n"
            "[0x40000000, 0x140000000)        RAM\n"
            "[0x8000000000, 0x10000000000)    the 64-bit PCI window\n"
            "[0x9100000, 0x9200000)           0000:01:00.0, IOMMU group 11\n"
            "accepted\n");
  EXPECT_EQ(check(DomainWith(HostDevice(2))), 1);
  EXPECT_THAT(checker_->output(), HasSubstr("refused: device 0000:02:00.0: the window"));
  EXPECT_EQ(check("<domain/>"), 2);
  EXPECT_THAT(checker_->log(),
              AllOf(HasSubstr(path("domain.xml")), HasSubstr("line 1: <domain> has no <memory>")));
  checker_ = Run({"--check", path("nothing.xml")});
  EXPECT_EQ(checker_->Wait(), 2);
  EXPECT_THAT(checker_->log(), HasSubstr(path("nothing.xml")));
}

}  // namespace
}  // namespace dp::integration
