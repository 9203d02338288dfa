// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "plugin/domain/domain.h"
#include "tests/fuzz/require.h"
#include "tests/fuzz/sound_map.h"

// Input: a domain of libvirt as XML.
namespace dp::fuzz {
namespace {

bool Has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Where nothing can hide a document type, one must have been seen.
void RequireNoDocumentType(std::string_view xml) {
  const bool hidden = Has(xml, "<!--") || Has(xml, "<![CDATA[") || Has(xml, "<?");
  Require(hidden || !Has(xml, "<!DOCTYPE"), "a document type is refused");
  Require(!Has(xml, std::string_view("\0", 1)), "a zero byte is refused");
}

void RequireSoundDomain(const domain::Domain& read) {
  const guest::Layout layout = domain::LayoutOf(read);
  Require(read.ram > 0 && layout.ram == read.ram, "a guest has RAM");
  Require(read.ram % guest::kMib == 0 && read.max_ram % guest::kMib == 0, "memory is whole MiB");
  Require(read.max_ram == 0 || read.max_ram >= read.ram, "there is room for what it starts with");
  for (const core::PciAddress& address : read.devices) {
    Require(address.slot <= 0x1f && address.function <= 7, "an address is one",
            core::FormatPciAddress(address));
  }
  for (const auto* clauses : {&read.unknown_memory, &read.unknown_devices, &read.unknown_pci}) {
    for (const std::string& clause : *clauses) RequireOneLine(clause);
  }
  if (!read.smmu.empty()) RequireOneLine(read.smmu);
  RequireSoundMap(layout);
}

}  // namespace
}  // namespace dp::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view xml(reinterpret_cast<const char*>(data), size);
  const auto domain = dp::domain::ParseDomain(xml);
  if (!domain.ok()) {
    dp::fuzz::Require(absl::IsInvalidArgument(domain.status()), "an error is InvalidArgument",
                      domain.status().ToString());
    dp::fuzz::RequireOneLine(std::string(domain.status().message()));
    return 0;
  }
  dp::fuzz::RequireNoDocumentType(xml);
  dp::fuzz::RequireSoundDomain(*domain);
  const auto again = dp::domain::ParseDomain(std::string(xml) + "\n<!-- <memory>1</memory> -->");
  dp::fuzz::Require(again.ok() && *again == *domain, "a comment changes nothing");
  return 0;
}
