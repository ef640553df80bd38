#include "completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "commands.h"
#include "global_flags.h"

namespace containerbuilder::cli {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;

using Words = std::vector<std::string>;
using Paths = Completion::Paths;

std::vector<Candidate> TwoBuilds(std::span<const std::string>) {
  return {{"builds/1a", "RUNNING"}, {"builds/2b", "FAILED"}};
}

Words Offered(const Words& words) {
  Words offered;
  for (const Candidate& candidate : Complete(words, TwoBuilds).candidates) {
    offered.push_back(candidate.word);
  }
  return offered;
}

Paths PathsOf(const Words& words) { return Complete(words, TwoBuilds).paths; }

TEST(CompletionTest, CommandsButNotHiddenOnes) {
  EXPECT_THAT(Offered({""}),
              AllOf(IsSupersetOf({"build", "list", "doctor"}),
                    Not(Contains("__complete")), Not(Contains("--address"))));
  EXPECT_THAT(Offered({"wa"}), ElementsAre("watch"));
  EXPECT_THAT(Offered({"--address=unix:/x", "--tls", "wa"}),
              ElementsAre("watch"));
  EXPECT_THAT(Offered({"--address", "wa"}), IsEmpty());
  EXPECT_THAT(Offered({"--address", "unix:/x", "wa"}), ElementsAre("watch"));
  EXPECT_THAT(Offered({"__comp"}), IsEmpty());
  EXPECT_THAT(Offered({}), IsEmpty());
}

TEST(CompletionTest, EveryFlagOfEveryCommandAndItsHelp) {
  for (const CommandGroup& group : CommandGroups()) {
    for (const Command* command : group.commands) {
      for (const Flag& flag : FlagsOf(*command)) {
        const std::string word = "--" + std::string(flag.name);
        const auto candidates =
            Complete(Words{std::string(command->name), word}, TwoBuilds)
                .candidates;
        ASSERT_THAT(candidates, Not(IsEmpty())) << command->name << word;
        EXPECT_EQ(candidates.front().word, word);
        EXPECT_EQ(candidates.front().help, flag.help);
      }
    }
  }
  for (const Flag& flag : GlobalFlags()) {
    const std::string word = "--" + std::string(flag.name);
    EXPECT_THAT(Offered({word}), Contains(word));
  }
  EXPECT_THAT(Offered({"build", "--", "--fi"}), IsEmpty());
  EXPECT_THAT(Offered({"nothing", "--fi"}), IsEmpty());
}

TEST(CompletionTest, ValuesThatAreWords) {
  EXPECT_THAT(Offered({"build", "--progress", "p"}), ElementsAre("plain"));
  EXPECT_THAT(Offered({"build", "--progress=p"}),
              ElementsAre("--progress=plain"));
  EXPECT_THAT(Offered({"build", "--context-mode", ""}),
              ElementsAre("auto", "path", "upload"));
  EXPECT_THAT(
      Offered({"build", "--network="}),
      ElementsAre("--network=default", "--network=none", "--network=host"));
  EXPECT_THAT(Offered({"list", "--state", "q"}), ElementsAre("queued"));
  EXPECT_THAT(Offered({"list", "--format", ""}), ElementsAre("table", "json"));
  EXPECT_THAT(Offered({"completion", ""}), ElementsAre("bash", "zsh", "fish"));
  EXPECT_THAT(Offered({"completion", "zsh", ""}), IsEmpty());
  // A value, not a flag.
  EXPECT_THAT(Offered({"build", "--tag", "--pro"}), IsEmpty());
  EXPECT_THAT(Offered({"build", "-t", "--pro"}), IsEmpty());
  EXPECT_THAT(Offered({"build", "-ta", "--progr"}), ElementsAre("--progress"));
  EXPECT_THAT(Offered({"build", "-qt", "--progr"}), IsEmpty());
}

TEST(CompletionTest, FilesAndFolders) {
  for (const Words& words :
       std::vector<Words>{{"build", "--file", ""},
                          {"build", "-f", "Do"},
                          {"build", "--file=Do"},
                          {"build", "--iidfile", ""},
                          {"build", "--secret", "id=a,src="},
                          {"build", "-o", "type=tar,dest="},
                          {"--tls-ca", ""},
                          {"--token-file=x"}}) {
    EXPECT_EQ(PathsOf(words), Paths::kFiles) << testing::PrintToString(words);
  }
  EXPECT_EQ(PathsOf({"build", ""}), Paths::kFolders);
  EXPECT_EQ(PathsOf({"args", "--null", "sr"}), Paths::kFolders);
  EXPECT_EQ(PathsOf({"build", ".", ""}), Paths::kNone);
  EXPECT_EQ(PathsOf({"build", "--tag", ""}), Paths::kNone);
  EXPECT_EQ(PathsOf({"list", ""}), Paths::kNone);
}

TEST(CompletionTest, NamesOfBuilds) {
  EXPECT_THAT(Offered({"get", ""}), ElementsAre("builds/1a", "builds/2b"));
  EXPECT_THAT(Offered({"watch", "builds/2"}), ElementsAre("builds/2b"));
  EXPECT_THAT(Offered({"watch", "--after", "3", "2"}), ElementsAre("2b"));
  EXPECT_THAT(Offered({"get", "builds/1a", ""}), IsEmpty());
  EXPECT_THAT(Offered({"cancel", "builds/1a", "builds/2"}),
              ElementsAre("builds/2b"));
  // The service that the line names is the one that is asked.
  Words asked;
  const auto ask = [&asked](std::span<const std::string> program_flags) {
    asked.assign(program_flags.begin(), program_flags.end());
    return std::vector<Candidate>();
  };
  Complete(Words{"--address", "host:1", "--tls", "delete", ""}, ask);
  EXPECT_THAT(asked, ElementsAre("--address", "host:1", "--tls"));
}

}  // namespace
}  // namespace containerbuilder::cli
