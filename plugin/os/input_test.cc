// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/input.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>
#include <string_view>

#include "plugin/base/unique_fd.h"

namespace dp::os {
namespace {

// Puts a pipe with a text in the place of standard input as long as it lives.
class Input {
 public:
  explicit Input(std::string_view text) : saved_(::dup(STDIN_FILENO)) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    const base::UniqueFd out(ends[0]);
    const base::UniqueFd in(ends[1]);
    EXPECT_EQ(::write(in.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    EXPECT_EQ(::dup2(out.get(), STDIN_FILENO), STDIN_FILENO);
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;
  ~Input() { ::dup2(saved_.get(), STDIN_FILENO); }

 private:
  base::UniqueFd saved_;
};

TEST(InputTest, ReadsStandardInputToItsEnd) {
  const Input input("a\nb");
  EXPECT_EQ(ReadFileOrInput("-", 3).value(), "a\nb");
}

TEST(InputTest, RefusesMoreThanTheCallerWants) {
  const Input input("abcd");
  const auto text = ReadFileOrInput("-", 3);
  EXPECT_EQ(text.status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(text.status().message(), "standard input has more than 3 bytes");
}

TEST(InputTest, ReadsAFile) {
  EXPECT_EQ(ReadFileOrInput("/no/such/file", 3).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace dp::os
