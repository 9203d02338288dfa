// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/guest_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "plugin/os/file.h"

namespace dp::ctl {
namespace {

using ::testing::HasSubstr;

std::string MessageOf(std::string_view text) {
  const auto guest = ReadGuest(text, "vm.yaml");
  EXPECT_EQ(guest.status().code(), absl::StatusCode::kInvalidArgument) << guest.status();
  return std::string(guest.status().message());
}

const char* const kDomain = R"(<domain type='kvm'>
<name>vm-a</name>
<memory unit='GiB'>2</memory>
<os><type arch='aarch64' machine='virt-10.1'>hvm</type></os>
</domain>
)";

TEST(ReadGuestTest, ReadsEveryExample) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("manifests/examples")) {
    if (!entry.path().filename().string().starts_with("vm-")) continue;
    ++count;
    const auto text = os::ReadFile(entry.path().string(), kMostDocumentBytes);
    ASSERT_TRUE(text.ok());
    const auto guest = ReadGuest(*text, entry.path().string());
    ASSERT_TRUE(guest.ok()) << guest.status();
    EXPECT_FALSE(guest->map.empty());
  }
  EXPECT_GE(count, 4);
}

TEST(ReadGuestTest, ReadsYaml) {
  const auto guest = ReadGuest(
      "kind: VirtualMachineInstance\n"
      "metadata: {name: a, namespace: default}\n"
      "spec: {domain: {memory: {guest: 1e9, maxGuest: \"4Gi\"}}}\n",
      "vm.yaml");
  ASSERT_TRUE(guest.ok()) << guest.status();
  EXPECT_EQ(guest->name, "VM default/a");
  EXPECT_EQ(guest->map,
            guest::MemoryMap({.ram = 954 * guest::kMib, .max_ram = 4 * guest::kGib}).value());
}

TEST(ReadGuestTest, ReadsJson) {
  const auto guest = ReadGuest(
      R"({"kind":"VirtualMachine","metadata":{"name":"a"},
	"spec":{"template":{"spec":{"domain":{"memory":{"guest":1073741824}}}}}})",
      "vm.json");
  ASSERT_TRUE(guest.ok()) << guest.status();
  EXPECT_EQ(guest->name, "VM a");
  EXPECT_EQ(guest->map, guest::MemoryMap({.ram = guest::kGib}).value());
}

TEST(ReadGuestTest, ReadsADomain) {
  const auto guest = ReadGuest(kDomain, "domain.xml");
  ASSERT_TRUE(guest.ok()) << guest.status();
  EXPECT_EQ(guest->name, "domain vm-a");
  EXPECT_EQ(guest->map, guest::MemoryMap({.ram = 2 * guest::kGib}).value());
}

TEST(ReadGuestTest, NamesFileAndLineOfWhatIsWrong) {
  EXPECT_EQ(MessageOf("kind: VirtualMachineInstance\nspec:\n  domain:\n    memory:\n      guest: "
                      "much\n"),
            "vm.yaml: line 5: /spec/domain/memory/guest: \"much\" is no quantity of bytes "
            "such as 2Gi or 1500M");
  EXPECT_EQ(MessageOf("kind: VirtualMachineInstance\nspec:\n  domain: {}\n"),
            "vm.yaml: line 3: /spec/domain/memory/guest: is missing, and no memory is requested or "
            "limited");
  EXPECT_EQ(MessageOf("\nkind: Pod\n"),
            "vm.yaml: line 2: /kind: is neither VirtualMachineInstance nor VirtualMachine");
  EXPECT_EQ(MessageOf("a: b\nc: [\n"),
            "vm.yaml: line 3: is not YAML: end of sequence flow not found");
  EXPECT_EQ(MessageOf("a: &b c\n"), "vm.yaml: line 1: a: has an anchor, which is not supported");
  EXPECT_THAT(MessageOf("<domain>\n<memory>much</memory>\n</domain>"),
              HasSubstr("vm.yaml: line 2: <memory> has a size \"much\""));
  EXPECT_EQ(MessageOf(" \n"), "vm.yaml: it is empty");
  EXPECT_THAT(MessageOf(std::string(kMostDocumentBytes + 1, 'a')), HasSubstr("more than 4194304"));
  EXPECT_EQ(MessageOf("\"a\\nb\": &x y\n"),
            "vm.yaml: line 1: a?b: has an anchor, which is not "
            "supported");
}

TEST(ReadGuestTest, RefusesOtherProcessors) {
  EXPECT_THAT(MessageOf("{spec: {architecture: amd64, domain: {memory: {guest: 1Gi}}}}"),
              HasSubstr("its architecture is amd64"));
  EXPECT_THAT(MessageOf("<domain><memory>1</memory><os><type arch='x86_64' machine='q35'/></os>"
                        "</domain>"),
              HasSubstr("it is for a machine \"q35\" for \"x86_64\""));
}

TEST(ReadGuestTest, SaysWhenQemuDoesNotStartIt) {
  const auto guest = ReadGuest("{spec: {domain: {memory: {guest: 1024Ti}}}}", "vm.yaml");
  EXPECT_EQ(guest.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(guest.status().message()), HasSubstr("QEMU does not start this guest"));
}

TEST(ReadGuestTest, KeepsWhatCannotBeTold) {
  const auto guest = ReadGuest(R"(<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<memory unit='GiB'>2</memory>
<os><type arch='aarch64' machine='virt'>hvm</type></os>
<iommu model='smmuv3'/>
<qemu:commandline><qemu:arg value='-m'/></qemu:commandline>
</domain>)",
                               "domain.xml");
  ASSERT_TRUE(guest.ok()) << guest.status();
  EXPECT_THAT(guest->unknown_end, HasSubstr("line 5"));
}

}  // namespace
}  // namespace dp::ctl
