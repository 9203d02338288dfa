// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace dp::fakes {

// What goes wrong with a system call.
struct Fault {
  enum class Kind {
    kFail,       // it does nothing and returns `error`
    kFailAll,    // so do this one and all that follow
    kShort,      // a write() writes the first half only
    kDieBefore,  // the process ends instead of it (status kDeath)
    kDieAfter,   // the process ends once it is done
  };

  std::size_t call = 0;  // which one, from 0
  Kind kind = Kind::kFail;
  int error = 0;  // an errno
};

// While one lives, the calls to the file system that this program makes are recorded, and some of
// them go wrong. Those of shared libraries, as std::filesystem, are as ever. One at a time.
class FakeSyscalls {
 public:
  static constexpr int kDeath = 99;

  explicit FakeSyscalls(std::vector<Fault> faults = {});
  FakeSyscalls(const FakeSyscalls&) = delete;
  FakeSyscalls& operator=(const FakeSyscalls&) = delete;
  ~FakeSyscalls();

  // Each with the last part of its (first) path, if it has one: "fsync", "rename ledger.json.new".
  [[nodiscard]] const std::vector<std::string>& calls() const { return calls_; }

  // For what stands in for the system calls: makes `real` or what is to happen instead.
  template <typename Call>
  auto Make(std::string name, Call real) -> decltype(real());

  // Whether the next call is a short one.
  [[nodiscard]] bool IsNextShort() const;

 private:
  [[nodiscard]] const Fault* FaultOfNext() const;

  const std::vector<Fault> faults_;
  std::vector<std::string> calls_;
};

}  // namespace dp::fakes
