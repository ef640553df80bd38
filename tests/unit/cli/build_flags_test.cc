#include "build_flags.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "help.h"
#include "support/status_matchers.h"

namespace containerbuilder::cli {
namespace {

using test_support::IsOk;
using test_support::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using Words = std::vector<std::string>;

// With nerdctl's flags and `--help`.
absl::StatusOr<CommandLine> Split(const Words& words) {
  std::vector<Flag> flags(kNerdctlFlags.begin(), kNerdctlFlags.end());
  flags.push_back(kHelpFlag);
  return SplitCommandLine(words, flags);
}

struct SplitCase {
  Words given;
  Words flags;  // `--name=value`, in order
  Words arguments;
  std::string error;  // how it begins; empty: none
};

// What github.com/spf13/pflag v1.0.5 answers, the parser of nerdctl 1.7.7,
// with nerdctl's flags declared; v1.0.10 answers the same.
const std::vector<SplitCase>& SplitCases() {
  static const auto* const cases = new std::vector<SplitCase>{
      {{}, {}, {}, ""},
      {{"."}, {}, {"."}, ""},
      {{"--tag", "a", "."}, {"--tag=a"}, {"."}, ""},
      {{"--tag=a", "."}, {"--tag=a"}, {"."}, ""},
      {{"-t", "a", "."}, {"--tag=a"}, {"."}, ""},
      {{"-ta", "."}, {"--tag=a"}, {"."}, ""},
      {{"-t=a", "."}, {"--tag=a"}, {"."}, ""},
      {{"-t==a", "."}, {"--tag==a"}, {"."}, ""},
      {{"-t=", "."}, {"--tag=="}, {"."}, ""},
      {{"-t", "", "."}, {"--tag="}, {"."}, ""},
      {{"--tag=", "."}, {"--tag="}, {"."}, ""},
      {{"--tag", "", "."}, {"--tag="}, {"."}, ""},
      {{".", "-t", "a"}, {"--tag=a"}, {"."}, ""},
      {{".", "-t", "a", "-t", "b", "--tag=c"},
       {"--tag=a", "--tag=b", "--tag=c"},
       {"."},
       ""},
      {{"-q", "."}, {"--quiet=true"}, {"."}, ""},
      {{"-qf", "file", "."}, {"--quiet=true", "--file=file"}, {"."}, ""},
      {{"-qffile", "."}, {"--quiet=true", "--file=file"}, {"."}, ""},
      {{"-qf=file", "."}, {"--quiet=true", "--file=file"}, {"."}, ""},
      {{"-qq", "."}, {"--quiet=true", "--quiet=true"}, {"."}, ""},
      {{"-fq", "."}, {"--file=q"}, {"."}, ""},
      {{"-qt", "a", "-f", "b", "."},
       {"--quiet=true", "--tag=a", "--file=b"},
       {"."},
       ""},
      {{"--quiet", "false", "."}, {"--quiet=true"}, {"false", "."}, ""},
      {{"--quiet=false", "."}, {"--quiet=false"}, {"."}, ""},
      {{"-q=false", "."}, {"--quiet=false"}, {"."}, ""},
      {{"-q=F", "."}, {"--quiet=false"}, {"."}, ""},
      {{"-q", "-q=0", "."}, {"--quiet=true", "--quiet=false"}, {"."}, ""},
      {{"--no-cache=1", "."}, {"--no-cache=true"}, {"."}, ""},
      {{"--no-cache=T", "."}, {"--no-cache=true"}, {"."}, ""},
      {{"--no-cache=TRUE", "."}, {"--no-cache=true"}, {"."}, ""},
      {{"--no-cache=True", "."}, {"--no-cache=true"}, {"."}, ""},
      {{"--no-cache=t", "."}, {"--no-cache=true"}, {"."}, ""},
      {{"--no-cache=yes", "."},
       {},
       {},
       "invalid argument \"yes\" for \"--no-cache\" flag:"},
      {{"--no-cache=", "."},
       {},
       {},
       "invalid argument \"\" for \"--no-cache\" flag:"},
      {{"--no-cache=tRUE", "."},
       {},
       {},
       "invalid argument \"tRUE\" for \"--no-cache\" flag:"},
      {{"-q=", "."}, {}, {}, "unknown shorthand flag: '=' in -="},
      {{"-q=x", "."},
       {},
       {},
       "invalid argument \"x\" for \"-q, --quiet\" flag:"},
      {{"--rm=false", "."}, {"--rm=false"}, {"."}, ""},
      {{"--build-arg", "--tag", "."}, {"--build-arg=--tag"}, {"."}, ""},
      {{"--build-arg", "-x", "."}, {"--build-arg=-x"}, {"."}, ""},
      {{"--build-arg", "--", "."}, {"--build-arg=--"}, {"."}, ""},
      {{"--build-arg=A=B=C", "."}, {"--build-arg=A=B=C"}, {"."}, ""},
      {{"--build-arg", "A=", "."}, {"--build-arg=A="}, {"."}, ""},
      {{"-f", "-", "."}, {"--file=-"}, {"."}, ""},
      {{"-f-", "."}, {"--file=-"}, {"."}, ""},
      {{"-t", "--", "."}, {"--tag=--"}, {"."}, ""},
      {{"--", "-t", "a"}, {}, {"-t", "a"}, ""},
      {{"-t", "a", "--", ".", "-q"}, {"--tag=a"}, {".", "-q"}, ""},
      {{"-t", "a", "--", "--", "-q"}, {"--tag=a"}, {"--", "-q"}, ""},
      {{"--", "."}, {}, {"."}, ""},
      {{"-"}, {}, {"-"}, ""},
      {{"-", "-q"}, {"--quiet=true"}, {"-"}, ""},
      {{"", "-q"}, {"--quiet=true"}, {""}, ""},
      {{"a", "b", "-q"}, {"--quiet=true"}, {"a", "b"}, ""},
      {{"--platform", "linux/amd64,linux/arm64", "."},
       {"--platform=linux/amd64,linux/arm64"},
       {"."},
       ""},
      {{"--label", "a b", "--label", "c\nd", "."},
       {"--label=a b", "--label=c\nd"},
       {"."},
       ""},
      {{"--tag"}, {}, {}, "flag needs an argument: --tag"},
      {{"-t"}, {}, {}, "flag needs an argument: 't' in -t"},
      {{"-qt"}, {}, {}, "flag needs an argument: 't' in -t"},
      {{".", "--file"}, {}, {}, "flag needs an argument: --file"},
      {{"--nope", "."}, {}, {}, "unknown flag: --nope"},
      {{"--nope=1", "."}, {}, {}, "unknown flag: --nope"},
      {{"--no_cache", "."}, {}, {}, "unknown flag: --no_cache"},
      {{"--no-cach", "."}, {}, {}, "unknown flag: --no-cach"},
      {{"--=x", "."}, {}, {}, "bad flag syntax: --=x"},
      {{"---tag", "a", "."}, {}, {}, "bad flag syntax: ---tag"},
      {{"-x", "."}, {}, {}, "unknown shorthand flag: 'x' in -x"},
      {{"-qx", "."}, {}, {}, "unknown shorthand flag: 'x' in -x"},
      {{"-xq", "."}, {}, {}, "unknown shorthand flag: 'x' in -xq"},
      {{"-=a", "."}, {}, {}, "unknown shorthand flag: '=' in -=a"},
      {{"-q-", "."}, {}, {}, "unknown shorthand flag: '-' in --"},
      {{"-q--tag", "."}, {}, {}, "unknown shorthand flag: '-' in ---tag"},
      {{"-test.v", "."}, {}, {"."}, ""},
      {{"-qtest.v", "."}, {"--quiet=true"}, {"."}, ""},
      {{"-test=v", "."}, {"--tag=est=v"}, {"."}, ""},
      {{"--TAG", "a", "."}, {}, {}, "unknown flag: --TAG"},
      {{"-T", "a", "."}, {}, {}, "unknown shorthand flag: 'T' in -T"},
      {{"--t", "a", "."}, {}, {}, "unknown flag: --t"},
      {{"--nope", "--also"}, {}, {}, "unknown flag: --nope"},
      {{"-h"}, {"--help=true"}, {}, ""},
      {{"--help=false", "."}, {"--help=false"}, {"."}, ""},
      {{"-o", "type=local,dest=out", "."},
       {"--output=type=local,dest=out"},
       {"."},
       ""},
      {{"-o=type=local,dest=out", "."},
       {"--output=type=local,dest=out"},
       {"."},
       ""},
      {{"-otype=local,dest=out", "."},
       {"--output=type=local,dest=out"},
       {"."},
       ""},
  };
  return *cases;
}

TEST(SplitCommandLineTest, SplitsAsPflagDoes) {
  for (const SplitCase& expected : SplitCases()) {
    SCOPED_TRACE(testing::PrintToString(expected.given));
    const auto line = Split(expected.given);
    if (!expected.error.empty()) {
      EXPECT_THAT(line, StatusIs(absl::StatusCode::kInvalidArgument,
                                 StartsWith(expected.error)));
      continue;
    }
    ASSERT_THAT(line, IsOk());
    Words flags;
    for (const GivenFlag& given : line->flags) {
      flags.push_back("--" + std::string(given.flag.name) + "=" + given.value);
    }
    EXPECT_EQ(flags, expected.flags);
    EXPECT_EQ(line->arguments, expected.arguments);
  }
}

TEST(SplitCommandLineTest, KnowsEveryFlagOfTheTable) {
  for (const NerdctlBuildFlag& flag : kNerdctlBuildFlags) {
    const bool is_switch = flag.kind == NerdctlBuildFlag::Kind::kSwitch;
    Words words = {"--" + std::string(flag.name)};
    if (!is_switch) words.push_back("value");
    const auto line = Split(words);
    ASSERT_THAT(line, IsOk());
    ASSERT_EQ(line->flags.size(), 1u);
    EXPECT_EQ(line->flags[0].flag.name, flag.name);
    EXPECT_EQ(line->flags[0].value, is_switch ? "true" : "value");
    EXPECT_TRUE(line->arguments.empty());
  }
}

TEST(SplitCommandLineTest, SuggestsTheNearestFlag) {
  EXPECT_THAT(Split(Words{"--no_cache"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "unknown flag: --no_cache; did you mean --no-cache?"));
  EXPECT_THAT(Split(Words{"--wholly-other"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "unknown flag: --wholly-other"));
  EXPECT_THAT(Split(Words{"--address=a"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("before the command")));
}

TEST(IsOnTest, TheLastOneCounts) {
  EXPECT_FALSE(IsOn(*Split(Words{"."}), "help"));
  EXPECT_TRUE(IsOn(*Split(Words{"-h"}), "help"));
  EXPECT_FALSE(IsOn(*Split(Words{"-h", "--help=false"}), "help"));
}

absl::StatusOr<v1::BuildOptions> Options(const Words& words) {
  const auto line = Split(words);
  if (!line.ok()) return line.status();
  const std::map<std::string, std::string> environment = {{"SET", "a=b"},
                                                          {"EMPTY", ""}};
  return MakeBuildOptions(
      *line, {"/work", [&](const std::string& name) {
                const auto found = environment.find(name);
                return found == environment.end()
                           ? std::nullopt
                           : std::optional<std::string>(found->second);
              }});
}

void ExpectOptions(const Words& words, const std::string& text) {
  SCOPED_TRACE(testing::PrintToString(words));
  v1::BuildOptions expected;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &expected));
  const auto options = Options(words);
  ASSERT_THAT(options, IsOk());
  std::string difference;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&difference);
  EXPECT_TRUE(differencer.Compare(expected, *options)) << difference;
}

TEST(MakeBuildOptionsTest, ContextIsMadeAbsolute) {
  ExpectOptions({"."}, R"(context_path: "/work")");
  ExpectOptions({"./"}, R"(context_path: "/work")");
  ExpectOptions({"app"}, R"(context_path: "/work/app")");
  ExpectOptions({"../app"}, R"(context_path: "/work/../app")");
  ExpectOptions({"/src/"}, R"(context_path: "/src/")");
  ExpectOptions({"--", "-x"}, R"(context_path: "/work/-x")");
}

TEST(MakeBuildOptionsTest, SixFlagsHaveFieldsOfTheirOwn) {
  ExpectOptions({"--build-arg", "A=1", "--cache-from", "user/app:c",
                 "--cache-to", "type=inline", "--label", "l=1", "--output",
                 "/out", "--secret", "id=x,src=/s", "--build-arg=B=2", "."},
                R"(context_path: "/work"
         build_arg { values { values: "A=1" values: "B=2" } }
         cache_from { values { values: "user/app:c" } }
         cache_to { values { values: "type=inline" } }
         label { values { values: "l=1" } }
         output { values { values: "/out" } }
         secret { values { values: "id=x,src=/s" } })");
}

TEST(MakeBuildOptionsTest, OthersKeepTheOrderOfTheirFirstAppearance) {
  ExpectOptions({"--target=t", "-t", "a", ".", "-q", "--platform",
                 "linux/amd64", "-t", "b", "--target=u"},
                R"(context_path: "/work"
         options { name: "target" value { values { values: "u" } } }
         options { name: "tag" value { values { values: "a" values: "b" } } }
         options { name: "quiet" value { flag: true } }
         options { name: "platform" value { values { values: "linux/amd64" } } }
      )");
}

TEST(MakeBuildOptionsTest, OfAFlagWithOneValueTheLastCounts) {
  ExpectOptions({"-f", "a", "-o", "x", "-f", "b", "-o", "type=tar,dest=y", "."},
                R"(context_path: "/work"
         output { values { values: "type=tar,dest=/work/y" } }
         options { name: "file" value { values { values: "/work/b" } } })");
  ExpectOptions({"-f", "-", "-f", "b", "."},
                R"(context_path: "/work"
         options { name: "file" value { values { values: "/work/b" } } })");
}

TEST(MakeBuildOptionsTest, SwitchesAreFlags) {
  ExpectOptions({"--no-cache", "--rm=false", "-q", "-q=false", "."},
                R"(context_path: "/work"
                   options { name: "no-cache" value { flag: true } }
                   options { name: "rm" value { flag: false } }
                   options { name: "quiet" value { flag: false } })");
}

TEST(MakeBuildOptionsTest, OwnFlagsAreNotSent) {
  ExpectOptions({"--help=false", "."}, R"(context_path: "/work")");
}

TEST(MakeBuildOptionsTest, BuildArgWithoutValueTakesTheCallers) {
  ExpectOptions({"--build-arg", "SET", "--build-arg", "EMPTY", "--build-arg",
                 "UNSET", "--build-arg", "UNSET=", "."},
                R"(context_path: "/work"
                   build_arg { values { values: "SET=a=b" values: "EMPTY="
                                        values: "UNSET=" } })");
  ExpectOptions({"--build-arg", "UNSET", "."}, R"(context_path: "/work")");
  // For nerdctl to refuse.
  ExpectOptions({"--build-arg", "", "."},
                R"(context_path: "/work"
                   build_arg { values { values: "" } })");
}

TEST(MakeBuildOptionsTest, ValuesStayAsTheyAre) {
  ExpectOptions({"--label", "a='b  c'\n", "-t", "", "--target", "-x", "."},
                R"(context_path: "/work"
                   label { values { values: "a='b  c'\n" } }
                   options { name: "tag" value { values { values: "" } } }
                   options { name: "target" value { values { values: "-x" } } }
                )");
}

TEST(MakeBuildOptionsTest, RefusesWhatItCannotSend) {
  const auto error_of = [](const Words& words) {
    return std::string(Options(words).status().message());
  };
  EXPECT_EQ(error_of({}), "context needs to be specified");
  EXPECT_EQ(error_of({"-t", "a"}), "context needs to be specified");
  EXPECT_EQ(error_of({"a", "b"}),
            "exactly one context needs to be specified, not 2: \"a\", \"b\"");
  EXPECT_THAT(error_of({""}), StartsWith("unsupported build context: \"\""));
  EXPECT_THAT(error_of({"-"}), StartsWith("unsupported build context: \"-\""));
  EXPECT_THAT(error_of({"https://example.com/a.git"}),
              StartsWith("unsupported build context: \"https://"));
  EXPECT_THAT(error_of({"-f", "-", "."}),
              StartsWith("unsupported Dockerfile: \"-\""));
  EXPECT_THAT(error_of({"-f", "a", "-f-", "."}),
              StartsWith("unsupported Dockerfile: \"-\""));
}

TEST(SplitCommandLineTest, FlagsEndAtTheFirstArgumentWhereTheyHaveTo) {
  const auto line = SplitCommandLine(Words{"-h", "build", "-h", "--", "."},
                                     {&kHelpFlag, 1}, Arguments::kLast);
  ASSERT_THAT(line, IsOk());
  EXPECT_EQ(line->flags.size(), 1u);
  EXPECT_THAT(line->arguments, ElementsAre("build", "-h", "--", "."));
}

TEST(FlagsHelpTest, OneLineForEach) {
  EXPECT_EQ(FlagsHelp({&kHelpFlag, 1}),
            "  -h, --help                  Print this help\n");
  EXPECT_THAT(FlagsHelp(kNerdctlFlags),
              HasSubstr("\n  -t, --tag list              Name"));
}

}  // namespace
}  // namespace containerbuilder::cli
