// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dp::ctl {
namespace {

using ::testing::HasSubstr;

TEST(CompletionTest, NamesCommandsAndFlags) {
  CLI::App app("program", "doorbellctl");
  app.add_flag("--all")->description("Isn't it");
  CLI::App* command = app.add_subcommand("show", "Show it.");
  command->add_flag("-x,--extra")->description("More.");
  EXPECT_THAT(Completion(app, "bash"),
              HasSubstr("show) flags=\"-h --help -x --extra -h --help --all\""));
  EXPECT_THAT(Completion(app, "zsh"), HasSubstr("#compdef doorbellctl\n"));
  const std::string fish = Completion(app, "fish");
  EXPECT_THAT(fish, HasSubstr("-l all -d 'Isn\\'t it'\n"));
  EXPECT_THAT(fish, HasSubstr("-n __fish_use_subcommand -a show -d 'Show it.'\n"));
  EXPECT_THAT(fish, HasSubstr("-n '__fish_seen_subcommand_from show' -s x -l extra -d 'More.'\n"));
}

}  // namespace
}  // namespace dp::ctl
