// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include "api/kubelet/pluginregistration/v1/api.grpc.pb.h"
#include "plugin/base/unique_fd.h"

namespace dp::fakes {

// The plugin manager of a kubelet, with the manners of the real one (kubernetes
// pkg/kubelet/pluginmanager):
//  - it finds the sockets that are in its folder when it starts, and later those that come and go;
//  - it looks at what it has found once in a period, and makes up for the difference: a socket that
//    has gone, or was made again, is deregistered first;
//  - it registers: dial (10 s), GetInfo (1 s), type and version, the device manager,
//    NotifyRegistrationStatus (5 s);
//  - what has failed it tries again after 0.5 s, twice as long each time, up to 122 s; but one of
//    1.35 or older takes a plugin that the device manager has refused for registered.
// Its period is shorter than a second, for the sake of the tests.
class FakePluginWatcher {
 public:
  static constexpr std::chrono::milliseconds kPeriod{20};

  // The device manager; called on the thread of the watcher.
  struct Handler {
    std::function<grpc::Status(const std::string& resource, const std::string& socket)> connect;
    std::function<void(const std::string& resource, const std::string& socket)> disconnect;
  };

  // Watches `folder`, which must be there, until it is destroyed.
  FakePluginWatcher(std::string folder, bool forgets_refused, Handler handler);
  FakePluginWatcher(const FakePluginWatcher&) = delete;
  FakePluginWatcher& operator=(const FakePluginWatcher&) = delete;
  ~FakePluginWatcher();

 private:
  using Clock = std::chrono::steady_clock;
  // A socket in the folder.
  struct Found {
    int generation = 0;  // as the UUID of the real one: another for each time it was made
    std::chrono::milliseconds back_off{0};
    Clock::time_point not_before;
    Clock::time_point dialed;  // for the first time without success; zero: not yet
  };
  struct Registered {
    int generation = 0;
    std::string resource;
  };

  void Run();
  void Scan();
  void ReadChanges();
  void Reconcile();
  void Register(const std::string& path, Found& found);
  std::string TryToRegister(const std::string& path, const Found& found, base::UniqueFd connection);

  const std::string folder_;
  const bool forgets_refused_;
  const Handler handler_;
  base::UniqueFd inotify_;
  base::UniqueFd end_;
  int generations_ = 0;
  std::map<std::string, Found> found_;            // by path; the desired state of the world
  std::map<std::string, Registered> registered_;  // by path; the actual one
  std::thread thread_;
};

}  // namespace dp::fakes
