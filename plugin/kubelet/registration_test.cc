// SPDX-License-Identifier: Apache-2.0
#include "plugin/kubelet/registration.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>

#include "plugin/base/log.h"
#include "tests/fakes/loop_thread.h"
#include "tests/fakes/temporary_folder.h"

// What it says of a kubelet that is not there. How it registers with one that is, endpoint_test.cc
// has.

namespace dp::kubelet {
namespace {

using namespace std::chrono_literals;

TEST(RegistrationTest, WarnsOfAKubeletThatHasNoSocketForLong) {
  const fakes::TemporaryFolder folder;
  const std::string socket = folder.path() + "/kubelet.sock";
  std::promise<std::string> warned;
  log::Observe([&](log::Level level, std::string_view message, log::Fields /*fields*/) {
    if (level == log::Level::kWarning) warned.set_value(std::string(message));
  });
  fakes::LoopThread thread;
  std::unique_ptr<Registration> registration;
  std::string failure;
  thread.Do([&] {
    registration = std::make_unique<Registration>(
        thread.loop(),
        Registration::Request{.kubelet_socket = socket,
                              .resource = "vendor.example/nvme",
                              .endpoint = [] { return std::string("never asked for"); },
                              .socket_patience = 10ms},
        [] {});
    registration->Start();
    // It does not begin to wait anew.
    registration->Start();
    failure = registration->failure();
  });
  EXPECT_EQ(failure, "there is no socket " + socket + " of a kubelet");
  auto warning = warned.get_future();
  ASSERT_EQ(warning.wait_for(10s), std::future_status::ready) << "waited 10 s for a warning";
  EXPECT_EQ(warning.get(), "not registered");
  thread.Do([&] {
    registration->Stop([] {});
    registration.reset();
  });
  thread.Stop();
  log::Observe({});
}

}  // namespace
}  // namespace dp::kubelet
