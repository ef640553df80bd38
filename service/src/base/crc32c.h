#ifndef CONTAINERBUILDER_BASE_CRC32C_H_
#define CONTAINERBUILDER_BASE_CRC32C_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// The CRC-32C (Castagnoli) of everything that `crc` is of, followed by `data`;
// 0 is of nothing.
std::uint32_t ExtendCrc32c(std::uint32_t crc, absl::string_view data);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_CRC32C_H_
