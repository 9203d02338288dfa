// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/fakes/node_states.h"

namespace dp::status {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

TEST(TokenBucketTest, RefillsOneByOne) {
  const TokenBucket::Clock::time_point start;
  TokenBucket bucket(2, seconds(300), start);
  bucket.Take(start);
  bucket.Take(start);
  EXPECT_EQ(bucket.Wait(start), seconds(300));
  EXPECT_EQ(bucket.Wait(start + seconds(299)), seconds(1));
  EXPECT_EQ(bucket.Wait(start + seconds(300)), milliseconds(0));
  EXPECT_FALSE(bucket.IsFull(start + seconds(599)));
  EXPECT_TRUE(bucket.IsFull(start + seconds(600)));
  EXPECT_EQ(bucket.Level(start + seconds(6000)), 2);
}

class EventQueueTest : public ::testing::Test {
 protected:
  [[nodiscard]] EventQueue::Now Now() const {
    return {.steady = std::chrono::steady_clock::time_point(now_), .wall = fakes::TimeAt(0) + now_};
  }
  void Take(Occurrence occurrence) {
    occurrence.time += now_;
    queue_.Take(occurrence, Now());
  }
  // Everything that may be written is, as the note and the count.
  std::vector<std::string> Write() {
    std::vector<std::string> written;
    for (const std::uint64_t id : queue_.Due(Now())) {
      written.push_back(queue_.at(id).note + " x" + std::to_string(queue_.at(id).count));
      queue_.Sent(id, Now());
    }
    queue_.Tidy(Now());
    return written;
  }

  EventQueue queue_{"node-a"};
  seconds now_{0};
};

TEST_F(EventQueueTest, IsAnEventOfItsPodOrOfTheNode) {
  Take(fakes::OccurrenceAt(1, "lost"));
  Take(fakes::PodOccurrenceAt(2, "vm", "reserved"));
  const auto due = queue_.Due(Now());
  ASSERT_THAT(due, SizeIs(2));
  EXPECT_EQ(EventsPath(queue_.at(due[0])), "/apis/events.k8s.io/v1/namespaces/default/events");
  const Json node = EventObject(queue_.at(due[0]), "node-a", "uid-1");
  EXPECT_EQ(node["regarding"],
            (Json{{"apiVersion", "v1"}, {"kind", "Node"}, {"name", "node-a"}, {"uid", "uid-1"}}));
  EXPECT_EQ(node["type"], "Warning");
  EXPECT_EQ(node["reason"], "DeviceLost");
  EXPECT_EQ(node["note"], "lost");
  EXPECT_EQ(node["reportingInstance"], "node-a");
  EXPECT_EQ(node["eventTime"], "2026-11-26T12:00:00.000000Z");
  EXPECT_FALSE(node.contains("series"));
  EXPECT_EQ(EventsPath(queue_.at(due[1])), "/apis/events.k8s.io/v1/namespaces/vms/events");
  const Json pod = EventObject(queue_.at(due[1]), "node-a", "");
  EXPECT_EQ(pod["regarding"],
            (Json{{"apiVersion", "v1"}, {"kind", "Pod"}, {"name", "vm"}, {"namespace", "vms"}}));
  EXPECT_EQ(pod["type"], "Normal");
  EXPECT_EQ(pod["metadata"]["namespace"], "vms");
}

TEST_F(EventQueueTest, TakesWhatCannotBeAPodForTheNodes) {
  Take(fakes::PodOccurrenceAt(1, "../../secrets", "x"));
  EXPECT_EQ(EventsPath(queue_.at(0)), "/apis/events.k8s.io/v1/namespaces/default/events");
  EXPECT_FALSE(queue_.at(0).of_pod);
}

TEST_F(EventQueueTest, StaysWithinWhatTheApiServerTakes) {
  EventQueue queue(std::string(253, 'n'));
  Occurrence occurrence = fakes::PodOccurrenceAt(~0ULL, std::string(253, 'p'), "");
  occurrence.message = std::string(5000, '\xff');
  occurrence.reason = std::string(5000, 'r');
  queue.Take(occurrence, Now());
  const Json event = EventObject(queue.at(0), std::string(253, 'n'), "");
  EXPECT_LE(event["note"].get<std::string>().size(), 1024U);
  EXPECT_LE(event["reason"].get<std::string>().size(), 128U);
  EXPECT_LE(event["reportingInstance"].get<std::string>().size(), 128U);
  EXPECT_LE(event["metadata"]["name"].get<std::string>().size(), 253U);
}

TEST_F(EventQueueTest, TakesEachOccurrenceOnce) {
  for (int i = 0; i < 3; ++i) Take(fakes::OccurrenceAt(1, "lost"));
  EXPECT_THAT(Write(), ElementsAre("lost x1"));
  for (int i = 0; i < 3; ++i) Take(fakes::OccurrenceAt(1, "lost"));
  EXPECT_THAT(Write(), IsEmpty());
}

TEST_F(EventQueueTest, BeginsAnewWithTheDaemon) {
  Take(fakes::OccurrenceAt(7, "lost"));
  EXPECT_THAT(Write(), ElementsAre("lost x1"));
  Occurrence other = fakes::OccurrenceAt(1, "lost");
  other.daemon_started = fakes::TimeAt(-1);
  Take(other);
  EXPECT_THAT(Write(), ElementsAre("lost x2"));
  // Also if the clock was put back in between.
  other.daemon_started = fakes::TimeAt(-100000);
  Take(other);
  EXPECT_THAT(Write(), ElementsAre("lost x3"));
}

TEST_F(EventQueueTest, CountsWhatSaysTheSame) {
  Take(fakes::OccurrenceAt(1, "lost"));
  Write();
  now_ = seconds(10);
  Take(fakes::OccurrenceAt(2, "lost"));
  Take(fakes::OccurrenceAt(3, "lost"));
  EXPECT_EQ(SeriesPatch(queue_.at(0)),
            Json::array({{{"op", "add"},
                          {"path", "/series"},
                          {"value",
                           {{"count", 3}, {"lastObservedTime", "2026-11-26T12:00:10.000000Z"}}}}}));
  EXPECT_THAT(Write(), ElementsAre("lost x3"));
}

TEST_F(EventQueueTest, CombinesWhatDiffersInItsNoteOnly) {
  for (std::uint64_t i = 1; i <= 20; ++i) Take(fakes::OccurrenceAt(i, "n" + std::to_string(i)));
  const auto written = Write();
  ASSERT_THAT(written, SizeIs(10));
  EXPECT_EQ(written[8], "n9 x1");
  EXPECT_EQ(written[9], "(combined from similar events): n10 x11");
  // Ten quiet minutes later they are new.
  now_ = seconds(601);
  Take(fakes::OccurrenceAt(21, "n21"));
  EXPECT_THAT(Write(), ElementsAre("n21 x1"));
}

TEST_F(EventQueueTest, LetsAnObjectHave25AndThenOneEachFiveMinutes) {
  std::uint64_t sequence = 0;
  std::vector<std::string> written;
  for (int i = 0; i < 40; ++i) {
    Take(fakes::OccurrenceAt(++sequence, "lost"));
    for (const std::string& each : Write()) written.push_back(each);
  }
  EXPECT_THAT(written, SizeIs(25));
  // Others are not held up by it.
  Take(fakes::PodOccurrenceAt(++sequence, "vm", "reserved"));
  EXPECT_THAT(Write(), ElementsAre("reserved x1"));
  EXPECT_EQ(queue_.Wait(Now()), seconds(300));
  now_ = seconds(299);
  EXPECT_THAT(Write(), IsEmpty());
  now_ = seconds(300);
  EXPECT_THAT(Write(), ElementsAre("lost x40"));
  EXPECT_EQ(queue_.Wait(Now()), std::nullopt);
  EXPECT_EQ(queue_.dropped(), 0U);
}

TEST_F(EventQueueTest, DropsAfterAnHourWhatWasTooMuch) {
  for (std::uint64_t i = 1; i <= 30; ++i) {
    Occurrence occurrence = fakes::OccurrenceAt(i, "m");
    occurrence.reason = "reason" + std::string(i, 'a');
    Take(occurrence);
  }
  EXPECT_THAT(Write(), SizeIs(25));
  EXPECT_EQ(queue_.told(), Told());
  now_ = seconds(3601);
  queue_.Tidy(Now());
  EXPECT_EQ(queue_.dropped(), 5U);
  EXPECT_EQ(queue_.Wait(Now()), std::nullopt);
  EXPECT_EQ(queue_.told().sequence, 30U);
}

TEST_F(EventQueueTest, ForgetsWhatHappenedLongBeforeItStarted) {
  now_ = seconds(4000);
  queue_.Take(fakes::OccurrenceAt(1, "old"), Now());
  EXPECT_THAT(Write(), IsEmpty());
  EXPECT_EQ(queue_.told().sequence, 1U);
}

TEST_F(EventQueueTest, GoesOnWhereAnotherEnded) {
  Take(fakes::OccurrenceAt(1, "a"));
  Write();
  const Told told = queue_.told();
  EXPECT_EQ(told.sequence, 1U);
  EventQueue next("node-a");
  next.Resume(told);
  next.Take(fakes::OccurrenceAt(1, "a"), Now());
  EXPECT_THAT(next.Due(Now()), IsEmpty());
  next.Take(fakes::OccurrenceAt(2, "b"), Now());
  EXPECT_THAT(next.Due(Now()), SizeIs(1));
}

TEST_F(EventQueueTest, GivesTheSameEventTheSameName) {
  Take(fakes::OccurrenceAt(10, "a"));
  EventQueue other("node-a");
  other.Take(fakes::OccurrenceAt(10, "a"), Now());
  EXPECT_EQ(queue_.at(0).name, other.at(0).name);
  EXPECT_THAT(queue_.at(0).name, StartsWith("node-a."));
  Take(fakes::OccurrenceAt(11, "b"));
  EXPECT_NE(queue_.at(0).name, queue_.at(1).name);
}

TEST_F(EventQueueTest, GivesUpWhatIsRefused) {
  Take(fakes::OccurrenceAt(1, "a"));
  Take(fakes::OccurrenceAt(2, "b"));
  EXPECT_FALSE(queue_.Refused(0, /*for_good=*/true));
  EXPECT_EQ(queue_.dropped(), 1U);
  for (int i = 1; i < EventQueue::kMostRefusals; ++i) EXPECT_TRUE(queue_.Refused(1, false)) << i;
  EXPECT_FALSE(queue_.Refused(1, false));
  EXPECT_EQ(queue_.dropped(), 2U);
  EXPECT_THAT(queue_.Due(Now()), IsEmpty());
}

TEST_F(EventQueueTest, NeedsNoMoreMemoryForMore) {
  for (std::uint64_t i = 1; i <= 5000; ++i) {
    Take(fakes::PodOccurrenceAt(i, "vm" + std::to_string(i), "reserved"));
  }
  EXPECT_THAT(queue_.Due(Now()), SizeIs(EventQueue::kMostSeries));
  EXPECT_EQ(queue_.dropped(), 5000 - EventQueue::kMostSeries);
}

}  // namespace
}  // namespace dp::status
