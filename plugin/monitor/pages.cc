// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor/pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <iterator>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "plugin/monitor/families.h"

namespace dp::monitor {
namespace {

using Duration = os::EventLoop::Clock::duration;
using Health = DaemonCheck::Health;
constexpr int kUnavailable = 503;

// Runs `ask` in a turn of the loop and waits for what it hands over, from there or later. Nothing:
// not within `deadline`.
template <typename Answer>
std::optional<Answer> AskLoop(os::EventLoop& loop, Duration deadline,
                              std::function<void(std::function<void(Answer)>)> ask) {
  // Shared with an answer that comes when nobody waits any more.
  auto promise = std::make_shared<std::promise<Answer>>();
  std::future<Answer> future = promise->get_future();
  loop.Post([promise, ask = std::move(ask)] {
    ask([promise](Answer answer) { promise->set_value(std::move(answer)); });
  });
  if (future.wait_for(deadline) != std::future_status::ready) return std::nullopt;
  return future.get();
}

// One line for each fact, as the probes of Kubernetes' own programs have them.
HttpAnswer Verdict(std::string_view probe, const std::vector<Finding>& findings) {
  HttpAnswer answer;
  for (const Finding& finding : findings) {
    if (finding.trouble.empty()) {
      answer.body += fmt::format("[+]{} ok\n", finding.check);
    } else {
      answer.body += fmt::format("[-]{}: {}\n", finding.check, finding.trouble);
      answer.code = kUnavailable;
    }
  }
  answer.body +=
      fmt::format("{} check {}\n", probe, answer.code == kUnavailable ? "failed" : "passed");
  return answer;
}

Finding LoopFinding(bool turns) { return {"monitor", turns ? "" : "its loop does not turn"}; }

Finding DaemonFinding(const absl::Status& answers) {
  return {"daemon", answers.ok() ? "" : std::string(answers.message())};
}

class Maker {
 public:
  Maker(Sources sources, PageTimes times) : sources_(std::move(sources)), times_(times) {}

  HttpAnswer Metrics() {
    const auto scrape =
        AskLoop<Scrape>(sources_.loop, times_.metrics + times_.loop,
                        [this](std::function<void(Scrape)> done) { BeginScrape(std::move(done)); });
    if (!scrape) return Verdict("metrics", {LoopFinding(false)});
    // Here, and not on the loop: what takes longest is to write it down.
    return {.code = 200, .body = Exposition(*scrape)};
  }

  HttpAnswer OwnLife() {
    const auto turn = AskLoop<bool>(sources_.loop, times_.loop,
                                    [](const std::function<void(bool)>& done) { done(true); });
    return Verdict("livez", {LoopFinding(turn.has_value())});
  }

  HttpAnswer Life() {
    const auto health = AskDaemon();
    if (!health) return Verdict("livez", {LoopFinding(false)});
    return Verdict("livez", {LoopFinding(true), DaemonFinding(health->answers)});
  }

  HttpAnswer Readiness() {
    const auto health = AskDaemon();
    if (!health) return Verdict("readyz", {LoopFinding(false)});
    std::vector<Finding> findings = {LoopFinding(true), DaemonFinding(health->answers)};
    std::copy_if(health->findings.begin(), health->findings.end(), std::back_inserter(findings),
                 [](const Finding& finding) { return finding.for_ready; });
    return Verdict("readyz", findings);
  }

  HttpAnswer Start() {
    // Asks, because nobody else may have.
    const auto started = AskLoop<bool>(
        sources_.loop, kDaemonPatience + times_.loop, [this](std::function<void(bool)> done) {
          if (sources_.check.has_answered()) {
            done(true);
          } else {
            sources_.check.Ask(
                [done = std::move(done)](const Health& health) { done(health.answers.ok()); });
          }
        });
    if (!started) return Verdict("startupz", {LoopFinding(false)});
    return Verdict("startupz",
                   {LoopFinding(true), {"daemon", *started ? "" : "it has not answered yet"}});
  }

 private:
  // DaemonCheck keeps its own deadline; this only says when the loop is to blame.
  static constexpr std::chrono::milliseconds kDaemonPatience = DaemonCheck::Times{}.deadline;

  std::optional<Health> AskDaemon() {
    return AskLoop<Health>(
        sources_.loop, kDaemonPatience + times_.loop,
        [this](const std::function<void(Health)>& done) { sources_.check.Ask(done); });
  }

  void BeginScrape(std::function<void(Scrape)> done) {
    const auto begin = os::EventLoop::Clock::now();
    sources_.admin.GetMetrics(times_.metrics, [this, begin, done = std::move(done)](auto metrics) {
      Scrape scrape;
      scrape.daemon = std::move(metrics);
      scrape.daemon_took = os::EventLoop::Clock::now() - begin;
      scrape.watch = sources_.watch.counters();
      scrape.facts = sources_.facts.facts();
      if (sources_.api_calls) scrape.api_calls = sources_.api_calls();
      done(std::move(scrape));
    });
  }

  const Sources sources_;
  const PageTimes times_;
};

}  // namespace

HttpServer::Pages MakePages(const Sources& sources, PageTimes times) {
  auto maker = std::make_shared<Maker>(sources, times);
  return {
      {"/metrics", [maker] { return maker->Metrics(); }},
      {"/livez", [maker] { return maker->Life(); }},
      {"/livez/monitor", [maker] { return maker->OwnLife(); }},
      {"/readyz", [maker] { return maker->Readiness(); }},
      {"/startupz", [maker] { return maker->Start(); }},
  };
}

}  // namespace dp::monitor
