// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "plugin/os/uevent_socket.h"
#include "tests/fuzz/require.h"

// Input: one message of the kernel's, with a newline in the place of each zero byte, so that the
// corpus is text; and the other way round, so that nothing is left out.
namespace dp::fuzz {
namespace {

using Kind = os::Uevent::Kind;

std::string MessageOf(std::string_view input) {
  std::string message(input);
  for (char& c : message) c = c == '\n' ? '\0' : c == '\0' ? '\n' : c;
  return message;
}

// How many of the variables begin with `key`.
int CountOf(std::string_view key, std::string_view message) {
  int count = 0;
  for (std::size_t at = message.find('\0'); at < message.size(); at = message.find('\0', at + 1)) {
    if (message.substr(at + 1).starts_with(key)) ++count;
  }
  return count;
}

void RequireSound(const os::Uevent& uevent, const std::string& message) {
  if (uevent.kind == Kind::kLost) {
    Require(uevent == os::Uevent{}, "of a lost event nothing is known", message);
    return;
  }
  for (const std::string* const text : {&uevent.action, &uevent.devpath, &uevent.subsystem}) {
    Require(!text->empty() && text->find('\0') == std::string::npos, "an event is complete",
            message);
  }
  for (const std::string_view key : {"ACTION=", "DEVPATH=", "SUBSYSTEM="}) {
    Require(CountOf(key, message) == 1, "a variable is there once", message);
  }
  // As kobject_uevent_env() in lib/kobject_uevent.c writes it.
  const std::string heading = uevent.action + "@" + uevent.devpath + '\0';
  Require(message.starts_with(heading), "the heading is that of the variables", message);
  const std::string written = heading + "ACTION=" + uevent.action + '\0' +
                              "DEVPATH=" + uevent.devpath + '\0' + "SUBSYSTEM=" + uevent.subsystem +
                              '\0';
  Require(os::ParseUevent(written) == uevent, "what is written is read again", message);
  // Cut off in the middle of a variable, it is no event.
  if (message[message.size() - 2] != '\0') {
    const std::string_view cut = std::string_view(message).substr(0, message.size() - 1);
    Require(os::ParseUevent(cut) == os::Uevent{}, "what is cut off is lost", message);
  }
}

}  // namespace
}  // namespace dp::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string message = dp::fuzz::MessageOf({reinterpret_cast<const char*>(data), size});
  const std::optional<dp::os::Uevent> uevent = dp::os::ParseUevent(message);
  if (uevent) {
    dp::fuzz::RequireSound(*uevent, message);
  } else {
    dp::fuzz::Require(message.starts_with("libudev") && message[7] == '\0',
                      "only messages of udev are none", message);
  }
  return 0;
}
