// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/show_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/fakes/some_node.h"

namespace dp::ctl {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kNow = 1764171559000 + std::int64_t{90} * 60 * 1000;

Style In(Format format) { return {.format = format, .has_colour = false, .now_ms = kNow}; }

TEST(ShowListTest, ShowsDevicesAndWhatIsLeftOver) {
  const Answer answer = ShowList(fakes::SomeNode(), In(Format::kTable));
  EXPECT_EQ(answer.exit_code, kExitOk);
  EXPECT_EQ(answer.text,
            "DEVICE        GROUP  RESOURCE             STATE      WINDOW               KERNEL      "
            "        "
            "         POD           AGE\n"
            "0000:01:00.0  1      vendor.example/nvme  started    0x09100000+0x100000  same        "
            "        "
            "         default/vm-1  90m\n"
            "0000:02:00.0  2      vendor.example/nvme  started    0x09200000+0x100000  "
            "0x08000000+0x100000 "
            "differs  default/vm-2  90m\n"
            "0000:03:00.0  3      vendor.example/nvme  unhealthy  -                    "
            "0x08000000+0x100000 "
            "         -             -\n"
            "\n"
            "LEFT OVER     GROUP  WINDOW               AGE\n"
            "0000:04:00.0  4      0x09900000+0x100000  90m\n");
}

TEST(ShowListTest, SaysMoreWhenItIsWide) {
  const Answer answer = ShowList(fakes::SomeNode(), In(Format::kWide));
  EXPECT_THAT(answer.text, HasSubstr("foreign_driver  0000:03:00.0 is on driver nvme"));
}

TEST(ShowListTest, WritesForPrograms) {
  const Answer answer = ShowList(fakes::SomeNode(), In(Format::kJson));
  const auto json = nlohmann::json::parse(answer.text);
  EXPECT_EQ(json["kind"], "Node");
  EXPECT_EQ(json["devices"].size(), 3U);
  EXPECT_EQ(json["devices"][0]["differs"], false);
  EXPECT_EQ(json["devices"][1]["differs"], true);
  EXPECT_THAT(ShowList(fakes::SomeNode(), In(Format::kYaml)).text, HasSubstr("kind: \"Node\"\n"));
}

TEST(DiffersTest, OnlyWhereTheWindowShouldBeAnother) {
  Device device = fakes::SomeDevice("0000:01:00.0", 1);
  EXPECT_FALSE(Differs(device));
  device.kernel.window.reset();
  EXPECT_TRUE(Differs(device));
  device.kernel = {.is_read = false, .window = {}, .error = "gone"};
  EXPECT_FALSE(Differs(device));
  // Nobody has it, and the kernel is still where somebody had it.
  device = fakes::SomeDevice("0000:01:00.0", 1);
  device.window.reset();
  EXPECT_TRUE(Differs(device));
  device.observe = "the configuration says so";
  EXPECT_FALSE(Differs(device));
}

TEST(ShowDevicesTest, FindsByAddressGroupAndPod) {
  for (const char* name : {"0000:02:00.0", "2", "default/vm-2"}) {
    const Answer answer = ShowDevices(fakes::SomeNode(), name, In(Format::kTable));
    EXPECT_EQ(answer.exit_code, kExitOk) << name;
    EXPECT_EQ(answer.text,
              "Device         0000:02:00.0\n"
              "IOMMU group    2\n"
              "Resource       vendor.example/nvme\n"
              "Driver         vfio-pci\n"
              "NUMA node      0\n"
              "State          started\n"
              "Since          2025-11-26T15:39:19Z (90m)\n"
              "Pod            default/vm-2\n"
              "Window         0x09200000 0x00100000\n"
              "Kernel         0x08000000+0x100000 differs\n"
              "Last failure   2025-11-26T15:39:20Z window_differed: somebody has moved it\n"
              "Warning        2025-11-26T15:39:20Z window_differed: somebody has moved it\n")
        << name;
  }
}

TEST(ShowDevicesTest, SaysWhenThereIsNone) {
  const Answer answer = ShowDevices(fakes::SomeNode(), "vm-2\n", In(Format::kTable));
  EXPECT_EQ(answer.exit_code, kExitNo);
  EXPECT_THAT(answer.notes[0], HasSubstr("\"vm-2?\" is none of the 3 devices"));
}

TEST(ShowDevicesTest, WritesOnlyThoseForPrograms) {
  const auto json =
      nlohmann::json::parse(ShowDevices(fakes::SomeNode(), "2", In(Format::kJson)).text);
  ASSERT_EQ(json["devices"].size(), 1U);
  EXPECT_EQ(json["devices"][0]["id"], "0000:02:00.0");
  EXPECT_EQ(json["occurrences"].size(), 1U);
}

}  // namespace
}  // namespace dp::ctl
