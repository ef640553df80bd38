#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cli/program.h"
#include "unit/client/fake_service.h"

namespace containerbuilder {
namespace {

using test_support::BuildWriter;
using test_support::FakeService;
using test_support::FinishedEvent;
using test_support::OutputEvent;
using test_support::ProgramResult;
using test_support::RunProgram;
using test_support::Send;
using ::testing::HasSubstr;

TEST(BuildImageExampleTest, PrintsTheOutputAndTellsHowItEnded) {
  FakeService service;
  v1::Build::State state = v1::Build::STATE_SUCCEEDED;
  v1::BuildRequest request;
  service.build = [&](const v1::BuildRequest& sent, auto&,
                      BuildWriter& writer) {
    request = sent;
    Send(writer, OutputEvent(v1::BuildOutput::STREAM_STDOUT, "out"));
    Send(writer, OutputEvent(v1::BuildOutput::STREAM_STDERR, "err"));
    Send(writer, FinishedEvent(state));
    return grpc::Status::OK;
  };
  const auto run = [&] {
    return RunProgram({.program = BUILD_IMAGE_EXAMPLE,
                       .arguments = {service.address(), "/src", "app:dev"}});
  };

  ProgramResult result = run();
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "out");
  EXPECT_EQ(result.err, "err");
  const v1::BuildOptions& options = request.spec().options();
  EXPECT_EQ(options.context_path(), "/src");
  EXPECT_EQ(options.options(0).name(), "tag");
  EXPECT_EQ(options.options(0).value().values().values(0), "app:dev");

  state = v1::Build::STATE_FAILED;
  result = run();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "out");
  EXPECT_THAT(result.err, HasSubstr("ABORTED"));
}

TEST(BuildImageExampleTest, Usage) {
  EXPECT_EQ(RunProgram({.program = BUILD_IMAGE_EXAMPLE}).exit_code, 2);
}

}  // namespace
}  // namespace containerbuilder
