// What is refused before anything is started, and how a client reads it.

#include <sys/stat.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "containerbuilder/client/error_info.h"
#include "gmock/gmock.h"
#include "support/processes.h"
#include "support/status_matchers.h"
#include "support/test_server.h"

namespace containerbuilder {
namespace {

using ::containerbuilder::test_support::BuildLog;
using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::ReadAll;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;
using ::containerbuilder::test_support::TestServer;

class RefusalTest : public testing::Test {
 protected:
  // A request whose build would leave a file.
  v1::BuildRequest Request() {
    return server_.Request(
        "ctx", absl::StrCat("touch ", server_.folder().Path("ran"), "\n"));
  }

  absl::Status Refused(client::Client client, const v1::BuildRequest& request) {
    const BuildLog log = ReadAll(client.Build(request));
    EXPECT_TRUE(log.events.empty());
    EXPECT_FALSE(std::filesystem::exists(server_.folder().Path("ran")));
    EXPECT_TRUE(
        std::filesystem::is_empty(server_.folder().Path("state/builds")));
    return log.status;
  }

  TestServer server_;
};

TEST_F(RefusalTest, NamesReasonAndField) {
  v1::BuildRequest request = Request();
  v1::Option& option =
      *request.mutable_spec()->mutable_options()->add_options();
  option.set_name("no_cache");
  option.mutable_value()->set_text("/other");
  const absl::Status status = Refused(server_.LocalClient(), request);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(status, HasReason("OPTION_INVALID"));
  const auto info = client::GetErrorInfo(status);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->domain, "containerbuilder.v1");
  ASSERT_EQ(info->field_violations.size(), 1U);
  EXPECT_THAT(info->field_violations[0].field,
              testing::StartsWith("spec.options.options[0]"));
}

TEST_F(RefusalTest, ContextThatIsRelativeOrMissing) {
  v1::BuildRequest request = Request();
  request.mutable_spec()->mutable_options()->set_context_path("ctx");
  EXPECT_THAT(Refused(server_.LocalClient(), request),
              HasReason("CONTEXT_RELATIVE"));
  request.mutable_spec()->mutable_options()->set_context_path("/no/such");
  EXPECT_THAT(Refused(server_.LocalClient(), request),
              HasReason("CONTEXT_NOT_FOUND"));
}

TEST_F(RefusalTest, FlagThatTheInstalledNerdctlLacks) {
  v1::BuildRequest request = Request();
  v1::Option& option =
      *request.mutable_spec()->mutable_options()->add_options();
  option.set_name("pull");
  option.mutable_value()->set_flag(true);
  const absl::Status status = Refused(server_.LocalClient(), request);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(status, HasReason("OPTION_UNSUPPORTED"));
}

TEST_F(RefusalTest, RequestIdsThatAreNone) {
  v1::BuildRequest request = Request();
  for (const std::string& id :
       {std::string(129, 'x'), std::string("a b"), std::string("\xc3\xa4")}) {
    request.set_request_id(id);
    EXPECT_THAT(Refused(server_.LocalClient(), request),
                HasReason("OPTION_INVALID"));
  }
}

TEST_F(RefusalTest, PathsOfCallersByTcp) {
  EXPECT_THAT(Refused(server_.TcpClient(), Request()),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(Refused(server_.TcpClient(), Request()),
              HasReason("PATH_NOT_ALLOWED"));
  // A missing path is answered like a forbidden one.
  v1::BuildRequest missing = Request();
  missing.mutable_spec()->mutable_options()->set_context_path("/no/such");
  EXPECT_THAT(Refused(server_.TcpClient(), missing),
              HasReason("PATH_NOT_ALLOWED"));
}

TEST(TrustTest, CallersByTcpBuildUnderTheRoots) {
  const TempDir root;
  TestServer server([&root](service::ServerOptions& options) {
    options.policy.read_roots = {root.path()};
  });
  root.WriteFile("ctx/fake.txt", "stdout hi\n");
  v1::BuildRequest request;
  request.mutable_spec()->mutable_options()->set_context_path(root.Path("ctx"));
  BuildLog log = ReadAll(server.TcpClient().Build(request));
  EXPECT_THAT(log.status, IsOk());
  EXPECT_EQ(log.stdout_data, "hi");
  EXPECT_EQ(log.build().requester(), "anonymous");

  v1::OptionValue& output =
      *request.mutable_spec()->mutable_options()->mutable_output();
  output.mutable_values()->add_values("type=local,dest=/tmp/x");
  log = ReadAll(server.TcpClient().Build(request));
  EXPECT_THAT(log.status, HasReason("OPTION_NOT_ALLOWED"));
}

TEST(TrustTest, LocalCallersLoseItWhereTheOperatorSaysSo) {
  TestServer server(
      [](service::ServerOptions& options) { options.trust_local = false; });
  const BuildLog log =
      ReadAll(server.LocalClient().Build(server.Request("ctx", "exit 0\n")));
  EXPECT_THAT(log.status, HasReason("PATH_NOT_ALLOWED"));
}

TEST(NerdctlTest, MissingOrNotExecutable) {
  const TempDir folder;
  const std::string path = folder.Path("nerdctl");
  TestServer server(
      [&path](service::ServerOptions& options) { options.nerdctl = path; });
  const v1::BuildRequest request = server.Request("ctx", "exit 0\n");
  absl::Status status = ReadAll(server.LocalClient().Build(request)).status;
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(status, HasReason("NERDCTL_NOT_FOUND"));

  folder.WriteFile("nerdctl", "#!/bin/sh\n", 0644);
  status = ReadAll(server.LocalClient().Build(request)).status;
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(status, HasReason("NERDCTL_NOT_EXECUTABLE"));

  // It is looked for anew each time.
  std::filesystem::remove(path);
  std::filesystem::create_symlink(FAKE_NERDCTL, path);
  EXPECT_THAT(ReadAll(server.LocalClient().Build(request)).status, IsOk());
}

}  // namespace
}  // namespace containerbuilder
