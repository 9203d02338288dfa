// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "plugin/base/unique_fd.h"

namespace dp::fakes {

// Has the kernel send uevents of objects that do not exist. It passes on what it gets from root, in
// the sender's network namespace only, with a sequence number and its own port as the sender's
// (uevent_net_rcv() in lib/kobject_uevent.c, since Linux 4.18), so that a receiver cannot tell them
// from others. The constructor moves the calling thread, and what it starts afterwards, into a new
// network namespace, in which nobody else listens. Needs root; a host that refuses ends the test
// program with the reason.
class UeventSender {
 public:
  UeventSender();

  // For example ("remove", "/devices/pci0000:00/0000:00:01.0", "pci").
  void Send(std::string_view action, std::string_view devpath, std::string_view subsystem);
  // Any payload; the kernel appends "SEQNUM=..." and a zero byte.
  void SendRaw(std::string_view payload);
  // To the group itself, past the kernel: with the port of this process as the sender's.
  void SendPastKernel(std::string_view payload);

 private:
  base::UniqueFd socket_;
};

// The bytes of a message, without SEQNUM.
std::string UeventMessage(std::string_view action, std::string_view devpath,
                          std::string_view subsystem);

}  // namespace dp::fakes
