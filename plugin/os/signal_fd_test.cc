// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/signal_fd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <vector>

namespace dp::os {
namespace {

using ::testing::UnorderedElementsAre;

TEST(SignalFdTest, SignalsArriveOnTheLoopAndDoNotEndTheProcess) {
  const std::unique_ptr<EventLoop> loop = *EventLoop::Create();
  loop->CallAfter(std::chrono::seconds(20), [&] {
    ADD_FAILURE() << "the signals did not come within 20 s";
    loop->Stop();
  });
  std::vector<int> received;
  const auto signals = SignalFd::Create(*loop, {SIGUSR1, SIGTERM}, [&](int signal) {
    received.push_back(signal);
    if (received.size() == 2) loop->Stop();
  });
  ASSERT_TRUE(signals.ok()) << signals.status();
  ASSERT_EQ(::raise(SIGUSR1), 0);
  ASSERT_EQ(::raise(SIGTERM), 0);
  loop->Run();
  EXPECT_THAT(received, UnorderedElementsAre(SIGUSR1, SIGTERM));
}

TEST(SignalFdTest, HandlerMayDestroyIt) {
  const std::unique_ptr<EventLoop> loop = *EventLoop::Create();
  std::unique_ptr<SignalFd> signals;
  signals = *SignalFd::Create(*loop, {SIGUSR2}, [&](int) {
    signals.reset();
    loop->Stop();
  });
  ASSERT_EQ(::raise(SIGUSR2), 0);
  loop->Run();
  EXPECT_EQ(signals, nullptr);
}

}  // namespace
}  // namespace dp::os
