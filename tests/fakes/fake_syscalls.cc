// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_syscalls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <string_view>
#include <utility>

namespace dp::fakes {
namespace {

FakeSyscalls* current = nullptr;

std::string Named(std::string_view name, std::string_view path) {
  return std::string(name) + ' ' + std::string(path.substr(path.rfind('/') + 1));
}

template <typename Call>
auto MakeCall(std::string name, Call real) {
  return current == nullptr ? real() : current->Make(std::move(name), real);
}

}  // namespace

FakeSyscalls::FakeSyscalls(std::vector<Fault> faults) : faults_(std::move(faults)) {
  current = this;
}

FakeSyscalls::~FakeSyscalls() { current = nullptr; }

const Fault* FakeSyscalls::FaultOfNext() const {
  for (const Fault& fault : faults_) {
    const bool is_past = fault.kind == Fault::Kind::kFailAll && fault.call < calls_.size();
    if (fault.call == calls_.size() || is_past) return &fault;
  }
  return nullptr;
}

bool FakeSyscalls::IsNextShort() const {
  const Fault* const fault = FaultOfNext();
  return fault != nullptr && fault->kind == Fault::Kind::kShort;
}

template <typename Call>
auto FakeSyscalls::Make(std::string name, Call real) -> decltype(real()) {
  const Fault* const fault = FaultOfNext();
  calls_.push_back(std::move(name));
  if (fault == nullptr || fault->kind == Fault::Kind::kShort) return real();
  if (fault->kind == Fault::Kind::kFail || fault->kind == Fault::Kind::kFailAll) {
    errno = fault->error;
    return -1;
  }
  if (fault->kind == Fault::Kind::kDieAfter) real();
  ::_exit(kDeath);
}

}  // namespace dp::fakes

// The linker puts each of these in the place of the function that it is named after (--wrap).
extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): these names are what
// --wrap looks for.
using dp::fakes::MakeCall;
using dp::fakes::Named;

int __real_fchmod(int fd, mode_t mode);
int __real_fstat(int fd, struct stat* info);
int __real_fsync(int fd);
int __real_link(const char* from, const char* to);
int __real_mkdir(const char* path, mode_t mode);
int __real_open(const char* path, int flags, ...);
ssize_t __real_read(int fd, void* buffer, size_t size);
int __real_rename(const char* from, const char* to);
int __real_unlink(const char* path);
ssize_t __real_write(int fd, const void* buffer, size_t size);

int __wrap_fchmod(int fd, mode_t mode) {
  return MakeCall("fchmod", [&] { return __real_fchmod(fd, mode); });
}

int __wrap_fstat(int fd, struct stat* info) {
  return MakeCall("fstat", [&] { return __real_fstat(fd, info); });
}

int __wrap_fsync(int fd) {
  return MakeCall("fsync", [&] { return __real_fsync(fd); });
}

int __wrap_link(const char* from, const char* to) {
  return MakeCall(Named("link", from), [&] { return __real_link(from, to); });
}

int __wrap_mkdir(const char* path, mode_t mode) {
  return MakeCall(Named("mkdir", path), [&] { return __real_mkdir(path, mode); });
}

int __wrap_open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  return MakeCall(Named("open", path), [&] { return __real_open(path, flags, mode); });
}

ssize_t __wrap_read(int fd, void* buffer, size_t size) {
  return MakeCall("read", [&] { return __real_read(fd, buffer, size); });
}

int __wrap_rename(const char* from, const char* to) {
  return MakeCall(Named("rename", from), [&] { return __real_rename(from, to); });
}

int __wrap_unlink(const char* path) {
  return MakeCall(Named("unlink", path), [&] { return __real_unlink(path); });
}

ssize_t __wrap_write(int fd, const void* buffer, size_t size) {
  if (dp::fakes::current != nullptr && dp::fakes::current->IsNextShort()) size /= 2;
  return MakeCall("write", [&] { return __real_write(fd, buffer, size); });
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

}  // extern "C"
