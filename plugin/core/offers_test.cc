// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/offers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_host.h"

namespace dp::core {
namespace {

using ::dp::fakes::GroupOf;
using ::dp::fakes::NvmeFunction;
using ::testing::AllOf;
using ::testing::HasSubstr;

Selector ByDriver(const std::string& driver) {
  Selector selector;
  selector.driver = driver;
  return selector;
}

Selector ByClass(std::uint32_t prefix, int bytes) {
  Selector selector;
  selector.class_prefix = prefix;
  selector.class_bytes = bytes;
  return selector;
}

Resource ResourceOf(const std::string& name, Selector selector, int line = 0) {
  return {.name = name, .selectors = {std::move(selector)}, .line = line};
}

Function Bridge(const std::string& address) {
  Function bridge = NvmeFunction(address, "pcieport");
  bridge.pci->class_code = 0x060400;
  return bridge;
}

struct SelectorCase {
  const char* name;
  std::function<void(Selector&)> set;
  bool matches;
};

class SelectorTest : public ::testing::TestWithParam<SelectorCase> {};

TEST_P(SelectorTest, MatchesIfEveryFieldDoes) {
  Function function = NvmeFunction("0000:01:00.0");
  function.numa_node = 1;
  Selector selector;
  GetParam().set(selector);
  EXPECT_EQ(Matches(selector, function), GetParam().matches);
}

INSTANTIATE_TEST_SUITE_P(
    Fields, SelectorTest,
    ::testing::Values(
        SelectorCase{"vendor", [](Selector& s) { s.vendor = 0x1b36; }, true},
        SelectorCase{"other_vendor", [](Selector& s) { s.vendor = 0x8086; }, false},
        SelectorCase{"device", [](Selector& s) { s.device = 0x0010; }, true},
        SelectorCase{"other_device", [](Selector& s) { s.device = 0x0011; }, false},
        SelectorCase{"subsystem", [](Selector& s) { s.subsystem_vendor = 0x1af4; }, true},
        SelectorCase{"other_subsystem", [](Selector& s) { s.subsystem_vendor = 1; }, false},
        SelectorCase{"subsystem_device", [](Selector& s) { s.subsystem_device = 0x1100; }, true},
        SelectorCase{"other_subsystem_device", [](Selector& s) { s.subsystem_device = 1; }, false},
        SelectorCase{"class1", [](Selector& s) { s = ByClass(0x01, 1); }, true},
        SelectorCase{"class2", [](Selector& s) { s = ByClass(0x0108, 2); }, true},
        SelectorCase{"class3", [](Selector& s) { s = ByClass(0x010802, 3); }, true},
        SelectorCase{"other_class", [](Selector& s) { s = ByClass(0x0102, 2); }, false},
        SelectorCase{"other_interface", [](Selector& s) { s = ByClass(0x010801, 3); }, false},
        SelectorCase{"driver", [](Selector& s) { s.driver = "vfio-pci"; }, true},
        SelectorCase{"part_of_driver", [](Selector& s) { s.driver = "vfio"; }, false},
        SelectorCase{"address", [](Selector& s) { s.addresses = {"0000:01:00.0"}; }, true},
        SelectorCase{"glob",
                     [](Selector& s) {
                       s.addresses = {"x", "0000:0?:*"};
                     },
                     true},
        SelectorCase{"other_glob", [](Selector& s) { s.addresses = {"0000:02:*"}; }, false},
        SelectorCase{"node", [](Selector& s) { s.numa_node = 1; }, true},
        SelectorCase{"other_node", [](Selector& s) { s.numa_node = 0; }, false},
        SelectorCase{"all_but_one",
                     [](Selector& s) {
                       s.vendor = 0x1b36;
                       s.driver = "nvme";
                     },
                     false}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(OffersTest, NeverMatchesABridgeOrAnythingButPci) {
  EXPECT_FALSE(Matches(ByDriver("pcieport"), Bridge("0000:01:00.0")));
  Function platform;
  platform.name = "9000000.serial";
  platform.driver = "vfio-platform";
  EXPECT_FALSE(Matches(ByDriver("vfio-platform"), platform));
}

TEST(OffersTest, TellsVfioDriversByNameOrByWhatTheyMake) {
  for (const char* driver :
       {"vfio-pci", "mlx5_vfio_pci", "nvgrace-gpu-vfio-pci", "vfio-platform"}) {
    EXPECT_TRUE(IsOnVfioDriver(NvmeFunction("0000:01:00.0", driver))) << driver;
  }
  for (const char* driver : {"", "nvme", "pci-stub"}) {
    EXPECT_FALSE(IsOnVfioDriver(NvmeFunction("0000:01:00.0", driver))) << driver;
  }
  Function function = NvmeFunction("0000:01:00.0", "vendor-passthrough");
  function.cdev = "vfio3";
  EXPECT_TRUE(IsOnVfioDriver(function));
}

TEST(OffersTest, NamesADeviceByItsLowestEndpointAndAttachesTheLowestMatch) {
  Function audio = NvmeFunction("0000:01:00.0");
  audio.pci->class_code = 0x040300;
  Function first = NvmeFunction("0000:01:00.1");
  first.numa_node = 1;
  const Group group =
      GroupOf(7, {Bridge("0000:00:01.0"), audio, first, NvmeFunction("0000:01:00.2")});
  const auto offer = OfferGroup(group, ResourceOf("v.example/nvme", ByClass(0x0108, 2)));
  ASSERT_TRUE(offer.has_value());
  EXPECT_EQ(*offer, (Offer{.id = "0000:01:00.0",
                           .function = "0000:01:00.1",
                           .group = 7,
                           .numa_node = 1,
                           .unhealthy_reason = ""}));
}

TEST(OffersTest, OrdersDevicesByAddressEvenWhereDomainsGrow) {
  Inventory inventory;
  inventory.groups = {
      GroupOf(1, {NvmeFunction("10000:01:00.0")}), GroupOf(2, {NvmeFunction("ffff:01:00.0")}),
      GroupOf(3, {NvmeFunction("0000:0a:00.0")}), GroupOf(4, {NvmeFunction("0000:09:00.0")})};
  const auto all =
      OfferAll(inventory, std::vector{ResourceOf("v.example/nvme", ByDriver("vfio-pci"))});
  ASSERT_TRUE(all.ok()) << all.status();
  std::vector<std::string> ids;
  for (const Offer& offer : all->front().offers) ids.push_back(offer.id);
  EXPECT_THAT(
      ids, ::testing::ElementsAre("0000:09:00.0", "0000:0a:00.0", "ffff:01:00.0", "10000:01:00.0"));
  for (const std::string& id : ids) {
    ASSERT_NE(all->front().Find(id), nullptr);
    EXPECT_EQ(all->front().Find(id)->id, id);
  }
  EXPECT_EQ(all->front().Find("0000:0b:00.0"), nullptr);
}

struct HealthCase {
  const char* name;
  std::vector<std::string> drivers;  // of functions 0, 1, ...; the first is attached
  const char* reason;                // empty: healthy
};

class HealthTest : public ::testing::TestWithParam<HealthCase> {};

TEST_P(HealthTest, NamesTheFunctionAndItsDriver) {
  std::vector<Function> functions = {Bridge("0000:00:01.0")};
  for (std::size_t i = 0; i < GetParam().drivers.size(); ++i) {
    functions.push_back(NvmeFunction("0000:01:00." + std::to_string(i), GetParam().drivers[i]));
  }
  const auto offer =
      OfferGroup(GroupOf(7, functions), ResourceOf("v.example/nvme", ByClass(0x01, 1)));
  ASSERT_TRUE(offer.has_value());
  EXPECT_EQ(offer->unhealthy_reason, GetParam().reason);
}

INSTANTIATE_TEST_SUITE_P(
    Drivers, HealthTest,
    ::testing::Values(
        HealthCase{"alone", {"vfio-pci"}, ""},
        HealthCase{"all_on_vfio", {"vfio-pci", "mlx5_vfio_pci"}, ""},
        HealthCase{"sibling_without", {"vfio-pci", ""}, ""},
        HealthCase{
            "sibling_on_host_driver",
            {"vfio-pci", "nvme"},
            "0000:01:00.1 in the same IOMMU group is on driver nvme, which is not a VFIO driver"},
        HealthCase{"on_host_driver",
                   {"nvme"},
                   "0000:01:00.0 is on driver nvme, which is not a VFIO driver"},
        HealthCase{"without",
                   {"", "vfio-pci"},
                   "0000:01:00.0 has no driver; a VFIO driver must be bound to it"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(OffersTest, CountsSiblingsOfOtherBuses) {
  Function platform;
  platform.name = "9000000.serial";
  platform.driver = "pl011";
  const auto offer = OfferGroup(GroupOf(7, {NvmeFunction("0000:01:00.0"), platform}),
                                ResourceOf("v.example/nvme", ByClass(0x01, 1)));
  ASSERT_TRUE(offer.has_value());
  EXPECT_THAT(offer->unhealthy_reason, AllOf(HasSubstr("9000000.serial"), HasSubstr("pl011")));
}

TEST(OffersTest, RefusesAGroupThatTwoResourcesSelect) {
  Inventory inventory;
  inventory.groups = {GroupOf(7, {NvmeFunction("0000:01:00.0"), NvmeFunction("0000:01:00.1")})};
  Selector second;
  second.addresses = {"*.1"};
  const auto all = OfferAll(inventory, std::vector{ResourceOf("v.example/a", ByClass(0x01, 1), 3),
                                                   ResourceOf("v.example/b", second, 9)});
  EXPECT_EQ(all.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(all.status().message(),
            "resources v.example/a (line 3) and v.example/b (line 9) both select IOMMU group 7, "
            "which holds 0000:01:00.0 and 0000:01:00.1");
}

}  // namespace
}  // namespace dp::core
