// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/status_board.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace dp::core {
namespace {

NodeStatus With(DeviceState state, std::int64_t since_ms = 0) {
  NodeStatus status;
  DeviceStatus device;
  device.id = "0000:01:00.0";
  device.state = state;
  device.since_ms = since_ms;
  status.devices.push_back(device);
  return status;
}

std::int64_t Since(const StatusBoard& board) { return board.status().devices.at(0).since_ms; }

TEST(StatusBoardTest, KnowsSinceWhen) {
  StatusBoard board;
  board.Update(With(DeviceState::kFree), 100);
  board.Update(With(DeviceState::kFree), 200);
  EXPECT_EQ(Since(board), 100);
  board.Update(With(DeviceState::kUnhealthy), 300);
  EXPECT_EQ(Since(board), 300);
  board.Update(With(DeviceState::kAllocated, 250), 400);
  EXPECT_EQ(Since(board), 250) << "the ledger knows better";
}

TEST(StatusBoardTest, CountsChangesAndNothingElse) {
  StatusBoard board;
  board.Update(With(DeviceState::kFree), 100);
  const std::uint64_t revision = board.revision();
  board.Update(With(DeviceState::kFree), 200);
  EXPECT_EQ(board.revision(), revision);
  board.Update(With(DeviceState::kStarted), 200);
  EXPECT_EQ(board.revision(), revision + 1);
  board.Note({.reason = base::Reason::kGroupBusy});
  EXPECT_EQ(board.revision(), revision + 2);
}

TEST(StatusBoardTest, KeepsTheLastOccurrencesWithTheirNumbers) {
  StatusBoard board;
  for (std::size_t i = 0; i < StatusBoard::kOccurrences + 3; ++i) {
    board.Note({.time_ms = static_cast<std::int64_t>(i), .reason = base::Reason::kGroupBusy});
  }
  ASSERT_EQ(board.occurrences().size(), StatusBoard::kOccurrences);
  EXPECT_EQ(board.occurrences().front().sequence, 4U);
  EXPECT_EQ(board.occurrences().back().sequence, StatusBoard::kOccurrences + 3);
}

TEST(StatusBoardTest, RemembersWhatWentWrongLastWithADevice) {
  StatusBoard board;
  const Occurrence busy{.time_ms = 7,
                        .warning = true,
                        .reason = base::Reason::kGroupBusy,
                        .message = "held",
                        .device = "0000:01:00.0"};
  board.Note(busy);
  Occurrence gone = busy;
  gone.device = "0000:02:00.0";
  board.Note(gone);
  board.Note({.reason = base::Reason::kWindowReserved, .device = "0000:01:00.0"});
  board.Update(With(DeviceState::kFree), 100);
  const std::optional<Failure>& failure = board.status().devices.at(0).last_failure;
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->reason, base::Reason::kGroupBusy);
  EXPECT_EQ(failure->message, "held");
  EXPECT_EQ(failure->time_ms, 7);
}

}  // namespace
}  // namespace dp::core
