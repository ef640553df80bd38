#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/program.h"
#include "support/temp_dir.h"

namespace containerbuilder {
namespace {

using test_support::ProgramResult;
using test_support::RunProgram;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

ProgramResult RunCli(const std::vector<std::string>& arguments) {
  return RunProgram({.program = CONTAINER_BUILDER, .arguments = arguments});
}

TEST(UsageTest, HelpAndVersionGoToStandardOutput) {
  const ProgramResult help = RunCli({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, StartsWith("Usage: container-builder"));
  EXPECT_THAT(help.err, IsEmpty());
  EXPECT_EQ(RunCli({"-h"}).out, help.out);

  const ProgramResult version = RunCli({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out, "container-builder " CONTAINERBUILDER_VERSION "\n");
}

TEST(UsageTest, WrongUsageExitsWith2) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {},
           {"frobnicate"},
           {"--nope"},
           {"--address"},
           {"--address", "", "health"},
           {"--address=/run/cb.sock", "health"},
           {""},
           {"--"}}) {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const ProgramResult result = RunCli(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, StartsWith("container-builder: "));
    EXPECT_THAT(result.err, HasSubstr("container-builder --help\n"));
  }
}

TEST(UsageTest, SuggestsTheNearest) {
  EXPECT_THAT(RunCli({"biuld", "."}).err, HasSubstr("did you mean build?"));
  EXPECT_THAT(RunCli({"--adress=x", "build"}).err,
              HasSubstr("did you mean --address?"));
}

TEST(UsageTest, NoWorkingFolder) {
  const test_support::TempDir folder;
  const ProgramResult result = RunProgram(
      {.program = "/bin/sh",
       .arguments = {"-c", "rmdir \"$PWD\"; " CONTAINER_BUILDER " build ."},
       .folder = folder.path()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("No such file or directory"));
}

TEST(UsageTest, HelpThatCannotBeWrittenIsAnError) {
  EXPECT_EQ(
      RunProgram({.program = "/bin/sh",
                  .arguments = {"-c", CONTAINER_BUILDER " --help >/dev/full"}})
          .exit_code,
      1);
}

}  // namespace
}  // namespace containerbuilder
