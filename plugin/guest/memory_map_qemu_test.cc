// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "plugin/guest/memory_map.h"

// The memory map against the one that QEMU itself tells (`info mtree`), of machines that are made
// and not started. Emulated processors have no page of stolen time: that one is KVM's.
namespace dp::guest {
namespace {

struct Case {
  const char* name;
  Layout layout;
  const char* machine = "";  // more of -M
};

// Shown by a test that fails.
void PrintTo(const Case& machine, std::ostream* out) { *out << machine.name; }

std::string CommandOf(const Case& machine) {
  const Layout& layout = machine.layout;
  std::string memory = fmt::format("size={}B", layout.ram);
  if (layout.slots > 0) memory += fmt::format(",slots={}", layout.slots);
  if (layout.max_ram > 0) memory += fmt::format(",maxmem={}B", layout.max_ram);
  return fmt::format(
      "printf 'info mtree\\nquit\\n' | unshare --net qemu-system-aarch64 -nodefaults -display none "
      "-S -cpu max -monitor stdio -m {} -object "
      "memory-backend-ram,id=guest-ram,size={},reserve=off "
      "-M virt,memory-backend=guest-ram{}{} 2>&1",
      memory, layout.ram, layout.highmem ? "" : ",highmem=off", machine.machine);
}

struct Answer {
  bool started = false;
  std::string text;
};

Answer Ask(const Case& machine) {
  const auto close = [](FILE* pipe) { ::pclose(pipe); };
  const std::unique_ptr<FILE, decltype(close)> pipe(::popen(CommandOf(machine).c_str(), "r"),
                                                    close);
  Answer answer;
  std::vector<char> buffer(65536);
  while (const std::size_t length = std::fread(buffer.data(), 1, buffer.size(), pipe.get()))
    answer.text.append(buffer.data(), length);
  answer.started = answer.text.find("address-space: memory") != std::string::npos;
  return answer;
}

std::vector<Range> MapIn(const std::string& text) {
  static const std::regex kRegion(
      "^ *([0-9a-f]{16})-([0-9a-f]{16}) \\(prio [^)]*\\): (alias )?([-a-z0-9]+)\\b.*");
  std::vector<Range> map;
  std::istringstream lines(text);
  std::string line;
  bool in_memory = false;
  while (std::getline(lines, line)) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) in_memory = false;
    if (line == "address-space: memory") in_memory = true;
    std::smatch found;
    if (!in_memory || !std::regex_match(line, found, kRegion)) continue;
    Range range{.start = std::stoull(found[1], nullptr, 16),
                .end = std::stoull(found[2], nullptr, 16) + 1,
                .use = Use::kRam};
    const std::string name = found[4];
    if (name == "pcie-mmio") {
      range.use = Use::kPciMmio32;
    } else if (name == "pcie-mmio-high") {
      range.use = Use::kPciMmio64;
    } else if (name == "device-memory") {
      range.use = Use::kDeviceMemory;
    } else if (name != "guest-ram") {
      continue;
    }
    map.push_back(range);
  }
  return map;
}

std::string Show(const std::vector<Range>& map) {
  std::string text;
  for (const Range& range : map)
    text += fmt::format("{} {}\n", UseName(range.use), FormatRange(range.start, range.end));
  return text;
}

class QemuMemoryMapTest : public testing::TestWithParam<Case> {};

TEST_P(QemuMemoryMapTest, IsQemusOwn) {
  const Answer answer = Ask(GetParam());
  ASSERT_TRUE(answer.started) << CommandOf(GetParam()) << "\n" << answer.text;
  const auto map = MemoryMap(GetParam().layout);
  ASSERT_TRUE(map.ok()) << map.status();
  std::vector<Range> emulated;
  std::copy_if(map->begin(), map->end(), std::back_inserter(emulated),
               [](const Range& range) { return range.use != Use::kStolenTime; });
  EXPECT_EQ(Show(emulated), Show(MapIn(answer.text)));
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, QemuMemoryMapTest,
    testing::Values(Case{"Of64M", {.ram = 64 * kMib}}, Case{"Of128M", {.ram = 128 * kMib}},
                    Case{"Of255M", {.ram = 255 * kMib}}, Case{"Of512M", {.ram = 512 * kMib}},
                    Case{"Of1023M", {.ram = 1023 * kMib}}, Case{"Of1G", {.ram = kGib}},
                    Case{"Of1G8K", {.ram = kGib + 8192}}, Case{"Of1025M", {.ram = 1025 * kMib}},
                    Case{"Of1431M", {.ram = 1431 * kMib}}, Case{"Of2G", {.ram = 2 * kGib}},
                    Case{"Of3G", {.ram = 3 * kGib}}, Case{"Of4G", {.ram = 4 * kGib}},
                    Case{"Of6G", {.ram = 6 * kGib}}, Case{"Of8G", {.ram = 8 * kGib}},
                    Case{"Of16G", {.ram = 16 * kGib}}, Case{"Of31G", {.ram = 31 * kGib}},
                    Case{"Of64G", {.ram = 64 * kGib}}, Case{"Of100G", {.ram = 100 * kGib}},
                    Case{"Of128G", {.ram = 128 * kGib}}, Case{"Of200G", {.ram = 200 * kGib}},
                    Case{"Of254G", {.ram = 254 * kGib}}, Case{"Of255G", {.ram = 255 * kGib}},
                    Case{"Of255G1M", {.ram = 255 * kGib + kMib}},
                    Case{"Of256G", {.ram = 256 * kGib}}, Case{"Of300G", {.ram = 300 * kGib}},
                    Case{"Of384G", {.ram = 384 * kGib}}, Case{"Of510G", {.ram = 510 * kGib}},
                    Case{"Of511G", {.ram = 511 * kGib}}, Case{"Of512G", {.ram = 512 * kGib}},
                    Case{"Of600G", {.ram = 600 * kGib}}, Case{"Of1T", {.ram = 1024 * kGib}},
                    Case{"Of3T", {.ram = 3072 * kGib}}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Options, QemuMemoryMapTest,
    testing::Values(Case{"SlotsAndMore", {.ram = 3 * kGib, .max_ram = 10 * kGib, .slots = 4}},
                    Case{"OneSlot", {.ram = kGib, .max_ram = 2 * kGib, .slots = 1}},
                    Case{"MostSlots", {.ram = kGib, .max_ram = 2 * kGib, .slots = 256}},
                    Case{"MoreByALittle", {.ram = 1500 * kMib, .max_ram = 1501 * kMib, .slots = 2}},
                    Case{"MoreOverTheEdge", {.ram = 254 * kGib, .max_ram = 256 * kGib, .slots = 1}},
                    Case{"MuchMore", {.ram = 4 * kGib, .max_ram = 700 * kGib, .slots = 16}},
                    Case{"LowOnly", {.ram = 2 * kGib, .highmem = false}},
                    Case{"LowOnlyAndFull", {.ram = 3 * kGib, .highmem = false}},
                    Case{"GicV3", {.ram = 4 * kGib}, ",gic-version=3"},
                    Case{"GicV3WithoutIts", {.ram = 4 * kGib}, ",gic-version=3,its=off"},
                    Case{"Smmu", {.ram = 300 * kGib}, ",gic-version=3,iommu=smmuv3"},
                    Case{"Virtualization", {.ram = 8 * kGib}, ",gic-version=3,virtualization=on"},
                    Case{"Secure", {.ram = 8 * kGib}, ",secure=on"},
                    Case{"WithoutAcpi", {.ram = 8 * kGib}, ",acpi=off"}),
    [](const auto& test) { return test.param.name; });

class QemuRefusalTest : public testing::TestWithParam<Case> {};

TEST_P(QemuRefusalTest, IsQemusOwn) {
  const Answer answer = Ask(GetParam());
  EXPECT_FALSE(answer.started);
  EXPECT_NE(answer.text, "");
  EXPECT_TRUE(absl::IsInvalidArgument(MemoryMap(GetParam().layout).status())) << answer.text;
}

INSTANTIATE_TEST_SUITE_P(
    Options, QemuRefusalTest,
    testing::Values(Case{"LessAtMost", {.ram = 2 * kGib, .max_ram = kGib, .slots = 1}},
                    Case{"TooManySlots", {.ram = kGib, .max_ram = 2 * kGib, .slots = 257}},
                    Case{"LowAndTooMuch", {.ram = 4 * kGib, .highmem = false}}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace dp::guest
