// SPDX-License-Identifier: Apache-2.0
#include "plugin/domain/domain.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dp::domain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint64_t kMib = guest::kMib;
constexpr std::uint64_t kGib = guest::kGib;

std::string WithParts(std::string_view parts) {
  return fmt::format(
      "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n{}\n</domain>",
      parts);
}

std::string WithDevices(std::string_view devices) {
  return WithParts(fmt::format("<memory>1048576</memory><devices>\n{}</devices>", devices));
}

Domain Read(const std::string& xml) {
  const auto domain = ParseDomain(xml);
  EXPECT_TRUE(domain.ok()) << domain.status();
  return domain.value_or(Domain());
}

std::string MessageOf(const std::string& xml) {
  const auto domain = ParseDomain(xml);
  EXPECT_TRUE(absl::IsInvalidArgument(domain.status())) << domain.status();
  return std::string(domain.status().message());
}

std::uint64_t RamOf(std::string_view memory) { return Read(WithParts(memory)).ram; }

// As KubeVirt makes it, shortened.
TEST(DomainTest, ReadsOneOfKubevirt) {
  const Domain domain = Read(R"(<domain type="kvm">
	<name>default_vm-a</name>
	<memory unit="b">4294967296</memory>
	<os>
		<type arch="aarch64" machine="virt">hvm</type>
	</os>
	<devices>
		<controller type="pci" index="0" model="pcie-root"></controller>
		<hostdev type="pci" managed="no">
			<source>
				<address type="pci" domain="0x0000" bus="0x01" slot="0x1f" function="0x7"></address>
			</source>
			<alias name="ua-hostdevice-nvme"></alias>
		</hostdev>
	</devices>
</domain>)");
  EXPECT_EQ(domain.name, "default_vm-a");
  EXPECT_TRUE(domain.is_virt());
  EXPECT_EQ(domain.ram, 4 * kGib);
  EXPECT_EQ(domain.max_ram, 0U);
  EXPECT_THAT(domain.devices,
              ElementsAre(core::PciAddress{.domain = 0, .bus = 1, .slot = 0x1f, .function = 7}));
  EXPECT_EQ(domain.smmu, "");
  EXPECT_THAT(domain.unknown_memory, IsEmpty());
  EXPECT_THAT(domain.unknown_devices, IsEmpty());
  EXPECT_THAT(domain.unknown_pci, IsEmpty());
}

TEST(DomainTest, KnowsAllUnits) {
  const struct {
    const char* unit;
    std::uint64_t bytes;
  } cases[] = {
      {"b", 1},
      {"byte", 1},
      {"bytes", 1},
      {"KB", 1000},
      {"k", 1024},
      {"KiB", 1024},
      {"MB", 1000000},
      {"M", kMib},
      {"MiB", kMib},
      {"GB", 1000000000},
      {"G", kGib},
      {"GiB", kGib},
      {"TB", 1000000000000},
      {"T", 1024 * kGib},
      {"TiB", 1024 * kGib},
      {"gib", kGib},
      {"", 1024},
  };
  for (const auto& [unit, bytes] : cases) {
    // A count that makes whole MiB of each.
    const std::uint64_t count = bytes < kMib ? 64 * kMib : 64;
    const std::uint64_t whole = (count * bytes + kMib - 1) / kMib * kMib;
    EXPECT_EQ(RamOf(fmt::format("<memory unit='{}'>{}</memory>", unit, count)), whole) << unit;
  }
  EXPECT_EQ(RamOf("<memory>1048576</memory>"), kGib);
  EXPECT_EQ(RamOf("<memory unit='P'>1</memory>"), std::uint64_t{1} << 50);
}

TEST(DomainTest, RoundsUpToWholeMebibytes) {
  EXPECT_EQ(RamOf("<memory unit='b'>1500000000</memory>"), 1431 * kMib);
  EXPECT_EQ(RamOf("<memory unit='b'>1</memory>"), kMib);
  EXPECT_EQ(RamOf("<memory unit='KiB'>\n 1025 </memory>"), 2 * kMib);
}

TEST(DomainTest, CellsStandForMemory) {
  EXPECT_EQ(RamOf("<memory unit='G'>8</memory><cpu><numa>"
                  "<cell id='0' cpus='0-1' memory='1' unit='GiB'/>"
                  "<cell id='1' cpus='2-3' memory='2097152'/><cell id='2'/></numa></cpu>"),
            3 * kGib);
  EXPECT_EQ(RamOf("<cpu><numa><cell memory='1'/><cell memory='1'/></numa></cpu>"), 2 * kMib);
  EXPECT_EQ(RamOf("<memory unit='G'>1</memory><cpu><numa/></cpu>"), kGib);
}

TEST(DomainTest, ReadsRoomForMoreMemory) {
  const Domain domain =
      Read(WithParts("<memory unit='G'>1</memory><maxMemory slots='4' unit='G'>2</maxMemory>"));
  EXPECT_EQ(domain.max_ram, 2 * kGib);
  EXPECT_EQ(domain.slots, 4U);
  const guest::Layout layout = LayoutOf(domain);
  EXPECT_EQ(layout.ram, kGib);
  EXPECT_EQ(layout.max_ram, 2 * kGib);
  EXPECT_EQ(layout.slots, 4U);
  EXPECT_EQ(MessageOf(WithParts(
                "<memory unit='G'>2</memory>\n<maxMemory slots='4' unit='G'>1</maxMemory>")),
            "line 3: <maxMemory> is less than the 2147483648 bytes that the guest starts with");
}

TEST(DomainTest, NamesTheMemoryThatIsWrong) {
  EXPECT_EQ(MessageOf(WithParts("")), "line 1: <domain> has no <memory>");
  EXPECT_EQ(MessageOf(WithParts("<memory>0</memory>")), "line 2: <memory> is 0");
  EXPECT_EQ(MessageOf(WithParts("<memory>-1</memory>")),
            "line 2: <memory> has a size \"-1\", which is no whole number");
  EXPECT_EQ(MessageOf(WithParts("<memory/>")),
            "line 2: <memory> has a size \"\", which is no whole number");
  EXPECT_EQ(MessageOf(WithParts("<memory unit='furlong'>1</memory>")),
            "line 2: <memory> has no unit \"furlong\"");
  EXPECT_EQ(MessageOf(WithParts("<memory unit='kb2'>1</memory>")),
            "line 2: <memory> has no unit \"kb2\"");
  EXPECT_THAT(MessageOf(WithParts("<memory unit='E'>1</memory>")),
              HasSubstr("has a size of more than 72057594037927936 bytes"));
  EXPECT_THAT(MessageOf(WithParts("<memory>18446744073709551616</memory>")),
              HasSubstr("which is no whole number"));
  EXPECT_EQ(MessageOf(WithParts("<memory>1</memory>\n<memory>2</memory>")),
            "line 3: <memory> is there already, in line 2");
  EXPECT_THAT(MessageOf(WithParts("<cpu><numa><cell memory='60' unit='P'/>"
                                  "<cell memory='60' unit='P'/></numa></cpu>")),
              HasSubstr("<cell> ends a sum of more than"));
  EXPECT_THAT(MessageOf(WithParts("<memory>1</memory><maxMemory slots='x'>9</maxMemory>")),
              HasSubstr("<maxMemory> has slots \"x\""));
}

TEST(DomainTest, KnowsItsMachine) {
  const auto is_virt = [](std::string_view type) {
    return Read(WithParts(fmt::format("<memory>1</memory><os><type {}>hvm</type></os>", type)))
        .is_virt();
  };
  EXPECT_TRUE(is_virt("arch='aarch64' machine='virt'"));
  EXPECT_TRUE(is_virt("arch='aarch64' machine='virt-rhel9.6.0'"));
  EXPECT_FALSE(is_virt("arch='aarch64' machine='virtual'"));
  EXPECT_FALSE(is_virt("arch='aarch64' machine='sbsa-ref'"));
  EXPECT_FALSE(is_virt("arch='riscv64' machine='virt'"));
  EXPECT_FALSE(is_virt("arch='x86_64' machine='q35'"));
  EXPECT_FALSE(is_virt("arch='aarch64'"));
  EXPECT_FALSE(is_virt("machine='virt'"));
  EXPECT_FALSE(is_virt(""));
}

TEST(DomainTest, TakesAddressesAsLibvirtDoes) {
  const Domain domain = Read(WithDevices(R"(
    <hostdev type='pci'><source><address domain='0x0001' bus='0xA' slot='31' function='07'/></source></hostdev>
    <hostdev mode='subsystem' type='pci'><source><address bus='010' slot='0x1F'/></source></hostdev>
    <interface type='hostdev'><source><address type='pci' bus='2'/></source></interface>)"));
  EXPECT_THAT(domain.devices,
              ElementsAre(core::PciAddress{.domain = 1, .bus = 10, .slot = 31, .function = 7},
                          core::PciAddress{.domain = 0, .bus = 8, .slot = 31, .function = 0},
                          core::PciAddress{.domain = 0, .bus = 2, .slot = 0, .function = 0}));
}

TEST(DomainTest, PassesOverWhatIsNoPciFunctionOfTheHost) {
  EXPECT_THAT(Read(WithDevices(R"(
    <hostdev mode='subsystem' type='usb'><source><vendor id='1'/></source></hostdev>
    <hostdev mode='subsystem' type='mdev' model='vfio-pci'/>
    <hostdev mode='capabilities' type='storage'/>
    <interface type='network'><source network='a'/></interface>
    <x:hostdev xmlns:x='urn:x' type='pci'/>)"))
                  .devices,
              IsEmpty());
}

TEST(DomainTest, NamesTheDeviceThatIsWrong) {
  EXPECT_EQ(MessageOf(WithDevices("<hostdev/>")), "line 3: <hostdev> has no type");
  EXPECT_EQ(MessageOf(WithDevices("<hostdev type='pci'/>")),
            "line 3: <hostdev> has no <source> with an <address>");
  EXPECT_EQ(MessageOf(WithDevices("<hostdev type='pci'><source/></hostdev>")),
            "line 3: <hostdev> has no <source> with an <address>");
  EXPECT_EQ(MessageOf(WithDevices("<hostdev type='pci' mode='capabilities'/>")),
            "line 3: <hostdev> of type pci has the mode \"capabilities\", and not \"subsystem\"");
  const auto address = [](std::string_view attributes) {
    return MessageOf(WithDevices(
        fmt::format("<hostdev type='pci'><source>\n<address {}/></source></hostdev>", attributes)));
  };
  EXPECT_EQ(address("bus='0x100'"),
            "line 4: <address> has a bus \"0x100\", which is no number up to 0xff");
  EXPECT_EQ(address("slot='32'"),
            "line 4: <address> has a slot \"32\", which is no number up to 0x1f");
  EXPECT_EQ(address("function='8'"),
            "line 4: <address> has a function \"8\", which is no number up to 0x7");
  EXPECT_THAT(address("function='08'"), HasSubstr("\"08\""));
  EXPECT_THAT(address("bus=''"), HasSubstr("has a bus \"\""));
  EXPECT_THAT(address("bus='-1'"), HasSubstr("has a bus \"-1\""));
  EXPECT_THAT(address("domain='0x100000000'"), HasSubstr("has a domain"));
  EXPECT_THAT(address("domain='0777777777777777777777777'"), HasSubstr("has a domain"));
  EXPECT_EQ(MessageOf(WithDevices("<hostdev type='pci'><source><address/></source>\n"
                                  "<source><address bus='1'/></source></hostdev>")),
            "line 4: <source> is there already, in line 3");
}

TEST(DomainTest, SeesAnSmmu) {
  EXPECT_EQ(Read(WithDevices("<iommu model='smmuv3'><driver accel='on'/></iommu>")).smmu,
            "line 3: <iommu model='smmuv3'>");
  EXPECT_EQ(Read(WithDevices("<iommu model='virtio'/>")).smmu, "");
  EXPECT_EQ(Read(WithParts("<memory>1</memory><qemu:commandline>\n"
                           "<qemu:arg value='-device'/>\n"
                           "<qemu:arg value='arm-smmuv3,accel=on'/></qemu:commandline>"))
                .smmu,
            "line 3: qemu:arg \"-device arm-smmuv3,accel=on\"");
}

TEST(DomainTest, SaysWhatItDoesNotUnderstandOfMemory) {
  const auto unknown = [](std::string_view words) {
    std::string arguments;
    for (std::string_view rest = words; !rest.empty();) {
      const auto end = std::min(rest.find(' '), rest.size());
      arguments += fmt::format("<qemu:arg value='{}'/>", rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return Read(WithParts(fmt::format("<memory>1</memory><qemu:commandline>{}</qemu:commandline>",
                                      arguments)))
        .unknown_memory;
  };
  EXPECT_THAT(unknown("-machine highmem=off"),
              ElementsAre("line 2: qemu:arg \"-machine highmem=off\""));
  EXPECT_THAT(unknown("--M virt,highmem-mmio-size=1T"),
              ElementsAre("line 2: qemu:arg \"-M virt,highmem-mmio-size=1T\""));
  EXPECT_THAT(
      unknown("-fw_cfg a -m 8G -device pc-dimm,id=a"),
      ElementsAre("line 2: qemu:arg \"-m 8G\"", "line 2: qemu:arg \"-device pc-dimm,id=a\""));
  EXPECT_THAT(unknown("-global a.pcihole64=1"), ElementsAre(HasSubstr("-global")));
  EXPECT_THAT(unknown("-m"), ElementsAre("line 2: qemu:arg \"-m \""));
  EXPECT_THAT(unknown("-fw_cfg name=opt/com.coreos/config,file=/x -cpu max -smbios type=0"),
              IsEmpty());
  EXPECT_THAT(Read(WithParts("<memory>1</memory><qemu:override/>")).unknown_memory,
              ElementsAre("line 2: qemu:override"));
  EXPECT_THAT(Read(WithDevices("<memory model='dimm'><target/></memory>")).unknown_memory,
              ElementsAre("line 3: a <memory> among the devices"));
  EXPECT_THAT(Read(WithDevices("<controller type='pci' model='pcie-root'>\n"
                               "<pcihole64 unit='KiB'>1073741824</pcihole64></controller>"))
                  .unknown_pci,
              ElementsAre("line 4: <pcihole64>"));
}

TEST(DomainTest, SaysWhichDevicesItDoesNotSee) {
  EXPECT_THAT(Read(WithParts("<memory>1</memory><qemu:commandline><qemu:arg value='-device'/>"
                             "<qemu:arg value='vfio-pci,host=0000:01:00.0'/></qemu:commandline>"))
                  .unknown_devices,
              ElementsAre("line 2: qemu:arg \"-device vfio-pci,host=0000:01:00.0\""));
}

TEST(DomainTest, RefusesWhatIsNoDomain) {
  EXPECT_EQ(MessageOf("<network/>"),
            "line 1: <network> is the root of the document, and not <domain>");
  EXPECT_EQ(MessageOf("<domain xmlns='urn:x'/>"),
            "line 1: <domain> is the root of the document, and not <domain>");
  EXPECT_THAT(MessageOf("<!DOCTYPE domain [<!ENTITY a 'b'>]><domain/>"), HasSubstr("DOCTYPE"));
  EXPECT_THAT(MessageOf(std::string(10 << 20, ' ')), HasSubstr("more than 4194304"));
}

}  // namespace
}  // namespace dp::domain
