#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/program.h"
#include "unit/client/fake_service.h"

namespace containerbuilder {
namespace {

using namespace std::string_literals;
using test_support::FakeService;
using test_support::ProgramResult;
using test_support::Refusal;
using test_support::RunProgram;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class ArgsCommandTest : public testing::Test {
 protected:
  ArgsCommandTest() {
    service_.construct_args = [this](const v1::ConstructArgsRequest& request,
                                     v1::ConstructArgsResponse& response) {
      request_ = request;
      response.set_command_line("nerdctl build --label 'a\nb' /src");
      for (const char* argument : {"--label", "a\nb", "/src"}) {
        response.add_args(argument);
      }
      response.add_warnings("an empty tag is refused");
      return grpc::Status::OK;
    };
  }

  ProgramResult Args(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {"--address=" + service_.address(), "args"});
    return RunProgram({.program = CONTAINER_BUILDER,
                       .arguments = std::move(arguments),
                       .folder = "/tmp"});
  }

  FakeService service_;
  v1::ConstructArgsRequest request_;
};

TEST_F(ArgsCommandTest, PrintsTheCommandLine) {
  const ProgramResult result = Args({"--label", "a\nb", "."});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "nerdctl build --label 'a\nb' /src\n");
  EXPECT_EQ(result.err,
            "container-builder: warning: an empty tag is refused\n");
  EXPECT_EQ(request_.options().context_path(), "/tmp");
  EXPECT_EQ(request_.options().label().values().values(0), "a\nb");
  EXPECT_EQ(request_.options().options_size(), 0);
}

TEST_F(ArgsCommandTest, NullPrintsExactArguments) {
  for (const char* flag : {"--null", "-0", "-q0"}) {
    const ProgramResult result = Args({flag, "."});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.out, "--label\0a\nb\0/src\0"s);
  }
}

TEST_F(ArgsCommandTest, FormatJsonIsOneLine) {
  const ProgramResult result = Args({"--format", "json", "."});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, R"({"args":["--label","a\nb","/src"],)"
                        R"("commandLine":"nerdctl build --label 'a\nb' /src",)"
                        R"("warnings":["an empty tag is refused"]})"
                        "\n");
  EXPECT_THAT(result.err, IsEmpty());
}

// What it prints is what build runs.
TEST_F(ArgsCommandTest, SettlesTheProgressAsBuildDoes) {
  EXPECT_EQ(Args({"--progress=quiet", "."}).exit_code, 0);
  EXPECT_EQ(request_.options().options(0).name(), "quiet");
  EXPECT_EQ(Args({"--progress=fancy", "."}).exit_code, 2);
}

TEST_F(ArgsCommandTest, Refusal) {
  service_.construct_args = [](const auto&, auto&) {
    return Refusal(grpc::StatusCode::INVALID_ARGUMENT, "no value",
                   "OPTION_INVALID", "options.options[0].value", "set it");
  };
  const ProgramResult result = Args({"."});
  EXPECT_EQ(result.exit_code, 67);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("OPTION_INVALID"));
}

TEST_F(ArgsCommandTest, WrongUsage) {
  EXPECT_EQ(Args({}).exit_code, 2);
  EXPECT_EQ(Args({"--nope", "."}).exit_code, 2);
  EXPECT_EQ(Args({"-"}).exit_code, 2);
  EXPECT_EQ(Args({"--format=json", "-0", "."}).exit_code, 2);
}

TEST_F(ArgsCommandTest, Help) {
  const ProgramResult result = Args({"--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, StartsWith("Usage: container-builder"));
  EXPECT_THAT(result.out, HasSubstr("-0, --null"));
}

}  // namespace
}  // namespace containerbuilder
