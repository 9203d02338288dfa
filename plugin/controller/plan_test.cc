// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "plugin/controller/mark.h"

namespace dp::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Json = nlohmann::json;
using Pointer = Json::json_pointer;

const Permit kNvme{"1B36:0010", "vendor.example/nvme"};
const Permit kGpu{"10DE:1EB8", "vendor.example/gpu"};

bool Everything(const std::string& resource) { return !resource.empty(); }
bool Nothing(const std::string& resource) { return resource.empty(); }

Json Entry(const std::string& selector, const std::string& resource, bool external = true) {
  return {{"pciVendorSelector", selector},
          {"resourceName", resource},
          {"externalResourceProvider", external}};
}

Json Cr(Json spec = Json::object()) {
  return {
      {"apiVersion", "kubevirt.io/v1"},
      {"kind", "KubeVirt"},
      {"metadata", {{"name", "kubevirt"}, {"namespace", "kubevirt"}, {"resourceVersion", "41"}}},
      {"spec", std::move(spec)}};
}

Json WithDevices(Json devices) {
  return Cr(
      {{"configuration", {{"permittedHostDevices", {{"pciHostDevices", std::move(devices)}}}}}});
}

Json WithGates(Json gates, Json disabled = Json::array()) {
  return Cr(
      {{"configuration",
        {{"developerConfiguration",
          {{"featureGates", std::move(gates)}, {"disabledFeatureGates", std::move(disabled)}}}}}});
}

Json At(const Json& cr, const char* pointer) {
  const Pointer path(pointer);
  return cr.contains(path) ? cr[path] : Json();
}

Plan PlanOf(const Json& cr, const std::vector<Permit>& permits,
            const IsOffered& is_offered = Everything) {
  auto plan = MakePlan(cr, permits, is_offered);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *std::move(plan) : Plan();
}

// What the API server makes of it: the library's own JSON Patch, not the planner's.
Json Apply(const Json& cr, const std::vector<Permit>& permits,
           const IsOffered& is_offered = Everything) {
  Json after = cr.patch(PlanOf(cr, permits, is_offered).patch);
  const auto annotations = after["metadata"].find("annotations");
  if (annotations != after["metadata"].end() && annotations->empty()) {
    after["metadata"].erase("annotations");
  }
  return after;
}

std::vector<std::string> ReasonsOf(const Plan& plan) {
  std::vector<std::string> reasons;
  for (const Remark& remark : plan.remarks) reasons.push_back(remark.reason);
  return reasons;
}

TEST(PlanTest, AddsEntryGateAndMarkToAnEmptyCr) {
  const Json after = Apply(Cr(), {kNvme});
  EXPECT_EQ(At(after, kPciDevices), Json::array({Entry("1B36:0010", "vendor.example/nvme")}));
  EXPECT_EQ(At(after, kGates), Json::array({"HostDevices"}));
  const auto mark = ParseMark(after["metadata"]["annotations"][kMark].get<std::string>());
  ASSERT_TRUE(mark.ok()) << mark.status();
  EXPECT_THAT(mark->permits, ElementsAre(kNvme));
  EXPECT_TRUE(mark->feature_gate);
  EXPECT_THAT(mark->made, SizeIs(5));
}

TEST(PlanTest, BeginsWithATestOfTheVersionThatWasLookedAt) {
  const Plan plan = PlanOf(Cr(), {kNvme});
  EXPECT_EQ(plan.patch[0],
            Json({{"op", "test"}, {"path", "/metadata/resourceVersion"}, {"value", "41"}}));
}

TEST(PlanTest, HasNothingToDoTwice) {
  const Json after = Apply(Cr(), {kNvme, kGpu});
  EXPECT_THAT(PlanOf(after, {kNvme, kGpu}).patch, IsEmpty());
  EXPECT_THAT(PlanOf(after, {kGpu, kNvme}).patch, IsEmpty());
}

TEST(PlanTest, TakesBackAllThatItHasDone) {
  const std::vector<Json> crs{
      Cr(),
      Cr({{"configuration", Json::object()}}),
      Cr({{"configuration", {{"permittedHostDevices", Json::object()}}}}),
      WithDevices(Json::array()),
      WithDevices(Json::array({Entry("8086:1572", "intel.example/nic", false)})),
      WithGates(Json::array()),
      WithGates(Json::array({"Sidecar", "HostDevices"})),
  };
  for (const Json& cr : crs) {
    Json after = Apply(Apply(cr, {kNvme, kGpu}), {});
    // Whoever has other devices may rely on the gate by now.
    if (At(cr, kPciDevices).size() == 1) {
      EXPECT_EQ(At(after, kGates), Json::array({"HostDevices"}));
      after["spec"]["configuration"].erase("developerConfiguration");
    }
    EXPECT_EQ(after, cr) << cr["spec"].dump();
  }
}

TEST(PlanTest, KeepsForeignEntriesAndTheirOrder) {
  const Json foreign = Json::array({Entry("8086:1572", "intel.example/nic", false),
                                    Json{{"pciVendorSelector", "x"}, {"resourceName", "a/b"}}});
  const Json after = Apply(WithDevices(foreign), {kNvme});
  EXPECT_EQ(At(after, kPciDevices),
            Json::array({foreign[0], foreign[1], Entry("1B36:0010", "vendor.example/nvme")}));
  for (const Json& operation : PlanOf(WithDevices(foreign), {kNvme}).patch) {
    EXPECT_EQ(operation.dump().find("intel.example"), std::string::npos) << operation;
  }
}

TEST(PlanTest, LeavesAnEntryOfTheSameResourceToItsOwner) {
  const Json cr = WithDevices(Json::array({Entry("1B36:0010", "vendor.example/nvme")}));
  const Json after = Apply(cr, {kNvme});
  EXPECT_EQ(At(after, kPciDevices), At(cr, kPciDevices));
  EXPECT_THAT(ReasonsOf(PlanOf(cr, {kNvme})), ElementsAre("permitted_already"));
  EXPECT_EQ(At(Apply(after, {}), kPciDevices), At(cr, kPciDevices));
}

TEST(PlanTest, GivesWayToAnEntryThatComesLater) {
  Json cr = Apply(Cr(), {kNvme});
  cr[Pointer(kPciDevices)].push_back(Entry("1B36:0010", "vendor.example/nvme"));
  EXPECT_EQ(At(Apply(cr, {kNvme}), kPciDevices),
            Json::array({Entry("1B36:0010", "vendor.example/nvme")}));
}

TEST(PlanTest, LeavesAnEntryThatWasEditedToWhoEditedIt) {
  Json cr = Apply(Cr(), {kNvme});
  cr[Pointer(kPciDevices)][0]["pciVendorSelector"] = "1B36:0011";
  for (const std::vector<Permit>& permits : {std::vector<Permit>{kNvme}, std::vector<Permit>{}}) {
    EXPECT_EQ(At(Apply(cr, permits), kPciDevices),
              Json::array({Entry("1B36:0011", "vendor.example/nvme")}));
  }
}

TEST(PlanTest, AddsAgainWhatSomebodyHasRemoved) {
  const Json complete = Apply(Cr(), {kNvme});
  Json cr = complete;
  cr[Pointer(kPciDevices)].clear();
  cr[Pointer(kGates)].clear();
  EXPECT_EQ(Apply(cr, {kNvme}), complete);
  EXPECT_EQ(Apply(cr, {kNvme}, Nothing), complete) << "it needs no node for what was permitted";
}

TEST(PlanTest, WaitsForANodeThatOffersIt) {
  const Plan plan = PlanOf(Cr(), {kNvme, kGpu},
                           [](const std::string& resource) { return resource == kGpu.resource; });
  EXPECT_THAT(plan.waiting, ElementsAre(kNvme.resource));
  EXPECT_EQ(At(Cr().patch(plan.patch), kPciDevices),
            Json::array({Entry("10DE:1EB8", "vendor.example/gpu")}));
  EXPECT_THAT(PlanOf(Cr(), {kNvme}, Nothing).patch, IsEmpty());
}

TEST(PlanTest, KeepsWhatNoNodeOffersAnyMore) {
  const Json cr = Apply(Cr(), {kNvme});
  const Plan plan = PlanOf(cr, {kNvme}, Nothing);
  EXPECT_THAT(plan.patch, IsEmpty());
  EXPECT_THAT(plan.waiting, IsEmpty());
  const auto asked = NeedNodes(cr, {kNvme, kGpu});
  ASSERT_TRUE(asked.ok());
  EXPECT_THAT(*asked, ElementsAre(kGpu.resource));
}

TEST(PlanTest, RemovesOnlyWhatTheConfigurationDrops) {
  const Json cr = Apply(Cr(), {kNvme, kGpu});
  const Json after = Apply(cr, {kGpu});
  EXPECT_EQ(At(after, kPciDevices), Json::array({Entry("10DE:1EB8", "vendor.example/gpu")}));
  EXPECT_EQ(At(after, kGates), Json::array({"HostDevices"}));
}

TEST(PlanTest, PutsANewEntryOfAResourceWhereTheConfigurationHasIt) {
  const Permit last{"10DE:2342", "vendor.example/gpu"};
  const Json cr = Apply(Cr(), {last});
  EXPECT_EQ(At(Apply(cr, {kGpu, last}), kPciDevices),
            Json::array({Entry("10DE:1EB8", "vendor.example/gpu"),
                         Entry("10DE:2342", "vendor.example/gpu")}));
}

TEST(PlanTest, RespectsADisabledGate) {
  const Json cr = WithGates(Json::array({"Sidecar"}), Json::array({"HostDevices"}));
  const Json after = Apply(cr, {kNvme});
  EXPECT_EQ(At(after, kGates), Json::array({"Sidecar"}));
  EXPECT_THAT(ReasonsOf(PlanOf(after, {kNvme})), ElementsAre("gate_disabled"));
  EXPECT_THAT(PlanOf(after, {kNvme}).patch, IsEmpty());
}

TEST(PlanTest, LeavesAGateThatWasThere) {
  const Json cr = WithGates(Json::array({"HostDevices", "Sidecar"}));
  EXPECT_EQ(Apply(Apply(cr, {kNvme}), {}), cr);
}

TEST(PlanTest, LeavesItsGateToOthersThatHaveCome) {
  Json cr = Apply(Cr(), {kNvme});
  cr[Pointer(kPermitted)]["usb"] = Json::array({{{"resourceName", "a/usb"}}});
  const Json after = Apply(cr, {});
  EXPECT_EQ(At(after, kGates), Json::array({"HostDevices"}));
  EXPECT_EQ(At(after, kPermitted), Json({{"usb", {{{"resourceName", "a/usb"}}}}}));
  EXPECT_FALSE(after["metadata"].contains("annotations"));
}

TEST(PlanTest, SaysThatKubeVirtBeginsToCheck) {
  EXPECT_THAT(ReasonsOf(PlanOf(Cr(), {kNvme})), ElementsAre("checks_begin"));
  EXPECT_THAT(ReasonsOf(PlanOf(WithDevices(Json::array()), {kNvme})), IsEmpty());
}

TEST(PlanTest, SaysWhatGoesBadlyTogether) {
  EXPECT_THAT(
      ReasonsOf(PlanOf(WithDevices(Json::array({Entry("1B36:0010", "vendor.example/nvme", false)})),
                       {kNvme})),
      ElementsAre("served_twice"));
  EXPECT_THAT(ReasonsOf(PlanOf(WithDevices(Json::array({Entry("1b36:0010", "other/nvme", false)})),
                               {kNvme})),
              ElementsAre("offered_twice"));
}

TEST(PlanTest, TouchesNothingBecauseOfAMarkThatIsNotOurs) {
  Json cr = Apply(Cr(), {kNvme});
  cr["metadata"]["annotations"][kMark] =
      "{\"version\":1,\"pciHostDevices\":[],\"made\":[\"/spec\"]}";
  const Plan plan = PlanOf(cr, {});
  EXPECT_THAT(plan.patch, IsEmpty());
  EXPECT_THAT(ReasonsOf(plan), ElementsAre("mark_unreadable"));
}

TEST(PlanTest, RefusesACrOfAnotherShape) {
  for (const char* spec :
       {R"([])", R"({"configuration":7})", R"({"configuration":{"permittedHostDevices":[]}})",
        R"({"configuration":{"permittedHostDevices":{"pciHostDevices":{}}}})",
        R"({"configuration":{"developerConfiguration":{"featureGates":"HostDevices"}}})"}) {
    EXPECT_TRUE(
        absl::IsInvalidArgument(MakePlan(Cr(Json::parse(spec)), {kNvme}, Everything).status()))
        << spec;
  }
  Json without_spec = Cr();
  without_spec.erase("spec");
  EXPECT_TRUE(absl::IsInvalidArgument(MakePlan(without_spec, {kNvme}, Everything).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakePlan(Json::object(), {kNvme}, Everything).status()));
}

// Random CRs and configurations. Whatever the CR says: nobody else's entry is changed, moved or
// lost, a second look finds nothing to do, and what is taken back leaves the CR as it was.
class RandomPlanTest : public ::testing::TestWithParam<unsigned> {
 protected:
  int Below(int end) { return std::uniform_int_distribution<int>(0, end - 1)(random_); }
  bool Maybe() { return Below(2) == 0; }

  Permit RandomPermit() {
    return {"1B36:000" + std::to_string(Below(4)), "vendor.example/r" + std::to_string(Below(5))};
  }

  std::vector<Permit> RandomPermits() {
    std::vector<Permit> permits;
    for (int i = Below(6); i > 0; --i) {
      const Permit permit = RandomPermit();
      if (std::find(permits.begin(), permits.end(), permit) == permits.end()) {
        permits.push_back(permit);
      }
    }
    std::stable_sort(permits.begin(), permits.end(),
                     [](const Permit& a, const Permit& b) { return a.resource < b.resource; });
    return permits;
  }

  Json RandomForeign() {
    const Permit permit = RandomPermit();
    Json entry{{"pciVendorSelector", permit.selector},
               {"resourceName", Maybe() ? permit.resource : "other/r" + std::to_string(Below(3))}};
    if (Maybe()) entry["externalResourceProvider"] = Maybe();
    if (Below(4) == 0) entry["note"] = Json::array({1.5, nullptr, "\xc3\xa9"});
    return entry;
  }

  Json RandomCr() {
    Json cr = Cr();
    if (Maybe()) cr["metadata"]["annotations"] = {{"somebody", "else"}};
    if (Below(5) == 0) return cr;
    Json& configuration = cr["spec"]["configuration"] = Json::object();
    if (Maybe()) configuration["smbios"] = {{"family", "x"}};
    if (Below(4) != 0) {
      Json& permitted = configuration["permittedHostDevices"] = Json::object();
      if (Below(4) != 0) {
        Json& list = permitted["pciHostDevices"] = Json::array();
        for (int i = Below(5); i > 0; --i) list.push_back(RandomForeign());
      }
      if (Below(4) == 0) {
        permitted["mediatedDevices"] = Json::array(
            {{{"mdevNameSelector", "GRID"}, {"resourceName", RandomPermit().resource}}});
      }
    }
    if (Maybe()) {
      Json& developer = configuration["developerConfiguration"] = Json::object();
      if (Maybe()) developer["memoryOvercommit"] = 100;
      for (const char* list : {"featureGates", "disabledFeatureGates"}) {
        if (Maybe()) continue;
        developer[list] = Json::array();
        for (const char* gate : {"Sidecar", "HostDevices", "LiveMigration"}) {
          if (Maybe()) developer[list].push_back(gate);
        }
      }
    }
    return cr;
  }

  // The entries that are not among `ours`, each of which accounts for one.
  static Json Without(const Json& cr, std::vector<Permit> ours) {
    Json rest = Json::array();
    for (const Json& entry : At(cr, kPciDevices)) {
      const auto found = std::find_if(ours.begin(), ours.end(), [&](const Permit& permit) {
        return entry == Entry(permit.selector, permit.resource);
      });
      if (found == ours.end()) {
        rest.push_back(entry);
      } else {
        ours.erase(found);
      }
    }
    return rest;
  }

  static Mark MarkOf(const Json& cr) {
    const Json text = At(cr, "/metadata/annotations")[kMark];
    const auto mark = ParseMark(text.is_string() ? text.get<std::string>() : "");
    return mark.ok() ? *mark : Mark();
  }

  std::mt19937 random_{GetParam()};
};

TEST_P(RandomPlanTest, NeverTouchesWhatIsNotOurs) {
  for (int round = 0; round < 25; ++round) {
    const Json original = RandomCr();
    const std::string before =
        At(original, kPciDevices).is_null() ? "[]" : At(original, kPciDevices).dump();
    Json cr = original;
    for (int step = 0; step < 4; ++step) {
      const std::vector<Permit> permits = RandomPermits();
      const int offered = Below(32);
      const IsOffered is_offered = [offered](const std::string& resource) {
        return ((offered >> (resource.back() - '0')) & 1) != 0;
      };
      const Json after = Apply(cr, permits, is_offered);
      ASSERT_EQ(Without(after, MarkOf(after).permits).dump(), before) << cr << "\n" << after;
      ASSERT_THAT(PlanOf(after, permits, is_offered).patch, IsEmpty()) << after;
      for (const Permit& permit : MarkOf(after).permits) {
        ASSERT_NE(std::find(permits.begin(), permits.end(), permit), permits.end());
      }
      cr = after;
    }
    Json end = Apply(cr, {});
    ASSERT_EQ(end["metadata"], original["metadata"]) << cr;
    // The one thing that may stay: the gate, where somebody else has devices.
    if (end != original) {
      ASSERT_FALSE(At(original, kPermitted).empty()) << cr << "\n" << end;
      ASSERT_EQ(At(end, kPermitted), At(original, kPermitted));
      Json gates = At(original, kGates).is_null() ? Json::array() : At(original, kGates);
      gates.push_back("HostDevices");
      ASSERT_EQ(At(end, kGates), gates) << cr << "\n" << end;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomPlanTest, ::testing::Range(1U, 9U));

}  // namespace
}  // namespace dp::controller
