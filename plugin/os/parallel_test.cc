// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/parallel.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <latch>

namespace dp::os {
namespace {

TEST(ParallelTest, ThreadsRunAtOnce) {
  // Nobody passes the latch before all three are there.
  std::latch all_there(3);
  std::atomic<int> calls = 0;
  RunOnThreads(3, [&] {
    all_there.arrive_and_wait();
    ++calls;
  });
  EXPECT_EQ(calls, 3);
}

TEST(ParallelTest, DetachedWorkRunsOnAThreadOfItsOwn) {
  const pthread_t caller = ::pthread_self();
  std::latch done(1);
  bool is_caller = true;
  RunDetached([&] {
    is_caller = ::pthread_equal(::pthread_self(), caller) != 0;
    done.count_down();
  });
  done.wait();
  EXPECT_FALSE(is_caller);
}

TEST(ParallelTest, OneThreadIsTheCallingOne) {
  const pthread_t caller = ::pthread_self();
  for (const std::size_t threads : {std::size_t{0}, std::size_t{1}}) {
    int calls = 0;
    RunOnThreads(threads, [&] {
      EXPECT_TRUE(::pthread_equal(::pthread_self(), caller));
      ++calls;
    });
    EXPECT_EQ(calls, 1);
  }
}

// From now on this process gets no more threads, as under a pids limit.
void RefuseThreads() {
  sock_filter instructions[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{.len = std::size(instructions), .filter = instructions};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

TEST(ParallelTest, WorkIsDoneEvenIfTheHostRefusesThreads) {
  // In a process of its own, because it cannot be taken back.
  const auto work_without_threads = [] {
    RefuseThreads();
    std::atomic<int> calls = 0;
    RunOnThreads(3, [&] { ++calls; });
    std::_Exit(calls);
  };
  EXPECT_EXIT(work_without_threads(), testing::ExitedWithCode(1), "");
}

TEST(ParallelTest, ThereIsAProcessor) { EXPECT_GE(AvailableProcessors(), 1U); }

}  // namespace
}  // namespace dp::os
