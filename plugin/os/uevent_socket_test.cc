// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/uevent_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fakes/uevent_sender.h"

namespace dp::os {

void PrintTo(const Uevent& uevent, std::ostream* out) {
  *out << static_cast<int>(uevent.kind) << ":" << uevent.action << "@" << uevent.devpath << " ("
       << uevent.subsystem << ")";
}

namespace {

using ::dp::fakes::UeventMessage;
using ::testing::ElementsAre;
using ::testing::Optional;
using Kind = Uevent::Kind;

constexpr char kPath[] = "/devices/pci0000:00/0000:00:01.0";
const Uevent kLost{.kind = Kind::kLost, .action = {}, .devpath = {}, .subsystem = {}};

Uevent Of(std::string_view action, std::string_view subsystem = "pci") {
  return {.kind = Kind::kObject,
          .action = std::string(action),
          .devpath = kPath,
          .subsystem = std::string(subsystem)};
}

// As Linux 6.12 sends it when a driver is bound.
std::string WholeMessage() {
  std::string message = UeventMessage("bind", kPath, "pci");
  for (const char* variable :
       {"DRIVER=vfio-pci", "PCI_CLASS=10802", "PCI_ID=1B36:0010", "PCI_SUBSYS_ID=1AF4:1100",
        "PCI_SLOT_NAME=0000:00:01.0", "MODALIAS=pci:v00001B36d00000010sv00001AF4", "SEQNUM=1615"}) {
    message += variable;
    message += '\0';
  }
  return message;
}

TEST(ParseUeventTest, TakesWhatIsNeeded) {
  EXPECT_THAT(ParseUevent(WholeMessage()), Optional(Of("bind")));
}

TEST(ParseUeventTest, IgnoresMessagesOfUdev) {
  std::string message("libudev\0\xfe\xed\xca\xfe", 12);
  EXPECT_EQ(ParseUevent(message), std::nullopt);
  EXPECT_EQ(ParseUevent(message + WholeMessage()), std::nullopt);
}

TEST(ParseUeventTest, CutOffMessageMeansLookForYourself) {
  const std::string whole = WholeMessage();
  const std::size_t needed = UeventMessage("bind", kPath, "pci").size();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const std::string_view cut = std::string_view(whole).substr(0, length);
    // Between two variables nobody can tell, and what is needed comes first.
    const bool between = length >= needed && cut.back() == '\0';
    EXPECT_THAT(ParseUevent(cut), Optional(between ? Of("bind") : kLost)) << length;
  }
}

TEST(ParseUeventTest, MessageThatDoesNotAddUpMeansLookForYourself) {
  const std::string good = UeventMessage("add", kPath, "pci");
  const std::string variables = good.substr(good.find('\0') + 1);
  const auto zero = [](std::string text) {
    for (char& c : text) c = c == '|' ? '\0' : c;
    return text;
  };
  for (const std::string& bad :
       {zero("|"), zero("||||"), zero("add@/x|"), zero("noise|") + variables,
        zero("remove@/devices/pci0000:00/0000:00:01.0|") + variables, zero("add@/x|") + variables,
        good + zero("SUBSYSTEM=usb|"), good + zero("ACTION=add|"),
        zero("add@/x|ACTION=add|DEVPATH=/x|SUBSYSTEM=|"),
        zero("add@/x|ACTION=add|DEVPATH=/x|SUBSYSTEM|"), zero("add@/x|ACTION=add|DEVPATH=/x|"),
        zero("@|ACTION=|DEVPATH=|SUBSYSTEM=pci|"), zero("@|SUBSYSTEM=pci|")}) {
    EXPECT_THAT(ParseUevent(bad), Optional(kLost)) << bad;
  }
  // Names that only begin like those needed.
  EXPECT_THAT(ParseUevent(good + zero("ACTIONS=x|SUBSYSTEM_X=y|DEVPATH|=|")), Optional(Of("add")));
}

class UeventSocketTest : public testing::Test {
 protected:
  UeventSocketTest() : loop_owner_(*EventLoop::Create()), loop_(*loop_owner_) {
    loop_.CallAfter(std::chrono::seconds(20), [this] {
      ADD_FAILURE() << "the expected uevents did not come within 20 s";
      loop_.Stop();
    });
  }

  // Collects uevents up to one with the action "last".
  void Open(int receive_buffer = UeventSocket::kReceiveBuffer) {
    auto socket = UeventSocket::Create(
        loop_,
        [this](std::span<const Uevent> uevents) {
          uevents_.insert(uevents_.end(), uevents.begin(), uevents.end());
          if (on_uevents_) on_uevents_();
          if (uevents.back().action == "last") loop_.Stop();
        },
        receive_buffer);
    ASSERT_TRUE(socket.ok()) << socket.status();
    socket_ = *std::move(socket);
  }

  fakes::UeventSender sender_;
  std::unique_ptr<EventLoop> loop_owner_;
  EventLoop& loop_;
  std::unique_ptr<UeventSocket> socket_;
  std::vector<Uevent> uevents_;
  std::function<void()> on_uevents_;
};

TEST_F(UeventSocketTest, ReceivesWhatTheKernelSends) {
  Open();
  sender_.Send("unbind", kPath, "pci");
  sender_.Send("remove", kPath, "vfio");
  sender_.Send("last", kPath, "pci");
  loop_.Run();
  EXPECT_THAT(uevents_, ElementsAre(Of("unbind"), Of("remove", "vfio"), Of("last")));
}

TEST_F(UeventSocketTest, ReceivesFromNobodyElse) {
  Open();
  sender_.SendPastKernel(UeventMessage("remove", kPath, "pci"));
  sender_.Send("last", kPath, "pci");
  loop_.Run();
  EXPECT_THAT(uevents_, ElementsAre(Of("last")));
}

TEST_F(UeventSocketTest, PassesOnThatAMessageMakesNoSense) {
  Open();
  sender_.SendRaw("gibberish");
  sender_.SendRaw(std::string_view("libudev\0", 8));
  sender_.Send("last", kPath, "pci");
  loop_.Run();
  EXPECT_THAT(uevents_, ElementsAre(kLost, Of("last")));
}

TEST_F(UeventSocketTest, SaysThatEventsWereLostAndAgainWhenAllThatIsLeftIsRead) {
  const auto times_lost = [this] { return std::count(uevents_.begin(), uevents_.end(), kLost); };
  constexpr std::size_t kMany = 1000;
  // What is sent before the second report would be dropped.
  on_uevents_ = [&] {
    if (times_lost() == 2 && uevents_.back() == kLost) sender_.Send("last", kPath, "pci");
  };
  Open(/*receive_buffer=*/8192);
  for (std::size_t i = 0; i < kMany; ++i) sender_.Send("add", kPath, "pci");
  loop_.Run();
  ASSERT_GE(uevents_.size(), 4U);
  EXPECT_LT(uevents_.size(), kMany);
  EXPECT_EQ(uevents_.front(), kLost);
  EXPECT_EQ(uevents_[1], Of("add"));
  EXPECT_EQ(uevents_[uevents_.size() - 2], kLost);
  EXPECT_EQ(uevents_.back(), Of("last"));
  EXPECT_EQ(times_lost(), 2);
}

TEST_F(UeventSocketTest, ReadsLongBurstsInSeveralTurns) {
  Open();
  std::size_t most_at_once = 0;
  auto socket = UeventSocket::Create(loop_, [&](std::span<const Uevent> uevents) {
    most_at_once = std::max(most_at_once, uevents.size());
  });
  ASSERT_TRUE(socket.ok()) << socket.status();
  for (int i = 0; i < 200; ++i) sender_.Send("add", kPath, "pci");
  sender_.Send("last", kPath, "pci");
  loop_.Run();
  EXPECT_EQ(uevents_.size(), 201U);
  EXPECT_EQ(most_at_once, 64U);
}

TEST_F(UeventSocketTest, HandlerMayDestroyTheSocket) {
  std::unique_ptr<UeventSocket> socket;
  auto created = UeventSocket::Create(loop_, [&](std::span<const Uevent> uevents) {
    socket.reset();
    uevents_.assign(uevents.begin(), uevents.end());
    loop_.Stop();
  });
  ASSERT_TRUE(created.ok()) << created.status();
  socket = *std::move(created);
  sender_.Send("add", kPath, "pci");
  loop_.Run();
  EXPECT_THAT(uevents_, ElementsAre(Of("add")));
}

TEST_F(UeventSocketTest, NamesWhatWasRefused) {
  // The limit of descriptors stands in for a sandbox.
  rlimit original{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &original), 0);
  rlimit none = original;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto socket = UeventSocket::Create(loop_, [](auto) {});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &original), 0);
  EXPECT_EQ(std::string(socket.status().message()),
            "cannot open a socket for uevents: Too many open files");
}

TEST(UeventSocketDeathTest, IsOfNoUseInAUserNamespace) {
  const auto create_inside = [] {
    if (::unshare(CLONE_NEWUSER) != 0) {
      std::perror("unshare(CLONE_NEWUSER)");
      ::exit(2);
    }
    const auto loop = EventLoop::Create();
    const auto socket = UeventSocket::Create(**loop, [](auto) {});
    std::fprintf(stderr, "%s\n", std::string(socket.status().message()).c_str());
    ::exit(absl::IsFailedPrecondition(socket.status()) ? 0 : 1);
  };
  EXPECT_EXIT(create_inside(), testing::ExitedWithCode(0), "a user namespace");
}

}  // namespace
}  // namespace dp::os
