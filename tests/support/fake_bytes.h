#ifndef CONTAINERBUILDER_TESTS_SUPPORT_FAKE_BYTES_H_
#define CONTAINERBUILDER_TESTS_SUPPORT_FAKE_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace containerbuilder::test_support {

// What fake_nerdctl's `bytes STREAM COUNT SEED` writes.
inline std::string FakeBytes(std::size_t count, std::uint64_t seed) {
  std::string bytes(count, '\0');
  std::uint64_t x = seed;
  for (char& byte : bytes) {
    x = x * 6364136223846793005U + 1442695040888963407U;
    byte = static_cast<char>(x >> 56);
  }
  return bytes;
}

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_SUPPORT_FAKE_BYTES_H_
