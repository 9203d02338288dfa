// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "plugin/base/parse.h"
#include "tests/fakes/fake_pod_resources.h"
#include "tests/fakes/msi_window_kernel.h"
#include "tests/integration/world.h"
#include "tests/reliability/changes.h"
#include "tests/reliability/pod_load.h"

// Whether a window is as dependable as a lease in a good database, with the real binary. How much
// is tried is said by environment variables; without them it is little, for every run of the tests
// (docs/reliability.md):
//
//   RELIABILITY_KILLS           30   SIGKILLs of the daemon
//   RELIABILITY_RESTARTS        30   restarts of the kubelet
//   RELIABILITY_SOAK_SECONDS     3   of churn
//   RELIABILITY_FOLDER        /tmp   where ledger and settings are: with /dev/shm no disk is waited
//                                    for
//   RELIABILITY_SEED           any   of all that happens at random; it is printed. The same seed
//                                    asks for the same pods and kills after the same times, which
//                                    need not be the same points
//
// The kernel is MsiWindowKernel: EBUSY and other refusals are not among what is tried here.

namespace dp::reliability {
namespace {

using integration::Daemon;
using std::chrono::microseconds;
using Clock = std::chrono::steady_clock;

constexpr char kNvme[] = "vendor.example/nvme";
constexpr char kNic[] = "vendor.example/nic";

std::uint32_t Number(const char* variable, std::uint32_t otherwise) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return otherwise;
  const auto number = base::ParseDecimal<std::uint32_t>(text);
  if (!number) {
    fmt::print(stderr, "{} is \"{}\", which is no number\n", variable, text);
    std::abort();
  }
  return *number;
}

std::string Folder() {
  const char* folder = std::getenv("RELIABILITY_FOLDER");
  return folder == nullptr ? "/tmp" : folder;
}

double Milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

// Kills the daemon once, at a moment of its own choice.
class Killer {
 public:
  Killer(Daemon& daemon, fakes::MsiWindowKernel& kernel) : daemon_(daemon), kernel_(kernel) {}
  Killer(const Killer&) = delete;
  Killer& operator=(const Killer&) = delete;
  ~Killer() { KillNow(); }

  void After(microseconds time) {
    timer_ = std::thread([this, at = Clock::now() + time] {
      std::unique_lock lock(mutex_);
      changed_.wait_until(lock, at, [this] { return killed_.load(); });
      lock.unlock();
      Kill();
    });
  }
  // While the daemon opens an msi_window for that time from now on.
  void AtOpen(int opens) {
    kernel_.CallAt(opens, [this] { Kill(); });
  }
  // If it has not been killed yet. Afterwards nobody signals it any more.
  void KillNow() {
    kernel_.CallAt(0, {});
    Kill();
    if (timer_.joinable()) timer_.join();
  }
  [[nodiscard]] bool killed() const { return killed_; }

 private:
  void Kill() {
    const std::lock_guard lock(mutex_);
    if (killed_.exchange(true)) return;
    daemon_.Signal(SIGKILL);
    changed_.notify_all();
  }

  Daemon& daemon_;
  fakes::MsiWindowKernel& kernel_;
  std::thread timer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> killed_ = false;
};

class ReliabilityTest : public integration::World {
 protected:
  ReliabilityTest() : World(Folder()), listed_(path("pods.sock")) {
    const std::uint32_t seed = Number("RELIABILITY_SEED", std::random_device()());
    std::cout << "RELIABILITY_SEED=" << seed << std::endl;
    random_.seed(seed);
  }

  // Two resources of that many devices each, and a pool of `windows`.
  void MakeHost(std::uint32_t devices, std::uint32_t windows, std::size_t most_pods) {
    constexpr std::uint64_t kPoolStart = 0x09100000;
    WriteConfig(fmt::format(R"(
window: {{pool: {{start: {:#x}, end: {:#x}}}}}
resources:
  - name: {}
    selectors: [{{addresses: ["0001:*"]}}]
  - name: {}
    selectors: [{{addresses: ["0002:*"]}}]
)",
                            kPoolStart, kPoolStart + windows * core::kWindowGranule, kNvme, kNic));
    std::filesystem::create_directories(path("state"));
    std::filesystem::create_directories(path("data"));
    changes_.Watch(path("state"));
    changes_.Watch(path("data"));
    std::vector<PodLoad::Device> all;
    for (const auto& [domain, resource] : {std::pair(1, kNvme), {2, kNic}}) {
      for (std::uint32_t i = 0; i < devices; ++i) {
        const auto group = static_cast<std::uint32_t>(all.size());
        all.push_back({.id = fmt::format("{:04x}:{:02x}:{:02x}.0", domain, i / 32, i % 32),
                       .group = group,
                       .resource = resource});
        AddDevice(all.back().id, group);
        changes_.Watch(WindowFile(group));
        kernel_.Add(group, WindowFile(group));
      }
    }
    devices_ = devices;
    windows_ = windows;
    pods_.emplace(PodLoad::World{.kubelet = kubelet_,
                                 .listed = listed_,
                                 .kernel = kernel_,
                                 .ledger_path = path("data/ledger.json")},
                  std::move(all), most_pods, random_);
    listed_.Start();
    kubelet_.Start();
  }

  void Launch() {
    nvme_registered_ = kubelet_.Get(kNvme).registrations;
    nic_registered_ = kubelet_.Get(kNic).registrations;
    Start({"--release-grace", "1", "--log-level", log_level_});
  }
  void ExpectRegistered() {
    for (const auto& [resource, before] :
         {std::pair(kNvme, nvme_registered_), {kNic, nic_registered_}}) {
      ASSERT_EQ(kubelet_.WaitForRegistrations(resource, before + 1), absl::OkStatus())
          << daemon_->log();
      ASSERT_EQ(kubelet_.WaitForDevices(resource, devices_), absl::OkStatus()) << daemon_->log();
    }
  }
  // As if killed, and the sockets of the old one are there until the new one starts.
  Clock::time_point RestartKubelet() {
    kubelet_.Stop();
    listed_.Restart();
    return kubelet_.Start();
  }

  void ExpectInOrder() {
    const std::string broken = pods_->Broken();
    ASSERT_EQ(broken, "") << daemon_->log();
  }
  // Of a call to a daemon and a kubelet that both live.
  void ExpectServed(const grpc::Status& status) {
    // A daemon that nobody watches for a second registers again, as on a machine that is busy. With
    // that the kubelet ends the former connection, and a call on it.
    if (!status.ok() && RegisteredAgain()) return;
    ASSERT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED)
        << status.error_message() << "\n"
        << daemon_->log();
  }
  // Since it was looked for last, by this or by ExpectRegistered().
  bool RegisteredAgain() {
    const int nvme = kubelet_.Get(kNvme).registrations - 1;
    const int nic = kubelet_.Get(kNic).registrations - 1;
    const bool again = nvme > nvme_registered_ || nic > nic_registered_;
    nvme_registered_ = nvme;
    nic_registered_ = nic;
    if (again) ++registered_again_;
    return again;
  }
  // What pods that have gone had is given back.
  void ExpectGivenBack() {
    ASSERT_TRUE(changes_.WaitUntil([this] { return pods_->Leftover().empty(); }))
        << "waited 10 s for what pods had that have gone: " << pods_->Leftover() << "\n"
        << daemon_->log();
  }
  // After all that has happened every pod can start, nothing stays behind, and no window is lost.
  void ExpectGoodEnd() {
    const grpc::Status started = pods_->StartAll();
    ASSERT_TRUE(started.ok()) << started.error_message();
    ExpectInOrder();
    pods_->DeleteAll();
    ExpectGivenBack();
    ASSERT_TRUE(changes_.WaitUntil([this] { return std::filesystem::is_empty(path("state")); }))
        << "waited 10 s for an empty folder of settings\n"
        << daemon_->log();
    const grpc::Status filled = pods_->FillPool(windows_);
    ASSERT_TRUE(filled.ok()) << filled.error_message();
    const grpc::Status all_started = pods_->StartAll();
    ASSERT_TRUE(all_started.ok()) << all_started.error_message();
    ExpectInOrder();
    pods_->DeleteAll();
    ExpectGivenBack();
    Stop();
  }
  void PrintCounts() const {
    std::cout << registered_again_ << " registered again\n";
    for (const auto& [what, count] : pods_->counts()) std::cout << count << " " << what << "\n";
  }

  std::size_t Below(std::size_t limit) { return random_() % limit; }
  // As often between 1 and 10 as between 1,000 and 10,000.
  microseconds RandomTime(microseconds longest) {
    const double exponent = std::uniform_real_distribution<>(
        0, std::log(static_cast<double>(longest.count())))(random_);
    return microseconds(static_cast<std::int64_t>(std::exp(exponent)));
  }

  std::mt19937 random_;
  fakes::FakePodResources listed_;
  Changes changes_;
  fakes::MsiWindowKernel kernel_;
  std::optional<PodLoad> pods_;
  std::size_t devices_ = 0;  // of each resource
  std::size_t windows_ = 0;  // of the pool
  std::string log_level_ = "info";
  int nvme_registered_ = 0;  // before the last Launch()
  int nic_registered_ = 0;
  int registered_again_ = 0;
};

class KillTest : public ReliabilityTest {
 protected:
  // When the daemon was killed.
  enum class Moment { kAtStart, kAtSomeTime, kAtOpen, kWhileReleasing, kAtRest };

  Moment Choose(std::uint32_t number) {
    // These take a second each, which is the shortest grace time.
    if (number % 40 == 29) return Moment::kAtRest;
    if (number % 20 == 9) return Moment::kWhileReleasing;
    switch (Below(5)) {
      case 0:
        return Moment::kAtStart;
      case 1:
      case 2:
        return Moment::kAtSomeTime;
      default:
        return Moment::kAtOpen;
    }
  }

  void RunAndKill(Moment moment) {
    Launch();
    Killer killer(*daemon_, kernel_);
    if (moment == Moment::kAtStart) {
      constexpr microseconds kStart{20000};
      if (Below(2) == 0) killer.AtOpen(static_cast<int>(1 + Below(2 * devices_)));
      killer.After(RandomTime(kStart));
      ASSERT_NO_FATAL_FAILURE(ExpectKilled(killer, true));
      return;
    }
    ASSERT_NO_FATAL_FAILURE(ExpectRegistered());
    ASSERT_NO_FATAL_FAILURE(ExpectInOrder());
    switch (moment) {
      case Moment::kAtSomeTime:
        killer.After(RandomTime(microseconds(20000)));
        break;
      case Moment::kAtOpen:
        killer.AtOpen(static_cast<int>(1 + Below(20)));
        break;
      case Moment::kWhileReleasing:
        ASSERT_NO_FATAL_FAILURE(WaitForRelease());
        killer.After(RandomTime(microseconds(2000)));
        ASSERT_NO_FATAL_FAILURE(ExpectKilled(killer, true));
        return;
      default:
        ASSERT_NO_FATAL_FAILURE(ExpectGivenBack());
    }
    constexpr int kMostSteps = 40;
    for (int step = 0; step < kMostSteps && !killer.killed(); ++step) {
      const grpc::Status status = pods_->Step();
      if (killer.killed()) break;
      ASSERT_NO_FATAL_FAILURE(ExpectServed(status));
      if (Below(4) != 0) continue;
      ASSERT_NO_FATAL_FAILURE(ExpectInOrder());
    }
    ASSERT_NO_FATAL_FAILURE(ExpectKilled(killer, false));
  }

  // All pods go, and the daemon begins to take back what they had.
  void WaitForRelease() {
    const grpc::Status filled = pods_->Step();
    ASSERT_NO_FATAL_FAILURE(ExpectServed(filled));
    pods_->DeleteAll();
    const auto settings = [this] {
      return std::distance(std::filesystem::directory_iterator(path("state")), {});
    };
    const auto before = settings();
    if (before == 0) return;
    ASSERT_TRUE(changes_.WaitUntil([&] { return settings() < before; }))
        << "waited 10 s for the first settings to go\n"
        << daemon_->log();
  }

  // `wait`: until the killer kills by itself.
  void ExpectKilled(Killer& killer, bool wait) {
    if (!wait) killer.KillNow();
    ASSERT_EQ(daemon_->Wait(), -SIGKILL) << daemon_->log();
    killer.KillNow();
  }
};

TEST_F(KillTest, LosesAndDoublesNothingWhenItIsKilled) {
  const std::uint32_t kills = Number("RELIABILITY_KILLS", 30);
  // Fewer windows than devices, so that the pool runs dry.
  MakeHost(12, 16, 10);
  std::map<Moment, int> moments;
  for (std::uint32_t number = 0; number < kills; ++number) {
    SCOPED_TRACE(fmt::format("kill {}", number));
    const Moment moment = Choose(number);
    ++moments[moment];
    ASSERT_NO_FATAL_FAILURE(RunAndKill(moment));
    ASSERT_NO_FATAL_FAILURE(ExpectInOrder());
    // A kubelet may be gone at the same time, and have come back before the daemon.
    if (Below(6) == 0) RestartKubelet();
  }
  Launch();
  ASSERT_NO_FATAL_FAILURE(ExpectRegistered());
  ASSERT_NO_FATAL_FAILURE(ExpectInOrder());
  ASSERT_NO_FATAL_FAILURE(ExpectGoodEnd());
  std::cout << fmt::format(
      "{} kills: {} while it started, {} at some time, {} while it used the kernel's file, {} "
      "while "
      "it took windows back, {} with nothing left to take back before\n",
      kills, moments[Moment::kAtStart], moments[Moment::kAtSomeTime], moments[Moment::kAtOpen],
      moments[Moment::kWhileReleasing], moments[Moment::kAtRest]);
  PrintCounts();
}

TEST_F(ReliabilityTest, RegistersWithEachKubelet) {
  const std::uint32_t restarts = Number("RELIABILITY_RESTARTS", 30);
  MakeHost(12, 16, 10);
  Launch();
  ASSERT_NO_FATAL_FAILURE(ExpectRegistered());
  constexpr int kMostSteps = 4;  // before the kubelet goes
  std::vector<double> times;     // in ms, until both resources were registered
  for (std::uint32_t number = 0; number < restarts; ++number) {
    SCOPED_TRACE(fmt::format("restart {}", number));
    nvme_registered_ = kubelet_.Get(kNvme).registrations;
    nic_registered_ = kubelet_.Get(kNic).registrations;
    const int before = static_cast<int>(Below(kMostSteps));
    std::atomic<int> steps = 0;
    std::atomic<bool> back = false;
    grpc::Status refused;
    std::thread load([&] {
      while (!back) {
        const grpc::Status status = pods_->Step();
        ++steps;
        steps.notify_all();
        if (status.ok() || status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) continue;
        // The kubelet went meanwhile: the call ended with its connection, or could not begin.
        if (status.error_code() != grpc::StatusCode::UNAVAILABLE &&
            status.error_code() != grpc::StatusCode::CANCELLED &&
            status.error_code() != grpc::StatusCode::FAILED_PRECONDITION) {
          refused = status;
        }
        // There are no more steps to wait for.
        steps = kMostSteps;
        steps.notify_all();
        back.wait(false);
      }
    });
    for (int now = 0; now < before; now = steps) steps.wait(now);
    const Clock::time_point serves = RestartKubelet();
    const absl::Status nvme = kubelet_.WaitForRegistrations(kNvme, nvme_registered_ + 1);
    const absl::Status nic = kubelet_.WaitForRegistrations(kNic, nic_registered_ + 1);
    back = true;
    back.notify_all();
    load.join();
    ASSERT_EQ(nvme, absl::OkStatus()) << daemon_->log();
    ASSERT_EQ(nic, absl::OkStatus()) << daemon_->log();
    ASSERT_TRUE(refused.ok()) << refused.error_message();
    times.push_back(Milliseconds(
        std::max(kubelet_.Get(kNvme).registered_at, kubelet_.Get(kNic).registered_at) - serves));
    ASSERT_NO_FATAL_FAILURE(ExpectRegistered());
    ASSERT_NO_FATAL_FAILURE(ExpectInOrder());
    for (int step = 0; step < 3; ++step) {
      ASSERT_NO_FATAL_FAILURE(ExpectServed(pods_->Step()));
    }
    ASSERT_NO_FATAL_FAILURE(ExpectInOrder());
  }
  ASSERT_NO_FATAL_FAILURE(ExpectGoodEnd());
  std::sort(times.begin(), times.end());
  std::cout << fmt::format(
      "{} restarts of the kubelet, all answered; from its serving to both resources registered: "
      "median {:.2f} ms, worst {:.2f} ms (goal on an idle machine: 2 and 10)\n",
      restarts, times[times.size() / 2], times.back());
  PrintCounts();
}

// What a process has at one moment.
struct Holdings {
  std::int64_t anonymous = 0;  // memory, in KiB
  std::int64_t descriptors = 0;
  std::int64_t threads = 0;
  std::int64_t watches = 0;  // of inotify
};

std::int64_t CountEntries(const std::string& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

Holdings HoldingsOf(pid_t process) {
  const std::string proc = fmt::format("/proc/{}", process);
  Holdings holdings{.anonymous = -1,
                    .descriptors = CountEntries(proc + "/fd"),
                    .threads = CountEntries(proc + "/task"),
                    .watches = 0};
  std::ifstream rollup(proc + "/smaps_rollup");
  for (std::string word; rollup >> word;) {
    if (word == "Anonymous:") rollup >> holdings.anonymous;
  }
  for (const auto& entry : std::filesystem::directory_iterator(proc + "/fdinfo")) {
    std::ifstream info(entry.path());
    for (std::string line; std::getline(info, line);) {
      if (line.starts_with("inotify ")) ++holdings.watches;
    }
  }
  return holdings;
}

std::string Describe(const Holdings& holdings) {
  return fmt::format("{} KiB anonymous, {} descriptors, {} threads, {} inotify watches",
                     holdings.anonymous, holdings.descriptors, holdings.threads, holdings.watches);
}

TEST_F(ReliabilityTest, NeedsNoMoreAfterALongTime) {
  const std::chrono::seconds time(Number("RELIABILITY_SOAK_SECONDS", 3));
  constexpr int kSamples = 30;
  // Each List of pods is a connection, and some may be under way (PodResources::kMostCalls).
  constexpr std::int64_t kMoreDescriptors = 8;
  constexpr std::int64_t kMoreThreads = 2;
  constexpr std::int64_t kMoreWatches = 0;
  constexpr std::int64_t kMoreKib = 256;

  constexpr std::size_t kPods = 40;
  MakeHost(128, 111, kPods);
  log_level_ = "warning";
  Launch();
  ASSERT_NO_FATAL_FAILURE(ExpectRegistered());
  while (pods_->size() < kPods) ASSERT_NO_FATAL_FAILURE(ExpectServed(pods_->Step()));
  const auto begin = Clock::now();
  // The heap of the daemon grows for some ten minutes, by a fifth, and then no more.
  const Clock::duration warm_up = time / 3;
  std::optional<Holdings> warm;
  Clock::time_point next = begin + warm_up;
  const auto between = (time - warm_up) / kSamples;
  std::uint64_t steps = 0;
  Holdings last;
  Holdings most;
  while (Clock::now() < begin + time) {
    ASSERT_NO_FATAL_FAILURE(ExpectServed(pods_->Step()));
    if (++steps % 64 == 0) {
      ASSERT_NO_FATAL_FAILURE(ExpectInOrder());
    }
    if (Clock::now() < next) continue;
    next += between;
    last = HoldingsOf(daemon_->pid());
    if (!warm) warm = last;
    most = {.anonymous = std::max(most.anonymous, last.anonymous),
            .descriptors = std::max(most.descriptors, last.descriptors),
            .threads = std::max(most.threads, last.threads),
            .watches = std::max(most.watches, last.watches)};
    std::cout << fmt::format("{:7.1f} s: {}", Milliseconds(Clock::now() - begin) / 1000,
                             Describe(last))
              << std::endl;
  }
  ASSERT_TRUE(warm.has_value());
  std::cout << fmt::format("{} steps in {} s; warm: {}; most: {}; end: {}\n", steps, time.count(),
                           Describe(*warm), Describe(most), Describe(last));
  EXPECT_LE(last.descriptors, warm->descriptors + kMoreDescriptors);
  EXPECT_LE(last.threads, warm->threads + kMoreThreads);
  EXPECT_LE(last.watches, warm->watches + kMoreWatches);
  if (!integration::PluginKeepsWhatIsFreed()) {
    EXPECT_LE(last.anonymous, warm->anonymous + kMoreKib);
  }
  ASSERT_NO_FATAL_FAILURE(ExpectGoodEnd());
  PrintCounts();
}

}  // namespace
}  // namespace dp::reliability
