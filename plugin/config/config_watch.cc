// SPDX-License-Identifier: Apache-2.0
#include "plugin/config/config_watch.h"

#include <algorithm>
#include <utility>

#include "plugin/base/status_macros.h"

namespace dp::config {

absl::StatusOr<std::unique_ptr<ConfigWatch>> ConfigWatch::Create(os::EventLoop& loop,
                                                                 const std::string& path,
                                                                 std::function<void()> changed) {
  const std::size_t slash = path.rfind('/');
  const bool bare = slash == std::string::npos;
  const std::string folder = bare ? "." : path.substr(0, slash + 1);
  std::unique_ptr<ConfigWatch> watch(
      new ConfigWatch(loop, bare ? path : path.substr(slash + 1), std::move(changed)));
  ASSIGN_OR_RETURN(watch->watcher_,
                   os::InotifyWatcher::Create(
                       loop, folder,
                       [raw = watch.get()](std::span<const os::DirectoryChange> changes) {
                         raw->OnChanges(changes);
                       },
                       os::InotifyWatcher::What::kNamesAndContents));
  return watch;
}

ConfigWatch::ConfigWatch(os::EventLoop& loop, std::string name, std::function<void()> changed)
    : loop_(loop), name_(std::move(name)), changed_(std::move(changed)) {}

ConfigWatch::~ConfigWatch() {
  if (settled_) loop_.Cancel(*settled_);
  // Closes at once then.
  if (watcher_) watcher_->Pause();
}

void ConfigWatch::OnChanges(std::span<const os::DirectoryChange> changes) {
  using Kind = os::DirectoryChange::Kind;
  const bool concerned =
      std::any_of(changes.begin(), changes.end(), [this](const os::DirectoryChange& change) {
        return change.kind == Kind::kOverflow || change.kind == Kind::kEnded ||
               (change.kind != Kind::kDeleted && (change.name == name_ || change.name == "..data"));
      });
  if (!concerned) return;
  if (settled_) loop_.Cancel(*settled_);
  settled_ = loop_.CallAfter(kSettled, [this] {
    settled_.reset();
    changed_();
  });
}

}  // namespace dp::config
