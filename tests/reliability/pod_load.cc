// SPDX-License-Identifier: Apache-2.0
#include "tests/reliability/pod_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>

#include "plugin/core/ports.h"
#include "plugin/ledger/ledger_json.h"

namespace dp::reliability {
namespace {

constexpr char kNamespace[] = "default";
constexpr std::size_t kMostDevices = 3;  // of a pod

std::string ReadAll(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// What a settings.json says of the windows of its devices; empty: it cannot be used.
std::map<std::string, core::Window> WindowsOf(const std::string& settings) {
  std::map<std::string, core::Window> windows;
  const auto json = nlohmann::json::parse(settings, nullptr, false);
  if (!json.is_object() || !json.contains("groups")) return {};
  for (const auto& group : json["groups"]) {
    if (!group["window"].is_object()) return {};
    const auto window = core::ParseWindow(
        fmt::format("{} {}", group["window"].value("base", ""), group["window"].value("size", "")));
    if (!window.ok()) return {};
    windows[group.value("device", "")] = *window;
  }
  return windows;
}

// The reservation that has the device; null if none has.
const core::Reservation* FindReservation(const core::Ledger& ledger, const std::string& device) {
  for (const core::Reservation& reservation : ledger.reservations) {
    for (const core::Allocation& allocation : reservation.allocations) {
      for (const core::Holding& holding : allocation.holdings) {
        if (holding.device == device) return &reservation;
      }
    }
  }
  return nullptr;
}

}  // namespace

PodLoad::PodLoad(World world, std::vector<Device> devices, std::size_t most_pods,
                 std::mt19937& random)
    : world_(std::move(world)),
      devices_(std::move(devices)),
      most_pods_(most_pods),
      random_(random) {
  for (const Device& device : devices_) {
    groups_[device.id] = device.group;
    resources_.insert(device.resource);
  }
}

std::size_t PodLoad::Below(std::size_t limit) { return random_() % limit; }

grpc::Status PodLoad::Step() {
  const std::size_t event = Below(10);
  if (event < 4 && pods_.size() < most_pods_) {
    std::map<std::string, std::size_t> wanted;
    for (std::size_t left = 1 + Below(kMostDevices); left > 0; --left) {
      ++wanted[*std::next(resources_.begin(),
                          static_cast<std::ptrdiff_t>(Below(resources_.size())))];
    }
    return Admit(wanted);
  }
  if (pods_.empty()) return grpc::Status::OK;
  const std::size_t index = Below(pods_.size());
  Pod& pod = *pods_[index];
  if (event < 8) {
    if (!pod.running) return Start(pod);
    pod.running = false;
    ++counts_["exits"];
    return grpc::Status::OK;
  }
  Delete(index);
  ++counts_["deleted"];
  return grpc::Status::OK;
}

grpc::Status PodLoad::Admit(const std::map<std::string, std::size_t>& wanted) {
  auto admitted = std::make_unique<Pod>();
  admitted->name = fmt::format("pod-{}", names_++);
  Pod& pod = *admitted;
  const std::size_t index = pods_.size();
  pods_.push_back(std::move(admitted));
  for (const auto& [resource, count] : wanted) {
    Share share{
        .resource = resource, .devices = ChooseFree(resource, count), .settings = std::string()};
    // The scheduler would not have sent it.
    if (share.devices.size() < count) {
      Delete(index);
      return grpc::Status::OK;
    }
    v1beta1::ContainerAllocateResponse answer;
    grpc::Status status = world_.kubelet.Allocate(resource, share.devices, &answer);
    if (!status.ok()) {
      Delete(index);
      ++counts_[status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED ? "pool dry"
                                                                            : "rejected"];
      return status;
    }
    if (answer.mounts_size() == 1) {
      share.settings = answer.mounts(0).host_path() + "/settings.json";
    } else {
      complaint_ = fmt::format("an answer to Allocate has {} mounts", answer.mounts_size());
    }
    taken_.insert(share.devices.begin(), share.devices.end());
    pod.shares.push_back(std::move(share));
    List();
  }
  ++counts_["admitted"];
  return grpc::Status::OK;
}

grpc::Status PodLoad::Start(Pod& pod) {
  for (const Share& share : pod.shares) {
    grpc::Status status = world_.kubelet.PreStartContainer(share.resource, share.devices);
    if (!status.ok()) {
      ++counts_["starts that failed"];
      return status;
    }
  }
  const auto former = std::exchange(pod.told, {});
  for (const Share& share : pod.shares) {
    const std::string text = ReadAll(share.settings);
    const std::map<std::string, core::Window> windows = WindowsOf(text);
    for (const std::string& device : share.devices) {
      const auto window = windows.find(device);
      if (window == windows.end()) {
        complaint_ = fmt::format("{} says nothing of {}: {}", share.settings, device, text);
        continue;
      }
      pod.told[device] = window->second;
    }
  }
  if (!former.empty() && former != pod.told) {
    complaint_ = pod.name + " was told another window than at its last start";
  }
  pod.running = true;
  ++counts_["started"];
  return grpc::Status::OK;
}

grpc::Status PodLoad::StartAll() {
  for (const auto& pod : pods_) {
    if (pod->running) continue;
    if (grpc::Status status = Start(*pod); !status.ok()) return status;
  }
  return grpc::Status::OK;
}

void PodLoad::Delete(std::size_t index) {
  for (const Share& share : pods_[index]->shares) {
    for (const std::string& device : share.devices) taken_.erase(device);
  }
  pods_.erase(pods_.begin() + static_cast<std::ptrdiff_t>(index));
  List();
}

void PodLoad::DeleteAll() {
  while (!pods_.empty()) Delete(pods_.size() - 1);
}

grpc::Status PodLoad::FillPool(std::size_t windows) {
  for (std::size_t window = 0; window < windows; ++window) {
    const auto resource =
        std::next(resources_.begin(), static_cast<std::ptrdiff_t>(window % resources_.size()));
    if (grpc::Status status = Admit({{*resource, 1}}); !status.ok()) return status;
  }
  if (pods_.size() == windows) return grpc::Status::OK;
  return {grpc::StatusCode::INTERNAL, "there are fewer devices than windows"};
}

std::vector<std::string> PodLoad::ChooseFree(const std::string& resource, std::size_t count) {
  std::vector<std::string> free;
  for (const Device& device : devices_) {
    if (device.resource == resource && !taken_.contains(device.id)) free.push_back(device.id);
  }
  std::shuffle(free.begin(), free.end(), random_);
  free.resize(std::min(free.size(), count));
  return free;
}

void PodLoad::List() {
  std::vector<core::PodDevices> listed;
  for (const auto& pod : pods_) {
    for (const Share& share : pod->shares) {
      listed.push_back({.pod = {.space = kNamespace, .name = pod->name},
                        .container = "c",
                        .resource = share.resource,
                        .devices = share.devices});
    }
  }
  world_.listed.SetPods(listed);
}

// A daemon that has never got as far as to write one has none.
absl::StatusOr<core::Ledger> PodLoad::ReadLedger() const {
  if (!std::filesystem::exists(world_.ledger_path)) return core::Ledger();
  const std::string text = ReadAll(world_.ledger_path);
  absl::StatusOr<core::Ledger> ledger = ledger::Decode(text);
  if (ledger.ok()) return ledger;
  return absl::DataLossError(fmt::format("the ledger cannot be read: {}: {}",
                                         std::string(ledger.status().message()), text));
}

core::Window PodLoad::InForce(const std::string& device) {
  return world_.kernel.WindowOf(groups_.at(device));
}

std::string PodLoad::Broken() {
  if (!complaint_.empty()) return complaint_;
  const absl::StatusOr<core::Ledger> ledger = ReadLedger();
  if (!ledger.ok()) return std::string(ledger.status().message());
  const std::string text = ledger::Encode(*ledger);
  std::map<core::Window, std::string> owners;
  for (const auto& pod : pods_) {
    std::set<core::Window> windows;
    for (const Share& share : pod->shares) {
      for (const std::string& device : share.devices) {
        const std::string who = fmt::format("{} of {}", device, pod->name);
        const core::Window in_force = InForce(device);
        windows.insert(in_force);
        if (in_force != core::kFixedWindow) {
          const auto [owner, fresh] = owners.emplace(in_force, pod->name);
          if (!fresh && owner->second != pod->name) {
            return fmt::format("{} and {} both have {}", owner->second, pod->name,
                               core::FormatWindow(in_force));
          }
        }
        const core::Reservation* reservation = FindReservation(*ledger, device);
        if (reservation == nullptr) {
          return fmt::format("{} was allocated, and is not in the ledger: {}", who, text);
        }
        if (!pod->running) continue;
        if (in_force == core::kFixedWindow) return who + " has no window of its own";
        if (const core::Window& told = pod->told[device]; told != in_force) {
          return fmt::format("{} was told {} and has {}", who, core::FormatWindow(told),
                             core::FormatWindow(in_force));
        }
        if (reservation->window != in_force || !reservation->pod ||
            reservation->pod->name != pod->name) {
          return fmt::format("{} has {}; the ledger says otherwise: {}", who,
                             core::FormatWindow(in_force), text);
        }
      }
    }
    if (pod->running && windows.size() != 1) {
      return fmt::format("{} has {} windows", pod->name, windows.size());
    }
  }
  return {};
}

std::string PodLoad::Leftover() {
  for (const Device& device : devices_) {
    if (taken_.contains(device.id)) continue;
    if (const core::Window window = InForce(device.id); window != core::kFixedWindow) {
      return fmt::format("group {} of {} has {}", device.group, device.id,
                         core::FormatWindow(window));
    }
  }
  const absl::StatusOr<core::Ledger> ledger = ReadLedger();
  if (!ledger.ok()) return std::string(ledger.status().message());
  for (const core::Reservation& reservation : ledger->reservations) {
    for (const core::Allocation& allocation : reservation.allocations) {
      for (const core::Holding& holding : allocation.holdings) {
        if (taken_.contains(holding.device)) continue;
        return fmt::format("the ledger has a reservation of {}", holding.device);
      }
    }
  }
  return {};
}

}  // namespace dp::reliability
