// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "plugin/core/ports.h"

namespace dp::fakes {

// A kubelet's list of pods, which a test changes as it likes. Until a pod is added there is none,
// as on a kubelet without the API.
class FakePodLister final : public core::PodLister {
 public:
  absl::Status status = absl::NotFoundError("this kubelet has no PodResources API");
  std::vector<core::PodDevices> pods;
  bool slow = false;  // answers wait for Answer()
  int calls = 0;

  void Add(const std::string& pod, const std::string& resource, std::vector<std::string> devices) {
    status = absl::OkStatus();
    pods.push_back({.pod = {.space = "default", .name = pod},
                    .container = "compute",
                    .resource = resource,
                    .devices = std::move(devices)});
  }
  void Remove(const std::string& pod) {
    std::erase_if(pods, [&](const core::PodDevices& entry) { return entry.pod.name == pod; });
  }

  void List(Listed done) override {
    ++calls;
    waiting_.push_back(std::move(done));
    if (!slow) Answer();
  }
  // Answers all that wait, with what there is now.
  void Answer() {
    for (const Listed& done : std::exchange(waiting_, {})) {
      if (status.ok()) {
        done(pods);
      } else {
        done(status);
      }
    }
  }

 private:
  std::vector<Listed> waiting_;
};

}  // namespace dp::fakes
