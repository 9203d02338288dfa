// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/ledger.h"
#include "plugin/core/window.h"
#include "tests/fakes/fake_kubelet.h"
#include "tests/fakes/fake_pod_resources.h"
#include "tests/fakes/msi_window_kernel.h"

namespace dp::reliability {

// Pods that come and go on a node, by the rules of a real kubelet:
//  - Allocate comes for each resource of a pod, one pod after the other; an error rejects the pod,
//    and its devices are free at once;
//  - PodResources lists a pod's devices from their Allocate on until it is deleted;
//  - PreStartContainer comes for each resource before each start of its container; an error keeps
//    it from starting, and the start is tried again some time;
//  - a container that runs has read its settings.json right after the last PreStartContainer.
// One thread at a time.
class PodLoad {
 public:
  struct Device {
    std::string id;
    std::uint32_t group = 0;
    std::string resource;
  };
  struct World {
    fakes::FakeKubelet& kubelet;
    fakes::FakePodResources& listed;
    fakes::MsiWindowKernel& kernel;
    std::string ledger_path;
  };

  PodLoad(World world, std::vector<Device> devices, std::size_t most_pods, std::mt19937& random);
  PodLoad(const PodLoad&) = delete;
  PodLoad& operator=(const PodLoad&) = delete;

  // One thing happens, at random: a pod with one to three devices is admitted, is started, exits
  // (to be started again) or is deleted. Returns the first error of a call to the daemon.
  grpc::Status Step();
  // Starts pods until all run. Returns the first error.
  grpc::Status StartAll();
  void DeleteAll();
  // A pod for each window of a pool of that many. Returns the first error.
  grpc::Status FillPool(std::size_t windows);

  // What is wrong now with pods, kernel and ledger; empty: nothing.
  [[nodiscard]] std::string Broken();
  // What is still there of pods that have gone; empty: nothing.
  [[nodiscard]] std::string Leftover();

  [[nodiscard]] std::size_t size() const { return pods_.size(); }
  // How often what came about, by name.
  [[nodiscard]] const std::map<std::string, int>& counts() const { return counts_; }

 private:
  struct Share {  // devices of one resource in the pod
    std::string resource;
    std::vector<std::string> devices;
    std::string settings;  // path of the file, from the answer to Allocate
  };
  struct Pod {
    std::string name;
    std::vector<Share> shares;
    bool running = false;
    std::map<std::string, core::Window> told;  // by device, at its last start
  };

  std::size_t Below(std::size_t limit);
  grpc::Status Admit(const std::map<std::string, std::size_t>& wanted);
  grpc::Status Start(Pod& pod);
  void Delete(std::size_t index);
  std::vector<std::string> ChooseFree(const std::string& resource, std::size_t count);
  void List();
  [[nodiscard]] absl::StatusOr<core::Ledger> ReadLedger() const;
  [[nodiscard]] core::Window InForce(const std::string& device);

  const World world_;
  const std::vector<Device> devices_;
  const std::size_t most_pods_;
  std::mt19937& random_;
  std::map<std::string, std::uint32_t> groups_;  // by device
  std::set<std::string> resources_;
  std::set<std::string> taken_;  // devices
  std::vector<std::unique_ptr<Pod>> pods_;
  int names_ = 0;
  std::string complaint_;  // of a container about what it was told; empty: none
  std::map<std::string, int> counts_;
};

}  // namespace dp::reliability
