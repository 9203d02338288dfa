// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/uevent_sender.h"

#include <fmt/format.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace dp::fakes {
namespace {

void Check(bool ok, const char* action) {
  if (ok) return;
  fmt::print(stderr, "fake uevents: cannot {}: {}\n", action, std::strerror(errno));
  std::abort();
}

sockaddr_nl Address(std::uint32_t groups) {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  return address;
}

}  // namespace

UeventSender::UeventSender() {
  Check(::unshare(CLONE_NEWNET) == 0, "make a network namespace (root is needed)");
  socket_.Reset(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT));
  Check(socket_.valid(), "open a netlink socket");
}

void UeventSender::Send(std::string_view action, std::string_view devpath,
                        std::string_view subsystem) {
  SendRaw(UeventMessage(action, devpath, subsystem));
}

void UeventSender::SendRaw(std::string_view payload) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(sizeof(header) + payload.size());
  header.nlmsg_type = NLMSG_MIN_TYPE;
  header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  std::string message(reinterpret_cast<const char*>(&header), sizeof(header));
  message += payload;
  const sockaddr_nl kernel = Address(0);
  Check(::sendto(socket_.get(), message.data(), message.size(), 0,
                 reinterpret_cast<const sockaddr*>(&kernel), sizeof(kernel)) >= 0,
        "send to the kernel");
  struct {
    nlmsghdr header;
    nlmsgerr error;
  } answer{};
  Check(::recv(socket_.get(), &answer, sizeof(answer), 0) >= static_cast<ssize_t>(sizeof(answer)),
        "receive the kernel's answer");
  errno = -answer.error.error;
  Check(answer.error.error == 0, "have the kernel send a uevent");
}

void UeventSender::SendPastKernel(std::string_view payload) {
  const sockaddr_nl group = Address(1);
  Check(::sendto(socket_.get(), payload.data(), payload.size(), 0,
                 reinterpret_cast<const sockaddr*>(&group), sizeof(group)) >= 0,
        "send to the group");
}

std::string UeventMessage(std::string_view action, std::string_view devpath,
                          std::string_view subsystem) {
  std::string message = fmt::format("{}@{}", action, devpath) + '\0';
  message += fmt::format("ACTION={}", action) + '\0';
  message += fmt::format("DEVPATH={}", devpath) + '\0';
  message += fmt::format("SUBSYSTEM={}", subsystem) + '\0';
  return message;
}

}  // namespace dp::fakes
