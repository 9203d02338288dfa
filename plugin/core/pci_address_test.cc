// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/pci_address.h"

#include <gtest/gtest.h>

namespace dp::core {
namespace {

TEST(PciAddressTest, WritesTheNameOfTheSysfsDirectory) {
  EXPECT_EQ(FormatPciAddress({.domain = 0, .bus = 1, .slot = 2, .function = 3}), "0000:01:02.3");
  EXPECT_EQ(FormatPciAddress({.domain = 0x10000, .bus = 0xff, .slot = 0x1f, .function = 7}),
            "10000:ff:1f.7");
}

TEST(PciAddressTest, ReadsBackWhatItWrites) {
  for (const PciAddress address :
       {PciAddress{}, PciAddress{0xfaca, 0x12, 0x1e, 5}, PciAddress{UINT32_MAX, 0xff, 0x1f, 7}}) {
    const auto parsed = ParsePciAddress(FormatPciAddress(address));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, address);
  }
}

TEST(PciAddressTest, RefusesEverythingElse) {
  for (const char* text :
       {"", "01:00.0", "000:01:00.0", "0000:01:00", "0000:01:00.8", "0000:01:20.0", "0000:01:00.00",
        "0000-01:00.0", "0000:01:00,0", "000g:01:00.0", "100000000:01:00.0", " 0000:01:00.0",
        "0000:01:00.0\n", "+000:01:00.0"}) {
    EXPECT_EQ(ParsePciAddress(text).status().code(), absl::StatusCode::kInvalidArgument)
        << '"' << text << '"';
  }
}

TEST(PciAddressTest, OrdersByTopology) {
  EXPECT_LT((PciAddress{0, 9, 0, 0}), (PciAddress{0, 0x10, 0, 0}));
  EXPECT_LT((PciAddress{0xffff, 0xff, 0, 0}), (PciAddress{0x10000, 0, 0, 0}));
}

}  // namespace
}  // namespace dp::core
