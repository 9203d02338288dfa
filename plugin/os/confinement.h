// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace dp::os {

// Under which profile of AppArmor or context of SELinux this process runs, in their words:
// "cri-containerd.apparmor.d (enforce)". Empty: the kernel has neither, or AppArmor leaves it
// alone.
std::string ReadConfinement();

// Of what /proc/self/attr/current holds (proc_pid_attr(5)).
std::string ParseConfinement(std::string_view text);

}  // namespace dp::os
