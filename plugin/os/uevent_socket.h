// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"
#include "plugin/os/event_loop.h"

namespace dp::os {

// What the kernel says of one of its objects.
struct Uevent {
  enum class Kind {
    kObject,  // something happened to an object
    kLost,    // events were dropped or cannot be read: look at everything
  };
  Kind kind = Kind::kLost;
  // Empty for kLost.
  std::string action;     // "add", "remove", "bind", "unbind", "change", ...
  std::string devpath;    // of its directory, below the root of sysfs, with a leading slash
  std::string subsystem;  // its bus or class: "pci", "vfio"

  friend bool operator==(const Uevent&, const Uevent&) = default;
};

// One message of the kernel: "add@/devices/x", then KEY=VALUE, each with a zero byte at its end,
// among them ACTION, DEVPATH and SUBSYSTEM (kobject_uevent_env() in lib/kobject_uevent.c). Empty: a
// message of udev's ("libudev" and a zero byte), which the kernel does not write. One that is cut
// off or does not add up is kLost: its reader must look for itself.
std::optional<Uevent> ParseUevent(std::string_view message);

// Receives uevents: NETLINK_KOBJECT_UEVENT (netlink(7)), the group that the kernel sends to. It
// needs no right.
//
// They are hints and no facts: who has CAP_SYS_ADMIN over the network namespace can have the kernel
// send any (uevent_net_rcv() in lib/kobject_uevent.c). So the receiver looks for itself.
//
// Which namespaces get them: those of devices other than network ones are sent into every network
// namespace that belongs to the initial user namespace, and into no other (since Linux 4.18, commit
// a3498436b3a0 "netns: restrict uevents"; uevent_net_init() and uevent_net_broadcast_untagged() in
// lib/kobject_uevent.c). So a pod gets them with or without hostNetwork, but not with a user
// namespace of its own (hostUsers: false).
//
// Belongs to the loop; the loop must outlive it.
class UeventSocket {
 public:
  // Called with one or more; may destroy the socket.
  using Handler = std::function<void(std::span<const Uevent>)>;

  // Bytes that may wait in the socket, some 2 KiB an event; it is a limit, and takes no memory. A
  // larger burst is kLost, which costs its receiver one look.
  static constexpr int kReceiveBuffer = 1 << 20;

  // FailedPrecondition: the process is in a user namespace of its own, whose network namespaces get
  // none. (A process of the initial one in a network namespace of another is not noticed.)
  // Else by errno; a sandbox may refuse such sockets.
  static absl::StatusOr<std::unique_ptr<UeventSocket>> Create(EventLoop& loop, Handler handler,
                                                              int receive_buffer = kReceiveBuffer);
  UeventSocket(const UeventSocket&) = delete;
  UeventSocket& operator=(const UeventSocket&) = delete;
  ~UeventSocket();

 private:
  UeventSocket(EventLoop& loop, base::UniqueFd socket);

  EventLoop& loop_;
  base::UniqueFd socket_;
};

}  // namespace dp::os
