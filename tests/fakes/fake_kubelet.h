// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "api/kubelet/v1beta1/api.grpc.pb.h"
#include "tests/fakes/fake_plugin_watcher.h"
#include "tests/fakes/grpc_socket.h"

namespace dp::fakes {

// The device manager of a kubelet, over real sockets, with the manners of the real one
// (kubernetes pkg/kubelet/cm/devicemanager):
//  - when it starts, it removes every socket of the folder and then makes kubelet.sock;
//  - within Register it dials the plugin back (10 s) and asks for its options before it answers,
//  then
//    it opens ListAndWatch;
//  - of several registrations of a resource the last one gets the calls, and every open stream says
//    which devices there are;
//  - a stream that ends stops the resource, see Release;
//  - it speaks v1beta1 only, and receives messages of up to 4 MiB;
//  - when it goes, its connections go, and kubelet.sock stays behind.
//
// Every member may be called from any thread.
class FakeKubelet {
 public:
  using Clock = std::chrono::steady_clock;
  using Devices = std::map<std::string, v1beta1::Device>;  // by ID
  enum class Release {
    // Up to 1.35: it knows one plugin of a resource. When the stream of any ends, it disconnects
    // the last one that has registered (kubernetes issue 121994).
    kV134,
    // From 1.36 on: it knows a plugin by its socket. A resource stops with its last plugin. A
    // socket that is connected is refused, and its end is then not noticed.
    kV137,
  };
  static constexpr std::chrono::seconds kPatience{10};  // of all waits

  // What it knows of a resource. Everything but the counters is about the last registration.
  struct Resource {
    std::string endpoint;  // path of the socket
    v1beta1::DevicePluginOptions options;
    Devices devices;              // of the last list
    std::size_t allocatable = 0;  // healthy ones, none while the resource is stopped
    // The longest time that allocatable was 0 after it had not been.
    Clock::duration longest_without{0};
    std::optional<Clock::time_point> without_since;
    bool watching = false;            // ListAndWatch is open
    grpc::Status watch_status;        // how it ended
    int registrations = 0;            // that were accepted, ever
    int lists = 0;                    // received, ever
    Clock::time_point registered_at;  // when Register was answered
    Clock::time_point listed_at;      // when the last list had come
  };

  // Does not serve yet.
  explicit FakeKubelet(std::string folder, Release release = Release::kV134);
  FakeKubelet(const FakeKubelet&) = delete;
  FakeKubelet& operator=(const FakeKubelet&) = delete;
  ~FakeKubelet();

  // From its next start on it finds plugins in this folder too.
  void WatchPlugins(std::string folder) { registry_ = std::move(folder); }
  // Wipes the folder and serves. Returns the moment from which a plugin can connect.
  Clock::time_point Start();
  // As if killed.
  void Stop();
  Clock::time_point Restart() {
    Stop();
    return Start();
  }
  // From now on registrations fail with this status; Ok: no more.
  void RefuseRegistrations(grpc::Status status);

  [[nodiscard]] Resource Get(const std::string& resource) const;
  // How many Register calls came in, refused ones included.
  [[nodiscard]] int register_calls() const;
  // Waits until the resource is such. DeadlineExceeded: says what was waited for (`what`) and what
  // there was instead.
  absl::Status WaitFor(const std::string& resource, std::string_view what,
                       const std::function<bool(const Resource&)>& is_such) const;
  // Waits until as many devices can be allocated.
  absl::Status WaitForAllocatable(const std::string& resource, std::size_t count) const;
  absl::Status WaitForRegistrations(const std::string& resource, int count) const;
  // Waits until as many devices are listed, whatever their health.
  absl::Status WaitForDevices(const std::string& resource, std::size_t count) const;
  absl::Status WaitForRegisterCalls(int count) const;
  // The same for the plugins that its watcher has found and asked.
  absl::Status WaitForFinds(int count) const;

  // Calls of the plugin that registered the resource last. FailedPrecondition: none did.
  grpc::Status Allocate(const std::string& resource, const std::vector<std::string>& devices,
                        v1beta1::ContainerAllocateResponse* response);
  grpc::Status Allocate(const std::string& resource, const v1beta1::AllocateRequest& request,
                        v1beta1::AllocateResponse* response);
  grpc::Status PreStartContainer(const std::string& resource,
                                 const std::vector<std::string>& devices);
  grpc::Status GetPreferredAllocation(const std::string& resource,
                                      const v1beta1::PreferredAllocationRequest& request,
                                      v1beta1::PreferredAllocationResponse* response);

  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] std::string socket_path() const { return folder_ + "/kubelet.sock"; }

 private:
  class Service;
  struct Session;

  using Sessions = std::vector<std::shared_ptr<Session>>;

  grpc::Status OnRegister(const v1beta1::RegisterRequest& request);
  grpc::Status Connect(const std::string& resource, const std::string& path);
  void Watch(Session& session);
  // With mutex_ locked.
  [[nodiscard]] std::shared_ptr<Session> FindClient(const std::string& resource,
                                                    const std::string& path) const;
  void ForgetClient(const std::string& resource, const std::string& path);
  void Disconnect(const std::string& resource, const std::string& path);
  void SetAllocatable(Resource& resource, std::size_t count);

  absl::Status WaitForCount(std::string_view what, const int& counter, int count) const;
  void WipeSockets() const;
  [[nodiscard]] std::shared_ptr<Session> SessionOf(const std::string& resource) const;

  const std::string folder_;
  const Release release_;
  std::string registry_;  // empty: it does not watch plugins
  std::unique_ptr<FakePluginWatcher> watcher_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<GrpcSocket> socket_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  // All below are guarded by mutex_.
  bool serving_ = false;
  int register_calls_ = 0;
  int finds_ = 0;
  grpc::Status refusal_;
  std::map<std::string, Resource> resources_;
  Sessions sessions_;                        // all since the start
  std::map<std::string, Sessions> clients_;  // by resource; whose end it will note
  // Who has a place in the device manager; with kV137 only. By resource, in order.
  std::map<std::string, Sessions> places_;
  std::map<std::string, std::shared_ptr<Session>> endpoints_;  // by resource; who gets the calls
};

}  // namespace dp::fakes
