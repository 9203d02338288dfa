// SPDX-License-Identifier: Apache-2.0
#include "plugin/ledger/ledger_json.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>

namespace dp::ledger {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// The two shapes of a reservation: a window of a known pod, and one that is only observed.
core::Ledger Small() {
  return {.generation = 41,
          .boot_id = "5e0c8a52-1f0d-4a0e-9f0a-0d5a1c1f2b3c",
          .reservations = {
              {.window = core::Window{.base = 0x09100000, .size = 0x100000},
               .pod = core::PodName{.space = "default", .name = "vm-a"},
               .allocations = {{.resource = "vendor.example/nvme",
                                .holdings = {{.device = "0000:01:00.0",
                                              .group = 7,
                                              .members = "0000:01:00.0 0000:01:00.1",
                                              .reserved = true}}}},
               .started = true},
              {.window = std::nullopt,
               .pod = std::nullopt,
               .allocations = {{.resource = "",
                                .holdings = {{.device = "0000:02:00.0",
                                              .group = 8,
                                              .members = "0000:02:00.0",
                                              .reserved = false}}}}},
          }};
}

constexpr const char* kSmallText =
    R"({"apiVersion":"vfio-doorbell/ledger/v1","checksum":"crc32:15472f91","content":{"bootId":"5e0c8a52-1f0d-4a0e-9f0a-0d5a1c1f2b3c","generation":41,"reservations":[
{"allocations":[{"holdings":[{"device":"0000:01:00.0","group":7,"members":"0000:01:00.0 0000:01:00.1","reserved":true}],"resource":"vendor.example/nvme"}],"pod":{"name":"vm-a","namespace":"default"},"started":true,"window":{"base":"0x09100000","size":"0x00100000"}},
{"allocations":[{"holdings":[{"device":"0000:02:00.0","group":8,"members":"0000:02:00.0","reserved":false}],"resource":""}],"pod":null,"started":false,"window":null}]}}
)";

std::string Message(const absl::StatusOr<core::Ledger>& ledger) {
  return std::string(ledger.status().message());
}

// The text of a document whose checksum fits, whatever its content is.
std::string Sealed(Json document) {
  const std::string content = document["content"].dump();
  document["checksum"] = fmt::format(
      "crc32:{:08x}", crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()));
  return document.dump();
}

TEST(LedgerJsonTest, HasALineForEachReservation) { EXPECT_EQ(Encode(Small()), kSmallText); }

TEST(LedgerJsonTest, EscapesWhatIsNotPrintableAscii) {
  const std::string text =
      Encode({.generation = 0, .boot_id = "a\\\"/\n\x7f\xc3\xa4", .reservations = {}});
  EXPECT_THAT(text, HasSubstr(R"("bootId":"a\\\\\"/\\x0a\\x7f\\xc3\\xa4",)"));
  EXPECT_EQ(Json::parse(text)["content"]["bootId"], R"(a\\"/\x0a\x7f\xc3\xa4)");
}

TEST(LedgerJsonTest, ReadsBackWhatItHasWritten) {
  EXPECT_EQ(Decode(Encode(Small())).value(), Small());
  EXPECT_EQ(Decode(Encode({})).value(), core::Ledger());
}

// Any bytes, but often those that mean something in JSON or to the escapes.
std::string RandomText(std::mt19937& random) {
  constexpr std::string_view kSpecial("\\\"/x0\n\0\x7f\xc3\xa4\xff", 11);
  std::string text;
  for (std::size_t length = random() % 20; length > 0; --length) {
    text += random() % 2 == 0 ? kSpecial[random() % kSpecial.size()]
                              : static_cast<char>(random() & 0xff);
  }
  return text;
}

std::uint64_t RandomAddress(std::mt19937& random) {
  const std::uint64_t address = (std::uint64_t{random()} << 32) | random();
  return address >> (random() % 64);
}

core::Ledger RandomLedger(std::mt19937& random) {
  core::Ledger ledger{
      .generation = RandomAddress(random) >> 11, .boot_id = RandomText(random), .reservations = {}};
  ledger.reservations.resize(random() % 4);
  for (core::Reservation& reservation : ledger.reservations) {
    if (random() % 2 == 0)
      reservation.window = {.base = RandomAddress(random), .size = RandomAddress(random)};
    if (random() % 2 == 0)
      reservation.pod = {.space = RandomText(random), .name = RandomText(random)};
    reservation.started = random() % 2 == 0;
    reservation.allocations.resize(random() % 3);
    for (core::Allocation& allocation : reservation.allocations) {
      allocation.resource = RandomText(random);
      allocation.cdi = random() % 2 == 0;
      allocation.holdings.resize(1 + random() % 3);
      for (core::Holding& holding : allocation.holdings) {
        holding = {.device = RandomText(random),
                   .group = static_cast<std::uint32_t>(random() >> (random() % 32)),
                   .members = RandomText(random),
                   .reserved = random() % 2 == 0};
      }
    }
  }
  return ledger;
}

TEST(LedgerJsonTest, ReadsBackAnyLedger) {
  std::mt19937 random(20261124);  // NOLINT(bugprone-random-generator-seed): the same ones each time
  for (int round = 0; round < 500; ++round) {
    const core::Ledger ledger = RandomLedger(random);
    const std::string text = Encode(ledger);
    const auto read = Decode(text);
    ASSERT_TRUE(read.ok()) << read.status() << '\n' << text;
    ASSERT_EQ(*read, ledger) << text;
    ASSERT_EQ(Json::parse(text)["checksum"], Json::parse(Sealed(Json::parse(text)))["checksum"]);
    ASSERT_TRUE(std::all_of(text.begin(), text.end(), [](char byte) {
      return byte == '\n' || (byte >= 0x20 && byte < 0x7f);
    })) << text;
  }
}

TEST(LedgerJsonTest, IsTheSameLedgerInAnyLayout) {
  EXPECT_EQ(Decode(Json::parse(kSmallText).dump()).value(), Small());
  EXPECT_EQ(Decode(nlohmann::ordered_json::parse(kSmallText).dump(2)).value(), Small());
  EXPECT_EQ(Decode(std::string("\n\t ") + kSmallText + " \n").value(), Small());
}

TEST(LedgerJsonTest, IgnoresWhatItDoesNotKnow) {
  Json document = Json::parse(kSmallText);
  const Json unknown = {{"a", {1.5, -1, nullptr, "\xc3\xa4"}}};
  document["later"] = unknown;
  document["content"]["later"] = unknown;
  Json& reservation = document["content"]["reservations"][0];
  reservation["later"] = unknown;
  reservation["window"]["later"] = unknown;
  reservation["pod"]["later"] = unknown;
  reservation["allocations"][0]["later"] = unknown;
  reservation["allocations"][0]["holdings"][0]["later"] = unknown;
  EXPECT_EQ(Decode(Sealed(document)).value(), Small());
}

TEST(LedgerJsonTest, TellsANewerVersionFromADamagedOne) {
  Json document = Json::parse(kSmallText);
  document["apiVersion"] = "vfio-doorbell/ledger/v2";
  document["content"] = "has another form";
  const auto newer = Decode(document.dump());
  EXPECT_EQ(newer.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Message(newer), "/apiVersion is v2, newer than v1, the newest that this daemon knows");

  for (const char* const version :
       {"vfio-doorbell/v1", "vfio-doorbell/ledger/v", "vfio-doorbell/ledger/v1x",
        "vfio-doorbell/ledger/v-1", "vfio-doorbell/ledger/v4294967296", ""}) {
    document["apiVersion"] = version;
    const auto damaged = Decode(document.dump());
    EXPECT_EQ(damaged.status().code(), absl::StatusCode::kInvalidArgument) << version;
    EXPECT_EQ(Message(damaged), "/apiVersion is not vfio-doorbell/ledger/v and a number");
  }
  document["apiVersion"] = "vfio-doorbell/ledger/v0";
  EXPECT_EQ(Message(Decode(document.dump())), "/apiVersion is a version that never was");
}

TEST(LedgerJsonTest, TellsThatTheChecksumDoesNotFit) {
  Json document = Json::parse(kSmallText);
  document["content"]["reservations"][0]["window"]["base"] = "0x09200000";
  const auto ledger = Decode(document.dump());
  EXPECT_EQ(ledger.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(ledger), HasSubstr("/checksum does not fit /content, which has crc32:"));
}

TEST(LedgerJsonTest, NamesTheFieldThatIsWrong) {
  const struct {
    const char* pointer;
    Json value;
    const char* message;
  } cases[] = {
      {"/content", Json::array(), "/content is no object"},
      {"/content", nullptr, "/content is no object"},
      {"/content/bootId", 7, "/content/bootId is no text"},
      {"/content/bootId", "\\",
       R"(/content/bootId has a backslash that begins neither \\ nor \xhh)"},
      {"/content/bootId", "\\x1",
       R"(/content/bootId has a backslash that begins neither \\ nor \xhh)"},
      {"/content/bootId", "\\x-1",
       R"(/content/bootId has a backslash that begins neither \\ nor \xhh)"},
      {"/content/bootId", "\\n12",
       R"(/content/bootId has a backslash that begins neither \\ nor \xhh)"},
      {"/content/generation", "41",
       "/content/generation is no whole number from 0 to 9007199254740991"},
      {"/content/generation", 9007199254740992,
       "/content/generation is no whole number from 0 to 9007199254740991"},
      {"/content/reservations", Json::object(), "/content/reservations is no array"},
      {"/content/reservations/1", 7, "/content/reservations/1 is no object"},
      {"/content/reservations/0/window", "0x09000000 0x00100000",
       "/content/reservations/0/window is no object"},
      {"/content/reservations/0/window/base", 0x9000000,
       "/content/reservations/0/window/base is no text of the form \"0x09000000\", of 64 bits at "
       "most"},
      {"/content/reservations/0/window/size", "00100000",
       "/content/reservations/0/window/size is no text of the form \"0x09000000\", of 64 bits at "
       "most"},
      {"/content/reservations/0/window/size", "0x10000000000000000",
       "/content/reservations/0/window/size is no text of the form \"0x09000000\", of 64 bits at "
       "most"},
      {"/content/reservations/0/pod/name", nullptr, "/content/reservations/0/pod/name is no text"},
      {"/content/reservations/0/allocations/0/holdings", Json::array(),
       "/content/reservations/0/allocations/0/holdings is empty"},
      {"/content/reservations/0/allocations/0/holdings/0/group", 4294967296,
       "/content/reservations/0/allocations/0/holdings/0/group is no whole number from 0 to "
       "4294967295"},
      {"/content/reservations/0/allocations/0/holdings/0/group", -1,
       "/content/reservations/0/allocations/0/holdings/0/group is no whole number from 0 to "
       "4294967295"},
      {"/content/reservations/0/allocations/0/holdings/0/group", 7.0,
       "/content/reservations/0/allocations/0/holdings/0/group is no whole number from 0 to "
       "4294967295"},
      {"/content/reservations/0/allocations/0/holdings/0/reserved", 1,
       "/content/reservations/0/allocations/0/holdings/0/reserved is neither true nor false"},
  };
  for (const auto& wrong : cases) {
    Json document = Json::parse(kSmallText);
    document[Json::json_pointer(wrong.pointer)] = wrong.value;
    const auto ledger = Decode(Sealed(document));
    EXPECT_EQ(ledger.status().code(), absl::StatusCode::kInvalidArgument) << wrong.message;
    EXPECT_EQ(Message(ledger), wrong.message);
  }
}

// Takes each field of each object out in turn.
void ExpectEachFieldIsMissed(const Json& whole, const Json::json_pointer& place, int& count) {
  if (whole[place].is_array() && !whole[place].empty()) {
    ExpectEachFieldIsMissed(whole, place / 0, count);
  }
  if (!whole[place].is_object()) return;
  for (const auto& [name, value] : whole[place].items()) {
    if (name == "generation") continue;  // CountsFromZeroWhereNobodyHasCounted
    Json document = whole;
    document[place].erase(name);
    const bool is_sealed = document.contains("checksum") && document.contains("content");
    const auto ledger = Decode(is_sealed ? Sealed(document) : document.dump());
    EXPECT_EQ(ledger.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(Message(ledger), (place / name).to_string() + " is missing");
    ++count;
    ExpectEachFieldIsMissed(whole, place / name, count);
  }
}

TEST(LedgerJsonTest, NamesTheFieldThatIsMissing) {
  int count = 0;
  ExpectEachFieldIsMissed(Json::parse(kSmallText), Json::json_pointer(), count);
  EXPECT_EQ(count, 19);
}

TEST(LedgerJsonTest, CountsFromZeroWhereNobodyHasCounted) {
  Json document = Json::parse(kSmallText);
  document["content"].erase("generation");
  core::Ledger expected = Small();
  expected.generation = 0;
  EXPECT_EQ(Decode(Sealed(document)).value(), expected);
}

TEST(LedgerJsonTest, RefusesWhatIsNoDocument) {
  for (const auto& [text, message] : std::initializer_list<std::pair<std::string, const char*>>{
           {"", "it is no JSON from byte 1 on"},
           {std::string(1000, '\0'), "it is no JSON from byte 1 on"},
           {"{} {}", "it is no JSON from byte 4 on"},
           {"{\"apiVersion\": \"\xff\"}", "it is no JSON from byte 17 on"},
           {"[]", "it is no object"},
           {"null", "it is no object"},
           {"1e999", "it has a number that is out of range"},
           {"{}", "/apiVersion is missing"},
           {std::string(kMaxBytes + 1, ' '), "it has 16777217 bytes, more than 16777216"}}) {
    const auto ledger = Decode(text);
    EXPECT_EQ(ledger.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(Message(ledger), message);
  }
}

std::string Repeated(std::string_view text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

TEST(LedgerJsonTest, SurvivesAnyDepth) {
  for (const std::string_view open : {"[", "{\"a\":", "[\"\\\"\",{\"a\":["}) {
    EXPECT_EQ(Message(Decode(Repeated(open, kMaxBytes / open.size()))),
              "it is nested more than 32 deep");
  }
  // Not if it is in a text.
  EXPECT_EQ(Message(Decode("\"\\\"" + Repeated("[", 100) + '"')), "it is no object");
  // Within something that would be ignored.
  Json document = Json::parse(kSmallText);
  document["content"]["later"] = Json::parse(Repeated("[", 30) + Repeated("]", 30));
  EXPECT_EQ(Decode(Sealed(document)).value(), Small());
  document["content"]["later"] = Json::parse(Repeated("[", 40) + Repeated("]", 40));
  EXPECT_EQ(Message(Decode(Sealed(document))), "it is nested more than 32 deep");
}

TEST(LedgerJsonTest, NoticesThatItsEndIsMissing) {
  const std::string text = Encode(Small());
  for (std::size_t length = 0; length + 1 < text.size(); ++length) {
    const auto ledger = Decode(std::string_view(text).substr(0, length));
    ASSERT_EQ(ledger.status().code(), absl::StatusCode::kInvalidArgument) << length;
  }
  // Only the newline is missing.
  EXPECT_EQ(Decode(std::string_view(text).substr(0, text.size() - 1)).value(), Small());
}

TEST(LedgerJsonTest, NoticesEachBitThatHasFlipped) {
  const std::string text = Encode(Small());
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    std::string damaged = text;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    const auto ledger = Decode(damaged);
    ASSERT_FALSE(ledger.ok()) << "bit " << bit << '\n' << damaged;
  }
}

TEST(LedgerJsonTest, NoticesPagesThatWereNotWritten) {
  core::Ledger large = Small();
  while (Encode(large).size() < 65536) {
    large.reservations.push_back(large.reservations.front());
    large.reservations.back().pod->name = fmt::format("vm-{}", large.reservations.size());
  }
  const std::string text = Encode(large);
  for (std::size_t page = 0; page < text.size(); page += 4096) {
    std::string damaged = text;
    damaged.replace(page, std::min<std::size_t>(4096, text.size() - page), 4096, '\0');
    EXPECT_FALSE(Decode(damaged).ok());
  }
}

// Not a validator of the whole language, but of what the schema uses. Stricter in one thing: a
// field that the schema does not have is refused.
void ExpectFits(const Json& root, const Json& schema, const Json& value) {
  if (schema.contains("$ref")) {
    const std::string pointer = schema["$ref"].get<std::string>().substr(1);
    ExpectFits(root, root[Json::json_pointer(pointer)], value);
  }
  if (schema.contains("const")) {
    EXPECT_EQ(value, schema["const"]);
  }
  if (schema.contains("pattern")) {
    EXPECT_THAT(value.get<std::string>(), MatchesRegex(schema["pattern"].get<std::string>()));
  }
  if (schema.contains("type")) {
    const std::string type = value.is_number_integer() ? "integer" : value.type_name();
    const Json& types = schema["type"];
    EXPECT_NE(std::find(types.begin(), types.end(), type), types.end())
        << value << " is no " << types;
  }
  if (value.is_array()) {
    EXPECT_GE(value.size(), schema.value("minItems", 0u));
    for (const Json& item : value) ExpectFits(root, schema["items"], item);
  }
  if (value.is_object() && !schema.contains("$ref")) {
    for (const auto& name : schema["required"]) EXPECT_TRUE(value.contains(name)) << name;
    for (const auto& [name, field] : value.items()) {
      ASSERT_TRUE(schema["properties"].contains(name)) << name;
      ExpectFits(root, schema["properties"][name], field);
    }
  }
}

TEST(LedgerJsonTest, KeepsToTheSchema) {
  std::ifstream file("api/ledger/v1.schema.json");
  const Json schema = Json::parse(file);
  ExpectFits(schema, schema, Json::parse(Encode(Small())));
  ExpectFits(schema, schema, Json::parse(Encode({})));
  core::Ledger widest = Small();
  widest.reservations[0].window = {.base = std::numeric_limits<std::uint64_t>::max(), .size = 0};
  widest.reservations[0].allocations[0].holdings[0].group =
      std::numeric_limits<std::uint32_t>::max();
  ExpectFits(schema, schema, Json::parse(Encode(widest)));
}

}  // namespace
}  // namespace dp::ledger
