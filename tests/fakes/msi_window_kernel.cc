// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/msi_window_kernel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace dp::fakes {
namespace {

void Check(bool done, const std::string& what) {
  if (done) return;
  fmt::print(stderr, "MsiWindowKernel: cannot {}: {}\n", what, std::strerror(errno));
  std::abort();
}

std::pair<dev_t, ino_t> IdOf(int fd) {
  struct stat status {};
  Check(::fstat(fd, &status) == 0, "look at a file");
  return {status.st_dev, status.st_ino};
}

std::string TextOf(int fd) {
  char bytes[64];
  const ssize_t size = ::pread(fd, bytes, sizeof(bytes), 0);
  Check(size >= 0, "read a window");
  return std::string(bytes, static_cast<std::size_t>(size));
}

}  // namespace

MsiWindowKernel::MsiWindowKernel()
    : fanotify_(::fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  Check(fanotify_.valid(), "watch files (root is needed)");
  Check(stop_.valid(), "make an eventfd");
  server_ = std::thread([this] { Serve(); });
}

MsiWindowKernel::~MsiWindowKernel() {
  const std::uint64_t one = 1;
  Check(::write(stop_.get(), &one, sizeof(one)) == sizeof(one), "end its thread");
  server_.join();
}

void MsiWindowKernel::Add(std::uint32_t group, const std::string& msi_window_path) {
  File file{.fd = base::UniqueFd(::open(msi_window_path.c_str(), O_RDWR | O_CLOEXEC)),
            .known = core::kFixedWindow};
  Check(file.fd.valid(), "open " + msi_window_path);
  const std::lock_guard lock(mutex_);
  PutInOrder(file);
  group_by_id_[IdOf(file.fd.get())] = group;
  files_[group] = std::move(file);
  Check(::fanotify_mark(fanotify_.get(), FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD,
                        msi_window_path.c_str()) == 0,
        "watch " + msi_window_path);
}

core::Window MsiWindowKernel::WindowOf(std::uint32_t group) {
  const std::lock_guard lock(mutex_);
  return Read(files_.at(group));
}

void MsiWindowKernel::CallAt(int opens, std::function<void()> call) {
  const std::lock_guard lock(mutex_);
  opens_left_ = opens;
  call_ = std::move(call);
}

core::Window MsiWindowKernel::Read(File& file) {
  const std::string text = TextOf(file.fd.get());
  const std::string_view line = std::string_view(text).substr(0, text.find('\n'));
  if (line == "default") {
    file.known = core::kFixedWindow;
  } else if (const auto window = core::ParseWindow(line); window.ok()) {
    file.known = *window;
  } else if (!line.empty()) {  // empty: a writer has it open, or was killed
    fmt::print(stderr, "MsiWindowKernel: a file holds \"{}\"\n", line);
    std::abort();
  }
  return file.known;
}

void MsiWindowKernel::PutInOrder(File& file) {
  const std::string right = core::FormatWindow(Read(file)) + "\n";
  if (TextOf(file.fd.get()) == right) return;
  const auto length = static_cast<ssize_t>(right.size());
  Check(::pwrite(file.fd.get(), right.data(), right.size(), 0) == length &&
            ::ftruncate(file.fd.get(), length) == 0,
        "write a window");
}

void MsiWindowKernel::Serve() {
  alignas(fanotify_event_metadata) char buffer[4096];
  while (true) {
    pollfd sources[] = {{.fd = fanotify_.get(), .events = POLLIN, .revents = 0},
                        {.fd = stop_.get(), .events = POLLIN, .revents = 0}};
    if (::poll(sources, 2, -1) < 0) continue;  // EINTR
    if (sources[1].revents != 0) {
      // Whoever still waits may go on.
      fanotify_.Reset();
      return;
    }
    ssize_t left = ::read(fanotify_.get(), buffer, sizeof(buffer));
    Check(left >= 0, "read events");
    for (auto* event = reinterpret_cast<fanotify_event_metadata*>(buffer);
         FAN_EVENT_OK(event, left); event = FAN_EVENT_NEXT(event, left)) {
      const base::UniqueFd opened(event->fd);
      {
        const std::lock_guard lock(mutex_);
        if (opens_left_ > 0 && --opens_left_ == 0) std::exchange(call_, nullptr)();
        if (const auto group = group_by_id_.find(IdOf(opened.get())); group != group_by_id_.end()) {
          PutInOrder(files_.at(group->second));
        }
      }
      const fanotify_response response{.fd = event->fd, .response = FAN_ALLOW};
      // It fails if the one who waited was killed (ENOENT).
      const ssize_t written = ::write(fanotify_.get(), &response, sizeof(response));
      Check(written == sizeof(response) || errno == ENOENT, "answer an event");
    }
  }
}

}  // namespace dp::fakes
