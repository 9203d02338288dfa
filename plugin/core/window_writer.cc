// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/window_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"

namespace dp::core {

WindowWriter::WindowWriter(MsiWindowKnob& knob, Timers& timers, Patience patience)
    : knob_(knob), timers_(timers), patience_(patience) {}

void WindowWriter::Write(std::vector<std::uint32_t> groups, Window window, OnBusy on_busy,
                         Done done) {
  job_ = Job{.groups = std::move(groups),
             .window = window,
             .on_busy = on_busy,
             .done = std::move(done),
             .written = {},
             .waited = std::chrono::milliseconds{0},
             .pause = patience_.first_pause};
  ++generation_;
  Continue();
}

void WindowWriter::Continue() {
  while (job_->written.size() < job_->groups.size()) {
    absl::Status status = WriteOne(job_->groups[job_->written.size()]);
    if (status.ok()) continue;
    if (!absl::IsUnavailable(status) || job_->on_busy == OnBusy::kFail ||
        job_->waited >= patience_.total) {
      Finish(std::move(status));
      return;
    }
    const auto pause = std::min(job_->pause, patience_.total - job_->waited);
    job_->waited += pause;
    job_->pause = std::min(job_->pause * 2, patience_.longest_pause);
    timers_.CallAfter(pause, [this, generation = generation_] {
      if (job_ && generation == generation_) Continue();
    });
    return;
  }
  Finish(absl::OkStatus());
}

absl::Status WindowWriter::WriteOne(std::uint32_t group) {
  ASSIGN_OR_RETURN(const Window before, knob_.Read(group));
  RETURN_IF_ERROR(knob_.Write(group, job_->window));
  // From here on the group counts as written, whatever the kernel says next: it must be put back.
  job_->written.push_back({.group = group, .window = before});
  ASSIGN_OR_RETURN(const Window after, knob_.Read(group));
  if (after == job_->window) return absl::OkStatus();
  return absl::InternalError(fmt::format("IOMMU group {} has the window {} after {} was written",
                                         group, FormatWindow(after), FormatWindow(job_->window)));
}

void WindowWriter::Abandon(std::string_view message) {
  if (job_) Finish(absl::UnavailableError(std::string(message)));
}

void WindowWriter::Finish(absl::Status status) {
  Job job = *std::move(job_);
  job_.reset();
  if (!status.ok()) job.written = PutBack(job.written);
  job.done({.status = std::move(status), .written = std::move(job.written)});
}

std::vector<WindowWriter::Previous> WindowWriter::PutBack(std::span<const Previous> written) {
  std::vector<Previous> stuck;
  for (const Previous& previous : written) {
    // "default" rather than the number: the group is then as if it had never been written.
    absl::Status status = previous.window == kFixedWindow
                              ? knob_.Reset(previous.group)
                              : knob_.Write(previous.group, previous.window);
    // A group that is gone has taken its window along.
    if (status.ok() || absl::IsNotFound(status)) continue;
    log::Error("window not put back", {{"reason", base::Reason::kPutBackRefused},
                                       {"group", previous.group},
                                       {"window", FormatWindow(previous.window)},
                                       {"error", status}});
    stuck.push_back(previous);
  }
  return stuck;
}

}  // namespace dp::core
