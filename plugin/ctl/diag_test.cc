// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/diag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/fakes/some_node.h"

namespace dp::ctl {
namespace {

using ::testing::HasSubstr;

// Of a host on which all is well.
Evidence Sound() {
  core::Inventory host;
  host.groups.emplace_back().knob = core::Knob::kPresent;
  Node node;
  node.daemon.emplace().version = "0.1.0";
  node.devices.push_back(fakes::SomeDevice("0000:01:00.0", 1));
  return {.facts = {.release = "6.12.117",
                    .machine = "aarch64",
                    .boot_id = "a",
                    .is_root = true,
                    .probes = {{.what = "VFIO", .path = "/dev/vfio/vfio", .error = {}}}},
          .host = host,
          .config = core::Config(),
          .ledger = absl::OkStatus(),
          .daemon = absl::OkStatus(),
          .node = node};
}

Check Find(const Evidence& evidence, const std::string& what) {
  const auto checks = Diagnose(evidence);
  const auto found = std::find_if(checks.begin(), checks.end(),
                                  [&](const Check& check) { return check.what == what; });
  EXPECT_NE(found, checks.end()) << what;
  return found == checks.end() ? Check() : *found;
}

TEST(DiagTest, FindsNothingWrongOnASoundHost) {
  const Answer answer = ShowDiagnosis(Diagnose(Sound()), {});
  EXPECT_EQ(answer.exit_code, kExitOk) << answer.text;
  EXPECT_THAT(answer.text, HasSubstr("ok           kernel: 6.12.117 aarch64\n"));
  EXPECT_THAT(answer.text, HasSubstr("ok           daemon: version 0.1.0 answers\n"));
}

TEST(DiagTest, SaysWhatIsWrongAndWhatToDo) {
  Evidence evidence = Sound();
  evidence.host->groups[0].knob = core::Knob::kAbsent;
  EXPECT_EQ(Find(evidence, "knob").health, Health::kWrong);
  EXPECT_THAT(Find(evidence, "knob").advice, HasSubstr("boot a kernel with the series"));
  evidence.config->mode = core::Mode::kObserve;
  EXPECT_EQ(Find(evidence, "knob").health, Health::kOk);

  evidence = Sound();
  evidence.node = fakes::SomeNode();
  EXPECT_THAT(Find(evidence, "devices").finding, HasSubstr("1 of 3 are not healthy, such as "
                                                           "0000:03:00.0: "));
  EXPECT_THAT(Find(evidence, "devices").advice, HasSubstr("foreign_driver"));
  EXPECT_THAT(Find(evidence, "windows").finding,
              HasSubstr("0x08000000+0x100000 for 0000:02:00.0, and 0x09200000+0x100000 is right"));
  EXPECT_EQ(Find(evidence, "windows").advice, "delete the pod default/vm-2");
  EXPECT_EQ(Find(evidence, "daemon").finding, "the kubelet does not answer");

  evidence = Sound();
  evidence.facts.probes[0].error = "/dev/vfio/vfio is missing";
  EXPECT_EQ(Find(evidence, "VFIO").health, Health::kWrong);
  evidence.ledger = absl::DataLossError("damaged");
  EXPECT_EQ(Find(evidence, "ledger").health, Health::kWrong);
  evidence.host = absl::FailedPreconditionError("no groups");
  EXPECT_EQ(Find(evidence, "IOMMU groups").finding, "no groups");
  EXPECT_EQ(Find(evidence, "windows").health, Health::kCannotTell);
  EXPECT_EQ(ShowDiagnosis(Diagnose(evidence), {}).exit_code, kExitNo);
}

TEST(DiagTest, CannotTellWhatOnlyRootMayRead) {
  Evidence evidence = Sound();
  evidence.ledger = absl::PermissionDeniedError("cannot open ledger.json");
  evidence.daemon = absl::PermissionDeniedError("cannot connect");
  EXPECT_EQ(Find(evidence, "ledger").health, Health::kWrong);
  evidence.facts.is_root = false;
  EXPECT_EQ(Find(evidence, "ledger").health, Health::kCannotTell);
  EXPECT_EQ(Find(evidence, "daemon").health, Health::kCannotTell);
  EXPECT_EQ(Find(evidence, "ledger").advice, "run as root");
}

TEST(DiagTest, TakesNoLedgerForRight) {
  Evidence evidence = Sound();
  evidence.ledger = absl::NotFoundError("none");
  EXPECT_EQ(Find(evidence, "ledger").health, Health::kOk);
}

TEST(DiagTest, WritesForPrograms) {
  const auto json =
      nlohmann::json::parse(ShowDiagnosis(Diagnose(Sound()), {.format = Format::kJson}).text);
  EXPECT_EQ(json["kind"], "Diagnosis");
  EXPECT_EQ(json["items"][0]["what"], "kernel");
}

TEST(FactsTest, ThereAndBack) {
  const Facts facts = Sound().facts;
  EXPECT_EQ(FactsFromJson(JsonOf(facts).dump()).value(), facts);
  EXPECT_EQ(FactsFromJson("[1]").value(), Facts());
  EXPECT_EQ(FactsFromJson(R"({"probes": [1], "root": 1})")->probes.size(), 1U);
  EXPECT_FALSE(FactsFromJson("{").ok());
}

}  // namespace
}  // namespace dp::ctl
