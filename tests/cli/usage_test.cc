#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
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

TEST(UsageTest, EveryCommandHasHelp) {
  const std::string help = RunCli({"--help"}).out;
  for (const std::string command :
       {"args", "build", "cancel", "completion", "delete", "doctor", "get",
        "health", "list", "watch"}) {
    SCOPED_TRACE(command);
    EXPECT_THAT(help, HasSubstr("\n  " + command + " "));
    for (const char* flag : {"--help", "-h"}) {
      const ProgramResult result = RunCli({command, flag});
      EXPECT_EQ(result.exit_code, 0);
      EXPECT_THAT(result.out, StartsWith("Usage: container-builder "
                                         "[--address=ADDRESS] " +
                                         command));
      EXPECT_THAT(result.out, HasSubstr("\nExit code: "));
      EXPECT_THAT(result.err, IsEmpty());
    }
    const ProgramResult result = RunCli({command, "--halp"});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("did you mean --help?"));
    EXPECT_THAT(result.err,
                HasSubstr("see: container-builder " + command + " --help\n"));
  }
}

TEST(UsageTest, SuggestsTheNearest) {
  EXPECT_THAT(RunCli({"wach"}).err, HasSubstr("did you mean watch?"));
  EXPECT_THAT(RunCli({"lst"}).err, HasSubstr("did you mean list?"));
  EXPECT_THAT(RunCli({"list", "--stat=queued"}).err,
              HasSubstr("did you mean --state?"));
  EXPECT_THAT(RunCli({"list", "--state=runing"}).err,
              HasSubstr("did you mean running?"));
  EXPECT_THAT(RunCli({"build", "--detatch", "."}).err,
              HasSubstr("did you mean --detach?"));
  EXPECT_THAT(RunCli({"biuld", "."}).err, HasSubstr("did you mean build?"));
  EXPECT_THAT(RunCli({"--adress=x", "build"}).err,
              HasSubstr("did you mean --address?"));
}

TEST(UsageTest, FlagsComeFromVariables) {
  const auto run = [](std::map<std::string, std::string> environment,
                      const std::vector<std::string>& arguments) {
    return RunProgram({.program = CONTAINER_BUILDER,
                       .arguments = arguments,
                       .environment = std::move(environment)});
  };
  EXPECT_THAT(run({{"CONTAINER_BUILDER_ADDRESS", "none"}}, {"health"}).err,
              HasSubstr("not an address: \"none\""));
  EXPECT_THAT(run({{"CONTAINER_BUILDER_ADDRESS", "none"}},
                  {"--address=other", "health"})
                  .err,
              HasSubstr("not an address: \"other\""));
  const std::map<std::string, std::string> maybe = {
      {"CONTAINER_BUILDER_TLS", "maybe"}};
  EXPECT_EQ(run(maybe, {"health"}).exit_code, 2);
  EXPECT_THAT(run(maybe, {"health"}).err,
              HasSubstr("CONTAINER_BUILDER_TLS=maybe: neither true nor false"));
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--help"},
                                             {"--version"},
                                             {"build", "--help"},
                                             {"man"},
                                             {"completion", "bash"}}) {
    EXPECT_EQ(run(maybe, arguments).exit_code, 0)
        << testing::PrintToString(arguments);
  }
  for (const char* value :
       {"1", "t", "TRUE", "yes", "y", "on", "On", "0", "f", "no", "off"}) {
    // That nobody listens comes after.
    EXPECT_EQ(run({{"CONTAINER_BUILDER_ADDRESS", "unix:///nowhere/socket"},
                   {"CONTAINER_BUILDER_TLS", value}},
                  {"health"})
                  .exit_code,
              64 + 14)
        << value;
  }
  EXPECT_THAT(
      run({{"CONTAINER_BUILDER_TOKEN_FILE", "/nowhere"}}, {"health"}).err,
      HasSubstr("--token-file=/nowhere"));
  // Who calls no service needs no address.
  EXPECT_EQ(run({{"CONTAINER_BUILDER_ADDRESS", "none"}}, {"completion", "bash"})
                .exit_code,
            0);
}

TEST(UsageTest, CompletionWantsOneShell) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"completion"},
                                             {"completion", "tcsh"},
                                             {"completion", "bash", "zsh"}}) {
    const ProgramResult result = RunCli(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("bash, zsh or fish"));
  }
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
