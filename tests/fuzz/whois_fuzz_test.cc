// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "plugin/ctl/whois.h"
#include "tests/fakes/some_node.h"
#include "tests/fuzz/require.h"

// Input: what `doorbellctl whois` is given.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const dp::ctl::Node kNode = dp::fakes::SomeNode();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto events = dp::ctl::ParseEvents(text);
  dp::fuzz::Require(events.size() <= dp::ctl::kMostEvents, "there are not too many events");
  bool is_ours = false;
  for (const dp::ctl::SmmuEvent& event : events) {
    const dp::ctl::Finding finding = dp::ctl::Examine(event, kNode, {});
    dp::fuzz::RequireOneLine(finding.sentence);
    dp::fuzz::Require(!finding.is_ours || event.iova, "what is ours has an address");
    if (!finding.sender.empty()) dp::fuzz::RequireOneLine(finding.sender);
    is_ours = is_ours || finding.is_ours;
  }
  for (const auto format : {dp::ctl::Format::kTable, dp::ctl::Format::kJson}) {
    const dp::ctl::Answer answer = dp::ctl::ShowWhois(text, kNode, {}, {.format = format});
    dp::fuzz::Require(!answer.text.empty(), "any text has an answer");
    dp::fuzz::Require(answer.exit_code == (is_ours ? dp::ctl::kExitOk : dp::ctl::kExitNo),
                      "the exit code is the answer");
  }
  return 0;
}
