#include "base/build_id.h"

#include <cstdint>
#include <random>
#include <string>

namespace containerbuilder::service {

std::string NewBuildId(absl::Time now) {
  // Crockford's base 32: no i, l, o, u.
  constexpr char kDigits[] = "0123456789abcdefghjkmnpqrstvwxyz";
  constexpr int kTimeDigits = 10;
  constexpr int kRandomDigits = 16;

  std::string id(kTimeDigits + kRandomDigits, '0');
  auto milliseconds = static_cast<std::uint64_t>(absl::ToUnixMillis(now));
  for (int i = kTimeDigits - 1; i >= 0; --i) {
    id[i] = kDigits[milliseconds % 32];
    milliseconds /= 32;
  }
  std::random_device random;  // getrandom or the like, never a seeded engine
  for (int i = 0; i < kRandomDigits; ++i) {
    id[kTimeDigits + i] = kDigits[random() % 32];
  }
  return id;
}

}  // namespace containerbuilder::service
