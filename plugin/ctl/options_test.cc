// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "plugin/cli/parse_words.h"
#include "plugin/ctl/answer.h"
#include "plugin/os/file.h"

namespace dp::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::internal::CaptureStderr;
using ::testing::internal::CaptureStdout;
using ::testing::internal::GetCapturedStderr;
using ::testing::internal::GetCapturedStdout;

ParsedOptions Parse(const std::vector<const char*>& words) {
  return cli::ParseWords(&ParseOptions, "doorbellctl", words);
}

// Of a command line that is refused: what is said about it.
std::string Refused(const std::vector<const char*>& words) {
  CaptureStderr();
  EXPECT_EQ(Parse(words).exit_code, kExitUsage);
  return GetCapturedStderr();
}

TEST(OptionsTest, Explain) {
  const ParsedOptions parsed = Parse({"explain", "-f", "vm.yaml", "--config", "a.yaml"});
  EXPECT_EQ(parsed.exit_code, -1);
  EXPECT_EQ(parsed.options.command, Command::kExplain);
  EXPECT_EQ(parsed.options.file, "vm.yaml");
  EXPECT_TRUE(parsed.options.has_config);
  EXPECT_EQ(parsed.options.places.config, "a.yaml");
  EXPECT_FALSE(Parse({"explain", "-f", "vm.yaml"}).options.has_config);
  EXPECT_TRUE(Parse({"explain", "-f", "vm.yaml", "--daemon"}).options.from_daemon);
  EXPECT_THAT(Refused({"explain"}), HasSubstr("--file is required"));
  EXPECT_THAT(Refused({"explain", "-f", "a", "--window", "0:1", "--config", "b"}),
              HasSubstr("excludes"));
}

TEST(OptionsTest, ListAndDescribe) {
  const ParsedOptions list = Parse({"list"});
  EXPECT_EQ(list.exit_code, -1);
  EXPECT_EQ(list.options.command, Command::kList);
  EXPECT_EQ(list.options.format, Format::kTable);
  EXPECT_EQ(list.options.places.socket, "/run/vfio-doorbell/admin.sock");
  EXPECT_EQ(list.options.places.sysfs_root, "/sys");
  const ParsedOptions describe =
      Parse({"describe", "7", "-o", "yaml", "--socket", "/a", "--data-dir=/b"});
  EXPECT_EQ(describe.options.command, Command::kDescribe);
  EXPECT_EQ(describe.options.subject, "7");
  EXPECT_EQ(describe.options.format, Format::kYaml);
  EXPECT_EQ(describe.options.places.socket, "/a");
  EXPECT_EQ(describe.options.places.data_dir, "/b");
  EXPECT_THAT(Refused({"describe"}), HasSubstr("subject is required"));
  EXPECT_NE(Refused({"list", "-o", "xml"}), "");
  EXPECT_NE(Refused({"list", "more"}), "");
}

TEST(OptionsTest, Whois) {
  const ParsedOptions parsed = Parse({"whois", "event: a b", "-o", "json"});
  EXPECT_EQ(parsed.options.command, Command::kWhois);
  EXPECT_EQ(parsed.options.subject, "event: a b");
  EXPECT_EQ(Parse({"whois", "-"}).options.subject, "-");
}

TEST(OptionsTest, TheOthers) {
  EXPECT_EQ(Parse({"check-config", "a.yaml"}).options.command, Command::kCheckConfig);
  const ParsedOptions diag = Parse({"--root", "archive", "diag", "--kubelet-dir", "/k"});
  EXPECT_EQ(diag.options.command, Command::kDiag);
  EXPECT_EQ(diag.options.root, "archive");
  EXPECT_EQ(diag.options.places.kubelet_dir, "/k");
  const ParsedOptions release = Parse({"release", "0x09100000", "--yes"});
  EXPECT_EQ(release.options.command, Command::kRelease);
  EXPECT_TRUE(release.options.yes);
  const ParsedOptions capture = Parse({"capture", "-o", "file"});
  EXPECT_EQ(capture.options.command, Command::kCapture);
  EXPECT_EQ(capture.options.output_file, "file");
  EXPECT_THAT(Parse({"completion", "bash"}).completion, HasSubstr("check-config"));
  EXPECT_NE(Refused({"completion", "csh"}), "");
}

// The completion has each of them, so the man page is held against it.
TEST(OptionsTest, ManPageNamesEveryCommandAndFlag) {
  const auto text = os::ReadFile("docs/man/doorbellctl.1", 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  std::istringstream lines(Parse({"completion", "bash"}).completion);
  int count = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("flags=\"") == std::string::npos) continue;
    // "    list) flags="-h --help" ;;"
    std::istringstream words(std::regex_replace(line, std::regex("[^a-z-]+|flags="), " "));
    for (std::string word; words >> word; ++count) {
      const std::string escaped = std::regex_replace(word, std::regex("-"), "\\-");
      EXPECT_NE(text->find(escaped), std::string::npos) << word;
    }
  }
  EXPECT_GT(count, 50);
}

TEST(OptionsTest, TakesThePlacesOfTheDaemonFromItsEnvironment) {
  ::setenv("VFIO_DOORBELL_ADMIN_SOCKET", "/elsewhere", 1);
  EXPECT_EQ(Parse({"list"}).options.places.socket, "/elsewhere");
  ::unsetenv("VFIO_DOORBELL_ADMIN_SOCKET");
}

TEST(OptionsTest, WantsACommand) {
  EXPECT_THAT(Refused({}), HasSubstr("subcommand is required"));
  EXPECT_NE(Refused({"destroy"}), "");
}

TEST(OptionsTest, IsNamedAsItWasCalled) {
  EXPECT_EQ(ProgramName("/usr/bin/doorbellctl"), "doorbellctl");
  EXPECT_EQ(ProgramName("/usr/local/bin/kubectl-doorbell"), "kubectl doorbell");
  EXPECT_EQ(ProgramName(""), "doorbellctl");
  CaptureStdout();
  const std::vector<const char*> words = {"/usr/bin/kubectl-doorbell", "--help"};
  EXPECT_EQ(ParseOptions(2, words.data()).exit_code, kExitOk);
  EXPECT_THAT(GetCapturedStdout(), HasSubstr("kubectl doorbell"));
}

TEST(OptionsTest, SaysItsVersion) {
  CaptureStdout();
  EXPECT_EQ(Parse({"--version"}).exit_code, kExitOk);
  EXPECT_THAT(GetCapturedStdout(), HasSubstr("doorbellctl 0."));
}

}  // namespace
}  // namespace dp::ctl
