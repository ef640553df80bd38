#include "base/crc32c.h"

#include <boost/crc.hpp>

namespace containerbuilder::service {
namespace {

constexpr std::uint32_t kFinalXor = 0xFFFFFFFF;
using Crc32c =
    boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, kFinalXor, true, true>;

// What Boost calls the interim remainder is the register read in the other
// direction, before the final XOR.
std::uint32_t Reversed(std::uint32_t value) {
  std::uint32_t reversed = 0;
  for (int bit = 0; bit < 32; ++bit) {
    reversed = (reversed << 1U) | (value & 1U);
    value >>= 1U;
  }
  return reversed;
}

}  // namespace

std::uint32_t ExtendCrc32c(std::uint32_t crc, absl::string_view data) {
  Crc32c state(Reversed(crc ^ kFinalXor));
  state.process_bytes(data.data(), data.size());
  return state.checksum();
}

}  // namespace containerbuilder::service
