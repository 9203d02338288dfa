// SPDX-License-Identifier: Apache-2.0
#include "plugin/ledger/driver_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fakes/temporary_folder.h"

namespace dp::ledger {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class DriverFileTest : public testing::Test {
 protected:
  void Write(const std::string& text) const { std::ofstream(path_) << text; }
  [[nodiscard]] std::string Text() const {
    std::ifstream in(path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  fakes::TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/drivers.json";
  DriverFile file_{folder_.path()};
  const core::DriverRecord record_{
      .boot_id = "this-boot",
      .former = {{.address = "0000:01:00.0", .driver = "nvme", .driver_override = ""},
                 {.address = "0000:01:00.1", .driver = "", .driver_override = "a \"name\"\n"}}};
};

TEST_F(DriverFileTest, ReadsWhatItHasWritten) {
  EXPECT_TRUE(absl::IsNotFound(file_.Load().status()));
  ASSERT_EQ(file_.Save(record_), absl::OkStatus());
  const auto record = file_.Load();
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(*record, record_);
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

// The shape that docs/ledger.md describes.
TEST_F(DriverFileTest, ReadsTheDocumentedShapeAndIgnoresMore) {
  Write(R"({"apiVersion": "vfio-doorbell/drivers/v1", "bootId": "b", "more": 1, "functions": [
    {"address": "0000:01:00.0", "driver": "nvme", "driverOverride": "", "more": []}]})");
  const auto record = file_.Load();
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->former.size(), 1U);
}

TEST_F(DriverFileTest, WhatItCannotReadIsSetAside) {
  ASSERT_EQ(file_.Save(record_), absl::OkStatus());
  const std::string sound = Text();
  for (const std::string& text :
       {sound.substr(0, sound.size() / 2), std::string(), std::string("[]"),
        std::string(R"({"apiVersion": "vfio-doorbell/drivers/v2"})"),
        std::string(R"({"apiVersion": "vfio-doorbell/drivers/v1", "bootId": 3, "functions": []})"),
        std::string(
            R"({"apiVersion": "vfio-doorbell/drivers/v1", "bootId": "", "functions": [3]})"),
        std::string(2 << 20, ' ')}) {
    Write(text);
    const auto record = file_.Load();
    ASSERT_TRUE(absl::IsDataLoss(record.status())) << text.substr(0, 99) << record.status();
    EXPECT_THAT(std::string(record.status().message()),
                AllOf(HasSubstr(path_), HasSubstr("set aside as " + path_ + ".unreadable-")));
    EXPECT_FALSE(std::filesystem::exists(path_));
  }
}

// As during an update: what the older daemon knows is out of date.
TEST_F(DriverFileTest, IsNotWrittenOverByAnOlderDaemon) {
  ASSERT_EQ(file_.Save(record_), absl::OkStatus());
  DriverFile younger(folder_.path());
  ASSERT_TRUE(younger.Load().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(file_.Save({.boot_id = "", .former = {}})));
  const auto record = younger.Load();
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(*record, record_);
}

TEST_F(DriverFileTest, AFolderIsLeftAsItIs) {
  std::filesystem::create_directory(path_);
  EXPECT_TRUE(absl::IsFailedPrecondition(file_.Load().status()));
  EXPECT_FALSE(file_.Save(record_).ok());
  EXPECT_TRUE(std::filesystem::is_directory(path_));
}

}  // namespace
}  // namespace dp::ledger
