// A client that stops reading loses nothing, costs the server no memory, and
// does not hold back the build.

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "containerbuilder/v1/container_builder.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "support/fake_bytes.h"
#include "support/processes.h"
#include "support/test_server.h"

namespace containerbuilder {
namespace {

using ::containerbuilder::test_support::BuildLog;
using ::containerbuilder::test_support::EventuallyExists;
using ::containerbuilder::test_support::FakeBytes;
using ::containerbuilder::test_support::TestServer;

// Of this process, which is client and server at once; in KiB.
std::int64_t ResidentKib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    absl::string_view rest = line;
    std::int64_t kib = 0;
    if (absl::ConsumePrefix(&rest, "VmRSS:") &&
        absl::SimpleAtoi(absl::StripSuffix(rest, " kB"), &kib)) {
      return kib;
    }
  }
  return 0;
}

TEST(SlowReaderTest, LosesNothingAndHoldsNothingBack) {
  constexpr std::size_t kBytes = 192 * 1024 * 1024;
  TestServer server;
  const std::string done = server.folder().Path("done");
  const auto stub = v1::ContainerBuilder::NewStub(grpc::CreateChannel(
      server.unix_address(), grpc::InsecureChannelCredentials()));
  const std::int64_t before = ResidentKib();
  grpc::ClientContext context;
  const auto reader = stub->Build(
      &context, server.Request("ctx", absl::StrCat("bytes stdout ", kBytes,
                                                   " 3\ntouch ", done, "\n")));
  v1::BuildResponse response;
  ASSERT_TRUE(reader->Read(&response));  // started
  // It runs to its end although nobody reads on.
  ASSERT_TRUE(EventuallyExists(done));
  const std::int64_t grown = ResidentKib() - before;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // Two thirds of what was printed, and most of that is malloc's.
  EXPECT_LT(grown, 128 * 1024);
#else
  static_cast<void>(grown);  // sanitizers keep what is freed
#endif

  BuildLog log;
  Collect(response.event(), log);
  while (reader->Read(&response)) Collect(response.event(), log);
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(log.stdout_data == FakeBytes(kBytes, 3));
  EXPECT_EQ(log.build().state(), v1::Build::STATE_SUCCEEDED);
}

}  // namespace
}  // namespace containerbuilder
