// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/uevent_socket.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/os/syscall.h"

namespace dp::os {
namespace {

// The group that the kernel sends to; udev sends to the second.
constexpr std::uint32_t kKernelGroup = 1;

// Longest message: the variables have UEVENT_BUFFER_SIZE = 2048 bytes (include/linux/kobject.h),
// and the heading repeats two of them.
constexpr std::size_t kLongestMessage = 8192;

// So that a storm leaves the loop some turns for others.
constexpr int kMostPerTurn = 64;

// The value of `key` if the variable is that one.
std::optional<std::string_view> ValueOf(std::string_view variable, std::string_view key) {
  if (!variable.starts_with(key) || variable.size() == key.size() || variable[key.size()] != '=') {
    return std::nullopt;
  }
  return variable.substr(key.size() + 1);
}

absl::Status CheckUserNamespace() {
  // PROC_USER_INIT_INO in include/linux/proc_ns.h. Without /proc, or a kernel with user namespaces,
  // nothing speaks against it.
  constexpr ino_t kInitialUserNamespace = 0xEFFFFFFD;
  struct stat own {};
  if (::stat("/proc/self/ns/user", &own) < 0 || own.st_ino == kInitialUserNamespace) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      "cannot receive uevents: the kernel sends none into the network namespaces of a user "
      "namespace");
}

void SetReceiveBuffer(int fd, int bytes) {
  // The first needs CAP_NET_ADMIN; the second stops at net.core.rmem_max (socket(7)). Neither
  // matters much: what does not fit is reported.
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0) return;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

// Takes messages off a socket.
//
// After ENOBUFS the kernel goes on dropping until the socket has been read empty, and does not say
// so again (netlink_overrun() and netlink_rcv_wake() in net/netlink/af_netlink.c). What was dropped
// in between would be missed by a receiver who looks as soon as he hears of it, so the loss is
// reported twice: when it is noticed, and when the socket is empty.
class MessageReader {
 public:
  explicit MessageReader(int fd) : fd_(fd) {}

  std::vector<Uevent> Read() {
    std::vector<Uevent> uevents;
    for (int i = 0; i < kMostPerTurn; ++i) {
      if (!ReadOne(uevents)) break;
    }
    return uevents;
  }

 private:
  // False: nothing is left for now.
  bool ReadOne(std::vector<Uevent>& uevents) {
    std::array<char, kLongestMessage> buffer;
    sockaddr_nl sender{};
    iovec place{.iov_base = buffer.data(), .iov_len = buffer.size()};
    msghdr message{};
    message.msg_name = &sender;
    message.msg_namelen = sizeof(sender);
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    const ssize_t size = RetryOnEintr([&] { return ::recvmsg(fd_, &message, 0); });
    if (size < 0) return OnError(errno, uevents);
    // netlink(7): the kernel's port is 0. Who may send to groups may send to this one.
    if (message.msg_namelen != sizeof(sender) || sender.nl_pid != 0) return true;
    if (message.msg_flags & MSG_TRUNC) {
      uevents.emplace_back();
    } else if (auto uevent = ParseUevent({buffer.data(), static_cast<std::size_t>(size)})) {
      uevents.push_back(*std::move(uevent));
    }
    return true;
  }

  bool OnError(int error, std::vector<Uevent>& uevents) {
    if (error == ENOBUFS) {
      uevents.emplace_back();
      lost_ = true;
      return true;
    }
    if (error != EAGAIN) {
      log::Warning("uevents failed", {{"error", ErrnoError(error, "receive uevents")}});
      uevents.emplace_back();
    } else if (lost_) {
      uevents.emplace_back();
      lost_ = false;
    }
    return false;
  }

  const int fd_;
  bool lost_ = false;
};

}  // namespace

std::optional<Uevent> ParseUevent(std::string_view message) {
  constexpr std::string_view kUdev("libudev\0", 8);
  if (message.starts_with(kUdev)) return std::nullopt;
  Uevent uevent{.kind = Uevent::Kind::kObject, .action = {}, .devpath = {}, .subsystem = {}};
  if (message.empty() || message.back() != '\0') return Uevent{};
  const std::string_view heading = message.substr(0, message.find('\0'));
  for (std::string_view rest = message.substr(heading.size() + 1); !rest.empty();) {
    const std::string_view variable = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(variable.size() + 1);
    for (const auto& [key, member] :
         {std::pair("ACTION", &Uevent::action), std::pair("DEVPATH", &Uevent::devpath),
          std::pair("SUBSYSTEM", &Uevent::subsystem)}) {
      const std::optional<std::string_view> value = ValueOf(variable, key);
      if (!value) continue;
      // Each is there once.
      if (value->empty() || !(uevent.*member).empty()) return Uevent{};
      uevent.*member = *value;
    }
  }
  const bool complete =
      !uevent.action.empty() && !uevent.devpath.empty() && !uevent.subsystem.empty();
  if (!complete || heading != uevent.action + "@" + uevent.devpath) return Uevent{};
  return uevent;
}

absl::StatusOr<std::unique_ptr<UeventSocket>> UeventSocket::Create(EventLoop& loop, Handler handler,
                                                                   int receive_buffer) {
  RETURN_IF_ERROR(CheckUserNamespace());
  base::UniqueFd socket(
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  if (!socket.valid()) return ErrnoError(errno, "open a socket for uevents");
  SetReceiveBuffer(socket.get(), receive_buffer);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kKernelGroup;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) {
    return ErrnoError(errno, "receive uevents");
  }

  RETURN_IF_ERROR(loop.WatchReadable(
      socket.get(), [reader = MessageReader(socket.get()), handler = std::move(handler)]() mutable {
        const std::vector<Uevent> uevents = reader.Read();
        if (!uevents.empty()) handler(uevents);
      }));
  return std::unique_ptr<UeventSocket>(new UeventSocket(loop, std::move(socket)));
}

UeventSocket::UeventSocket(EventLoop& loop, base::UniqueFd socket)
    : loop_(loop), socket_(std::move(socket)) {}

UeventSocket::~UeventSocket() { loop_.Unwatch(socket_.get()); }

}  // namespace dp::os
