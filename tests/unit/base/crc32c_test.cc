#include "base/crc32c.h"

#include <cstddef>
#include <string>

#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

// From RFC 3720, B.4.
TEST(Crc32cTest, IsThatOfTheStandard) {
  EXPECT_EQ(ExtendCrc32c(0, "123456789"), 0xE3069283);
  EXPECT_EQ(ExtendCrc32c(0, std::string(32, '\0')), 0x8A9136AA);
  EXPECT_EQ(ExtendCrc32c(0, std::string(32, '\xff')), 0x62A8AB43);
  EXPECT_EQ(ExtendCrc32c(0, ""), 0U);
}

TEST(Crc32cTest, GoesOnWhereItWas) {
  const std::string data = "123456789";
  for (std::size_t cut = 0; cut <= data.size(); ++cut) {
    EXPECT_EQ(
        ExtendCrc32c(ExtendCrc32c(0, data.substr(0, cut)), data.substr(cut)),
        0xE3069283);
  }
}

}  // namespace
}  // namespace containerbuilder::service
