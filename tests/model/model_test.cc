// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstdint>
#include <iostream>
#include <string>
#include <tuple>
#include <vector>

#include "plugin/base/log.h"
#include "tests/model/node.h"

// RC_PARAMS="max_success=100000 seed=1" runs more of them, or the same again; a failure is shrunk
// and printed with its seed (rapidcheck, doc/configuration.md).

namespace dp::model {
namespace {

using Step = std::tuple<Event, std::uint32_t, std::uint32_t>;

rc::Gen<Step> AnyStep() {
  // Pods come and go more often than hosts reboot.
  const auto event = rc::gen::weightedElement<Event>({{8, Event::kAdmit},
                                                      {2, Event::kAdmitAndReject},
                                                      {12, Event::kStart},
                                                      {5, Event::kOpen},
                                                      {4, Event::kExit},
                                                      {5, Event::kDelete},
                                                      {3, Event::kLetGo},
                                                      {2, Event::kKill},
                                                      {4, Event::kKillSoon},
                                                      {2, Event::kRestartKubelet},
                                                      {1, Event::kReboot},
                                                      {1, Event::kReload},
                                                      {2, Event::kPlug},
                                                      {6, Event::kWait},
                                                      {2, Event::kListing},
                                                      {2, Event::kFullDisk},
                                                      {1, Event::kLoseLedger}});
  const auto number = rc::gen::inRange<std::uint32_t>(0, 1U << 16);
  return rc::gen::tuple(event, number, number);
}

TEST(ModelTest, NoWindowHasTwoOwnersAndNoOwnerLacksItsWindow) {
  // What is tried here makes the daemon complain hundreds of thousands of times.
  log::Configure(log::Level::kOff, log::Format::kText);
  const bool holds = rc::check("whatever happens to a node", [] {
    const auto steps = *rc::gen::resize(60, rc::gen::container<std::vector<Step>>(AnyStep()));
    Node node;
    for (const auto& [event, a, b] : steps) {
      node.Happen(event, a, b);
      const std::string broken = node.Broken();
      RC_ASSERT(broken == std::string());
    }
    node.Quiesce();
    const std::string leftover = node.Leftover();
    RC_ASSERT(leftover == std::string());
  });
  EXPECT_TRUE(holds);
  for (const auto& [what, count] : Node::Counts()) std::cout << count << " " << what << "\n";
  // Else the sequences would go nowhere.
  for (const char* what : {"admitted", "started", "deleted", "pool dry", "reboots", "reloads"}) {
    EXPECT_GT(Node::Counts()[what], 0) << what;
  }
}

}  // namespace
}  // namespace dp::model
