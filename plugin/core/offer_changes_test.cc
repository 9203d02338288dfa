// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/offer_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace dp::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::internal::CaptureStderr;
using ::testing::internal::GetCapturedStderr;

Offer Device(int slot, std::string unhealthy_reason = "") {
  Offer offer;
  offer.id = "0000:0" + std::to_string(slot) + ":00.0";
  offer.group = static_cast<std::uint32_t>(slot);
  if (!unhealthy_reason.empty()) offer.reason = base::Reason::kForeignDriver;
  offer.unhealthy_reason = std::move(unhealthy_reason);
  return offer;
}

// Without the time that each record begins with.
std::vector<std::string> Logged(const std::vector<Offer>& before, const std::vector<Offer>& after) {
  CaptureStderr();
  LogChanges("v.example/nvme", before, after);
  std::istringstream text(GetCapturedStderr());
  std::vector<std::string> records;
  for (std::string line; std::getline(text, line);)
    records.push_back(line.substr(line.find(' ') + 1));
  return records;
}

TEST(OfferChangesTest, NamesEachDeviceAndWhatHappenedToIt) {
  EXPECT_THAT(
      Logged({Device(1), Device(2), Device(3, "x"), Device(4, "x"), Device(5), Device(7)},
             {Device(1), Device(2, "y"), Device(3), Device(4, "y"), Device(6), Device(8, "z")}),
      ElementsAre("warning device unhealthy reason=foreign_driver resource=v.example/nvme "
                  "device=0000:02:00.0 error=y",
                  "info device healthy again resource=v.example/nvme device=0000:03:00.0",
                  "warning device unhealthy reason=foreign_driver resource=v.example/nvme "
                  "device=0000:04:00.0 error=y",
                  "info device gone reason=device_gone resource=v.example/nvme device=0000:05:00.0",
                  "info device new resource=v.example/nvme device=0000:06:00.0 group=6",
                  "info device gone reason=device_gone resource=v.example/nvme device=0000:07:00.0",
                  "warning device unhealthy reason=foreign_driver resource=v.example/nvme "
                  "device=0000:08:00.0 error=z"));
}

TEST(OfferChangesTest, SaysNothingOfWhatStayed) {
  EXPECT_THAT(Logged({}, {}), IsEmpty());
  EXPECT_THAT(Logged({Device(1), Device(2, "x")}, {Device(1), Device(2, "x")}), IsEmpty());
}

}  // namespace
}  // namespace dp::core
