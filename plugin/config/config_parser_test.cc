// SPDX-License-Identifier: Apache-2.0
#include "plugin/config/config_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/config/config_keys.h"
#include "plugin/yaml/document.h"

namespace dp::config {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAreArray;

std::string ReadAll(const std::string& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in.is_open()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

core::Config ParseFile(const std::string& path) {
  auto config = ParseConfig(ReadAll(path), path);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *std::move(config) : core::Config{};
}

std::string Good(const std::string& name) { return "tests/testdata/config/good/" + name; }

TEST(ParseConfigTest, WhatIsNotGivenHasItsDefault) {
  const core::Config config = ParseFile(Good("minimal.yaml"));
  EXPECT_EQ(config.mode, core::Mode::kEnforce);
  EXPECT_EQ(config.pool.start, 0x09100000U);
  EXPECT_EQ(config.pool.end, 0x10000000U);
  EXPECT_EQ(config.pool.window_size, 0x100000U);
  ASSERT_THAT(config.resources, SizeIs(1));
  EXPECT_EQ(config.resources[0].name, "vendor.example/nvme");
  EXPECT_EQ(config.resources[0].line, 3);
  ASSERT_THAT(config.resources[0].selectors, SizeIs(1));
  const core::Selector& selector = config.resources[0].selectors[0];
  EXPECT_EQ(selector.line, 4);
  EXPECT_EQ(selector.class_prefix, 0x0108U);
  EXPECT_EQ(selector.class_bytes, 2);
  EXPECT_EQ(selector.vendor, std::nullopt);
  EXPECT_EQ(selector.device, std::nullopt);
  EXPECT_EQ(selector.subsystem_vendor, std::nullopt);
  EXPECT_EQ(selector.subsystem_device, std::nullopt);
  EXPECT_EQ(selector.driver, std::nullopt);
  EXPECT_EQ(selector.numa_node, std::nullopt);
  EXPECT_THAT(selector.addresses, IsEmpty());
}

TEST(ParseConfigTest, ReadsWhatTheExampleShows) {
  const core::Config config = ParseFile("api/config/example.yaml");
  EXPECT_EQ(config.mode, core::Mode::kEnforce);
  EXPECT_EQ(config.pool.window_size, 0x100000U);
  ASSERT_THAT(config.resources, SizeIs(3));
  ASSERT_THAT(config.resources[0].selectors, SizeIs(2));
  EXPECT_EQ(config.resources[0].selectors[0].vendor, 0x1b36);
  EXPECT_EQ(config.resources[0].selectors[0].device, 0x0010);
  EXPECT_FALSE(config.resources[0].selectors[0].bind);
  EXPECT_EQ(config.resources[0].selectors[1].class_prefix, 0x010802U);
  EXPECT_EQ(config.resources[0].selectors[1].class_bytes, 3);
  EXPECT_EQ(config.resources[0].selectors[1].subsystem_vendor, 0x144d);
  EXPECT_EQ(config.resources[0].selectors[1].subsystem_device, 0xa801);
  EXPECT_EQ(config.resources[1].name, "vendor.example/nic");
  ASSERT_THAT(config.resources[1].selectors, SizeIs(1));
  EXPECT_TRUE(config.resources[1].selectors[0].bind);
  EXPECT_FALSE(config.resources[1].observe);
  EXPECT_EQ(config.resources[2].name, "vendor.example/gpu");
  EXPECT_TRUE(config.resources[2].observe);
  ASSERT_THAT(config.resources[2].selectors, SizeIs(1));
  const core::Selector& gpu = config.resources[2].selectors[0];
  EXPECT_EQ(gpu.class_prefix, 0x03U);
  EXPECT_EQ(gpu.class_bytes, 1);
  EXPECT_EQ(gpu.driver, "vfio-pci");
  EXPECT_EQ(gpu.numa_node, 0);
  EXPECT_THAT(gpu.addresses, ElementsAre("0000:3b:00.0", "0000:5e:00.*"));
}

TEST(ParseConfigTest, TakesTheTextAndNotWhatYamlMakesOfIt) {
  const core::Config config = ParseFile(Good("yaml-pitfalls.yaml"));
  EXPECT_EQ(config.mode, core::Mode::kObserve);
  EXPECT_EQ(config.pool.start, 0x09100000U);
  EXPECT_EQ(config.pool.end, 0x10000000U);
  EXPECT_EQ(config.pool.window_size, 0x200000U);
  ASSERT_THAT(config.resources, SizeIs(1));
  ASSERT_THAT(config.resources[0].selectors, SizeIs(2));
  const core::Selector& selector = config.resources[0].selectors[0];
  EXPECT_EQ(selector.vendor, 0x1e10);
  EXPECT_EQ(selector.device, 0x0010);
  EXPECT_EQ(selector.class_prefix, 0x02U);
  EXPECT_EQ(selector.driver, "no");
  EXPECT_EQ(config.resources[0].selectors[1].vendor, 0x1b36);
}

TEST(ParseConfigTest, UnprovenPoolIsAcceptedIfAskedFor) {
  const core::Config config = ParseFile(Good("unproven-pool.yaml"));
  EXPECT_EQ(config.pool.start, 0x4000000000U);
  EXPECT_EQ(config.pool.end, 0x4010000000U);
}

TEST(ParseConfigTest, ReportIsBounded) {
  std::string text = "version: v1\nresources:\n";
  for (int i = 0; i < 10000; ++i) text += "  - x\n";
  const auto config = ParseConfig(text, "f");
  const std::string message(config.status().message());
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 20);
  EXPECT_TRUE(message.ends_with("\nand more")) << message;
}

class BadConfigTest : public testing::TestWithParam<std::filesystem::path> {};

// The first lines of each file say what is expected: "# expect: LINE: KEY.PATH: REASON", one for
// each line of the message.
TEST_P(BadConfigTest, IsRefusedWithFileLineKeyAndReason) {
  const std::string path = GetParam().string();
  std::string expected;
  std::ifstream in(path);
  constexpr std::string_view kMark = "# expect: ";
  for (std::string line; std::getline(in, line) && line.starts_with(kMark);) {
    expected += (expected.empty() ? "" : "\n") + path + ":" + line.substr(kMark.size());
  }
  ASSERT_NE(expected, "") << path << " does not say what is expected";
  const auto config = ParseConfig(ReadAll(path), path);
  ASSERT_FALSE(config.ok()) << "was accepted";
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(config.status().message()), expected);
}

std::vector<std::filesystem::path> BadFiles() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator("tests/testdata/config/bad"))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

INSTANTIATE_TEST_SUITE_P(EveryFile, BadConfigTest, testing::ValuesIn(BadFiles()),
                         [](const auto& test) {
                           std::string name = test.param.stem().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// --- The schema and the parser must know the same keys, and require the same ones.

class ConfigSchemaTest : public testing::Test {
 protected:
  ConfigSchemaTest() {
    // JSON is YAML.
    const auto error = yaml::Parse(ReadAll("api/config/v1.schema.json"), 16, schema_);
    if (error) ADD_FAILURE() << "line " << error->line << ": " << error->reason;
  }

  [[nodiscard]] const yaml::Element& Definition(std::string_view name) const {
    return name.empty() ? schema_ : Member(Member(schema_, "$defs"), name);
  }
  static const yaml::Element& Member(const yaml::Element& node, std::string_view key) {
    static const yaml::Element kNothing;
    const yaml::Element* const member = node.Find(key);
    EXPECT_NE(member, nullptr) << "the schema lacks " << key;
    return member == nullptr ? kNothing : *member;
  }
  static std::vector<std::string> Keys(const yaml::Element& mapping) {
    std::vector<std::string> keys;
    for (const yaml::Element::Entry& entry : mapping.entries) keys.push_back(entry.key);
    return keys;
  }

  yaml::Element schema_;
};

TEST_F(ConfigSchemaTest, KnowsTheKeysOfTheParser) {
  const std::pair<std::string_view, std::span<const std::string_view>> mappings[] = {
      {"", kConfigKeys},
      {"window", kWindowKeys},
      {"pool", kPoolKeys},
      {"resource", kResourceKeys},
      {"selector", kSelectorKeys}};
  for (const auto& [name, keys] : mappings) {
    const yaml::Element& definition = Definition(name);
    EXPECT_THAT(Keys(Member(definition, "properties")), UnorderedElementsAreArray(keys)) << name;
    EXPECT_EQ(Member(definition, "additionalProperties").text, "false") << name;
  }
}

// For each key that the schema requires, the parser misses it.
TEST_F(ConfigSchemaTest, RequiresWhatTheParserRequires) {
  const std::pair<std::string_view, std::string_view> mappings[] = {
      {"", "{}"},
      {"pool",
       "{version: v1, window: {pool: {}}, resources: [{name: a.b/c, selectors: [{class: "
       "\"01\"}]}]}"},
      {"resource", "{version: v1, resources: [{}]}"}};
  for (const auto& [name, text] : mappings) {
    const std::string message(ParseConfig(text, "f").status().message());
    const yaml::Element& required = Member(Definition(name), "required");
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n') + 1,
              static_cast<std::ptrdiff_t>(required.items.size()))
        << message;
    for (const yaml::Element& key : required.items) {
      EXPECT_THAT(message, testing::HasSubstr(key.text + ": is missing"));
    }
  }
}

}  // namespace
}  // namespace dp::config
