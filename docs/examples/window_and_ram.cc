// SPDX-License-Identifier: Apache-2.0
// Says whether the doorbell windows of a container's devices meet a range of guest memory:
//   window_and_ram /run/vfio-doorbell/VENDOR_EXAMPLE_NVME/settings.json 0x40000000 0x80000000
// A VMM would ask so before it opens the first IOMMU group. Status 0: they do not meet, 1: they do,
// 2: it cannot be told.
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

namespace {

std::uint64_t Number(const std::string& text) { return std::stoull(text, nullptr, 0); }

// [start, end) is the range. Throws what a document that is not of version v1 makes the parser
// throw.
int Compare(const char* path, std::uint64_t start, std::uint64_t end) {
  std::ifstream file(path);
  const auto settings = nlohmann::json::parse(file);
  if (settings.at("apiVersion") != "vfio-doorbell/v1") {
    std::cerr << path << ": version " << settings.at("apiVersion") << " is not known here\n";
    return 2;
  }
  int status = 0;
  for (const auto& group : settings.at("groups")) {
    const auto& window = group.at("window");
    // The group has no software window: its interrupts are not translated, and need no address.
    if (window.is_null()) continue;
    const std::uint64_t base = Number(window.at("base"));
    const std::uint64_t size = Number(window.at("size"));
    const bool meets = base < end && start < base + size;
    std::cout << group.at("device").get<std::string>() << ": window " << window.at("base") << " "
              << window.at("size") << (meets ? " meets" : " does not meet") << " that memory\n";
    if (meets) status = 1;
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: window_and_ram SETTINGS.JSON START END\n";
    return 2;
  }
  try {
    return Compare(argv[1], Number(argv[2]), Number(argv[3]));
  } catch (const std::exception& error) {
    std::cerr << argv[1] << ": " << error.what() << '\n';
    return 2;
  }
}
