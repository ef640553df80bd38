#include "rpc/callers_file.h"

#include <initializer_list>
#include <optional>
#include <string>

#include "gmock/gmock.h"
#include "support/status_matchers.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;

// sha256 of "one" and "two".
constexpr char kOne[] =
    "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
constexpr char kTwo[] =
    "3FC4CCFE745870E2C0D99F71F30FF0656C8DEDD41CC1D7D3D376B0DBE685E2F3";

TEST(CallersFileTest, KnowsTokensAndCertificates) {
  const absl::StatusOr<CallersFile> callers = CallersFile::Parse(
      std::string("# who may call\n\n") + "builder ci sha256:" + kOne +
      "\r\n  viewer\tci  sha256:" + kTwo +
      "\nadmin uri:spiffe://x/ops certificate");
  ASSERT_THAT(callers, IsOk());
  EXPECT_EQ(callers->size(), 3);

  const std::optional<Caller> one = callers->FindToken("one");
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->name, "ci");
  EXPECT_EQ(one->role, Role::kBuilder);
  EXPECT_FALSE(one->trusted);
  const std::optional<Caller> two = callers->FindToken("two");
  ASSERT_TRUE(two.has_value());
  EXPECT_EQ(two->name, "ci");
  EXPECT_EQ(two->role, Role::kViewer);

  for (const char* unknown : {"", "on", "onf", "one ", "One", kOne}) {
    EXPECT_FALSE(callers->FindToken(unknown).has_value()) << unknown;
  }
  EXPECT_EQ(callers->FindCertificate("uri:spiffe://x/ops"), Role::kAdmin);
  EXPECT_EQ(callers->FindCertificate("ci"), std::nullopt);
}

TEST(CallersFileTest, RefusesWhatIsWrongAndDoesNotRepeatIt) {
  const std::string hash = std::string("sha256:") + kOne;
  for (const std::string& line : std::initializer_list<std::string>{
           std::string("builder ci"), "builder ci " + hash + " more",
           "owner ci " + hash, "Builder ci " + hash, "builder local " + hash,
           "builder anonymous " + hash, "builder dns:ci " + hash,
           "builder c/i " + hash,
           "builder " + std::string(65, 'a') + " " + hash,
           "builder ci " + std::string(kOne), "builder ci sha256:" + hash,
           "builder ci " + hash.substr(0, hash.size() - 1),
           "builder ci sha256:", "builder ci sha256:" + std::string(64, 'g'),
           "builder ci certificate", "builder a " + hash + "\nviewer b " + hash,
           std::string(
               "builder dns:a certificate\nviewer dns:a certificate")}) {
    const absl::Status status = CallersFile::Parse("\n" + line).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                                 testing::HasSubstr("line ")))
        << line;
    EXPECT_THAT(status.message(), testing::Not(testing::HasSubstr(kOne)));
  }
}

}  // namespace
}  // namespace containerbuilder::service
