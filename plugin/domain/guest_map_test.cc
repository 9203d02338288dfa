// SPDX-License-Identifier: Apache-2.0
#include "plugin/domain/guest_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace dp::domain {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Domain Guest() {
  Domain domain;
  domain.arch = "aarch64";
  domain.machine = "virt";
  domain.ram = guest::kGib;
  return domain;
}

TEST(GuestMapTest, IsThatOfItsMemory) {
  EXPECT_EQ(MapOf(Guest()).value(), guest::MemoryMap({.ram = guest::kGib}).value());
}

TEST(GuestMapTest, TakesAllAddressesForRamWhereItsEndIsNotKnown) {
  Domain domain = Guest();
  domain.unknown_memory = {"line 7: qemu:arg \"-m\""};
  const auto map = MapOf(domain);
  ASSERT_TRUE(map.ok());
  EXPECT_EQ(map->back().use, guest::Use::kRam);
  EXPECT_EQ(map->back().end, std::numeric_limits<std::uint64_t>::max());
}

TEST(GuestMapTest, SaysWhyQemuDoesNotStart) {
  Domain domain = Guest();
  domain.slots = 1000;
  EXPECT_THAT(std::string(MapOf(domain).status().message()),
              HasSubstr("QEMU does not start this guest: 1000 slots"));
}

TEST(GuestMapTest, DoubtsOnlyWhatMayBeBehindRam) {
  const core::Window low{.base = 0x09100000, .size = 0x100000};
  const core::Window high{.base = 8 * guest::kGib, .size = 0x100000};
  Domain domain = Guest();
  EXPECT_THAT(DoubtAbout(domain, high), IsEmpty());
  domain.unknown_pci = {"line 9: <pcihole64>"};
  EXPECT_THAT(DoubtAbout(domain, high), HasSubstr("because of line 9: <pcihole64>"));
  EXPECT_THAT(DoubtAbout(domain, low), IsEmpty());
}

}  // namespace
}  // namespace dp::domain
