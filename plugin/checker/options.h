// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dp::checker {

// Exit codes of the program; also in --help.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;  // with --check: the domain is refused
inline constexpr int kExitUsage = 2;    // command line; with --check: it is no domain

struct Options {
  std::string socket;  // where to listen
  std::string sysfs_root = "/sys";
  std::string log_level = "info";
  std::string check;  // file with a domain, "-" for standard input; empty: serve
};

// What the command line asks for. `exit_code` is -1 if the program is to go on; otherwise what
// there is to say (help, version, what is wrong) has been printed.
struct ParsedOptions {
  Options options;
  int exit_code = -1;
};
// `number` is one that no other checker has: part of the name of the socket, unless that is given.
ParsedOptions ParseOptions(int argc, const char* const* argv, std::uint64_t number);

// Where virt-launcher looks for the socket of a legacy hook. It counts sockets by the names of
// their files, in whatever folder (pkg/hooks/manager.go, collectSideCarSockets): of two with one
// name it sees one, and waits for the other until it gives up. So `number` is in the name, and what
// `container` has that a name may have, to be recognized.
std::string DefaultSocket(std::string_view container, std::uint64_t number);

}  // namespace dp::checker
