// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "plugin/base/unique_fd.h"

namespace dp::integration {

// A run of a real program: the plugin, or another one.
class Daemon {
 public:
  static constexpr std::chrono::seconds kPatience{10};  // of all waits
  static constexpr int kStillRuns = -1000;

  // Standard output and error go to files in `scratch`. `launcher` is a command that ends in
  // becoming the program, such as `env`; empty: none. `program` is its path; empty: the plugin, of
  // this build or what VFIO_DOORBELL_PLUGIN names.
  Daemon(std::vector<std::string> arguments, const std::string& scratch,
         std::vector<std::string> launcher = {}, const std::string& program = {});
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  // Kills it if it still runs.
  ~Daemon();

  void Signal(int signal) const;
  // Its number, until Wait() has seen its end.
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Its exit code, the negative signal that ended it, or kStillRuns when patience is at its end.
  int Wait();
  // What it has written so far.
  [[nodiscard]] std::string output() const;
  [[nodiscard]] std::string log() const;
  // Waits until the log has this many occurrences of `text`.
  [[nodiscard]] bool WaitForLog(const std::string& text, int count = 1) const;
  [[nodiscard]] int CountInLog(const std::string& text) const;

 private:
  const std::string output_path_;
  const std::string log_path_;
  pid_t pid_ = -1;
  base::UniqueFd pidfd_;
};

// Whether the plugin is one with a sanitizer, which keeps what is freed: its memory says nothing.
[[nodiscard]] bool PluginKeepsWhatIsFreed();

}  // namespace dp::integration
