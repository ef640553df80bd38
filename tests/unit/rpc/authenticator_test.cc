#include "rpc/authenticator.h"

#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>

#include "containerbuilder/errors/v1/error_details.pb.h"
#include "gmock/gmock.h"
#include "support/calls.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::DetailOf;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;

// sha256 of "one".
constexpr char kLines[] =
    "builder ci sha256:"
    "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed\n"
    "viewer dns:look.example certificate\n";

class AuthenticatorTest : public testing::Test {
 protected:
  std::string CallersFile(const std::string& text) const {
    folder_.WriteFile("callers", text);
    const std::string path = folder_.Path("callers");
    EXPECT_EQ(chmod(path.c_str(), 0644), 0);
    return path;
  }
  void Make(Authenticator::Options options) {
    absl::StatusOr<std::unique_ptr<Authenticator>> made =
        Authenticator::Create(std::move(options));
    ASSERT_THAT(made, IsOk());
    authenticator_ = *std::move(made);
  }
  // The name, or the reason of the error.
  std::string Who(const Credentials& credentials) const {
    const absl::StatusOr<Caller> caller =
        authenticator_->Authenticate(credentials);
    if (caller.ok()) return caller->name;
    EXPECT_THAT(caller, StatusIs(absl::StatusCode::kUnauthenticated));
    return DetailOf<errors::v1::ErrorInfo>(caller.status())->reason();
  }

  const TempDir folder_;
  std::unique_ptr<Authenticator> authenticator_;
};

Credentials WithToken(const std::string& header) {
  Credentials credentials;
  credentials.authorization = {header};
  return credentials;
}
Credentials Local() {
  Credentials credentials;
  credentials.is_local = true;
  return credentials;
}
Credentials WithCertificate() {
  Credentials credentials;
  credentials.has_certificate = true;
  return credentials;
}

TEST_F(AuthenticatorTest, AsksNobodyWhereNothingIsSet) {
  Make({});
  EXPECT_EQ(Who({}), "anonymous");
  EXPECT_EQ(Who(Local()), "local");
  EXPECT_EQ(Who(WithToken("Bearer one")), "TOKEN_INVALID");
  Make({.trust_local = false, .callers_file = ""});
  EXPECT_EQ(Who(Local()), "anonymous");
}

TEST_F(AuthenticatorTest, AsksForTokens) {
  Make({.callers_file = CallersFile(kLines)});
  EXPECT_EQ(Who({}), "CREDENTIALS_REQUIRED");
  EXPECT_EQ(Who(WithToken("Bearer one")), "ci");
  EXPECT_EQ(Who(WithToken("BEARER one")), "ci");
  for (const char* header : {"", "one", "Bearer", "Bearer ", "Bearer  one",
                             "Bearer one ", "Bearer onf", "Basic one"}) {
    EXPECT_EQ(Who(WithToken(header)), "TOKEN_INVALID") << header;
  }
  Credentials twice = WithToken("Bearer one");
  twice.authorization.emplace_back("Bearer one");
  EXPECT_EQ(Who(twice), "TOKEN_INVALID");
  EXPECT_EQ(Who(Local()), "local");
  // A token is never passed over.
  Credentials local = Local();
  local.authorization = {"Bearer one"};
  EXPECT_EQ(Who(local), "ci");
  local.authorization = {"Bearer other"};
  EXPECT_EQ(Who(local), "TOKEN_INVALID");
}

TEST_F(AuthenticatorTest, NamesCertificates) {
  Make({.certificates = true, .callers_file = CallersFile(kLines)});
  EXPECT_EQ(Who({}), "CREDENTIALS_REQUIRED");
  Credentials shown = WithCertificate();
  EXPECT_EQ(Who(shown), "CERTIFICATE_INVALID");
  shown.common_name = "local";
  EXPECT_EQ(Who(shown), "cn:local");
  shown.emails = {"a@example"};
  EXPECT_EQ(Who(shown), "email:a@example");
  shown.dns_names = {"look.example", "build.example"};
  EXPECT_EQ(Who(shown), "dns:look.example");
  EXPECT_EQ(authenticator_->Authenticate(shown)->role, Role::kViewer);
  shown.dns_names = {"build.example", "look.example"};
  EXPECT_EQ(authenticator_->Authenticate(shown)->role, Role::kBuilder);
  shown.uris = {"spiffe://example/ci"};
  EXPECT_EQ(Who(shown), "uri:spiffe://example/ci");
  EXPECT_FALSE(authenticator_->Authenticate(shown)->trusted);

  for (const std::string& name :
       {std::string("two words"), std::string("line\nfeed"),
        std::string("nul\0", 4), std::string("\xc3\xa9"),
        std::string(300, 'a')}) {
    shown.uris = {name};
    EXPECT_EQ(Who(shown), "CERTIFICATE_INVALID") << name;
  }
}

TEST_F(AuthenticatorTest, ReadsTheFileAgainAndKeepsWhatWasGood) {
  Make({.callers_file = CallersFile(kLines)});
  EXPECT_EQ(authenticator_->Reload().value(), false);
  CallersFile("builder");
  EXPECT_THAT(authenticator_->Reload(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::HasSubstr("--callers_file=")));
  EXPECT_EQ(Who(WithToken("Bearer one")), "ci");
  CallersFile("\n");
  EXPECT_THAT(authenticator_->Reload(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::HasSubstr("is empty")));
  EXPECT_EQ(Who(WithToken("Bearer one")), "ci");
  CallersFile("# nobody\n");
  EXPECT_EQ(authenticator_->Reload().value(), true);
  EXPECT_EQ(Who(WithToken("Bearer one")), "TOKEN_INVALID");
  EXPECT_EQ(Who({}), "CREDENTIALS_REQUIRED");
}

TEST_F(AuthenticatorTest, TakesNoFileThatOthersMayWrite) {
  const std::string path = CallersFile(kLines);
  ASSERT_EQ(chmod(path.c_str(), 0664), 0);
  EXPECT_THAT(
      Authenticator::Create({.callers_file = path}),
      StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("go-w")));
  EXPECT_THAT(Authenticator::Create({.callers_file = folder_.path()}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Authenticator::Create({.callers_file = folder_.Path("none")}),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace containerbuilder::service
