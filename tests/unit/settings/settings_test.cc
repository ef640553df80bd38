#include "daemon/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "daemon/settings_table.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::daemon {
namespace {

using test_support::IsOk;
using test_support::TempDir;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

template <typename T>
std::string ErrorOf(const absl::StatusOr<T>& result) {
  return std::string(result.status().message());
}

class SettingsTest : public testing::Test {
 protected:
  // With the file where it is usually looked for.
  absl::StatusOr<LoadedSettings> Load(
      const std::vector<std::string>& arguments,
      const std::vector<std::string>& environment = {}) const {
    const absl::StatusOr<CommandLine> line = ParseCommandLine(arguments);
    if (!line.ok()) return line.status();
    return LoadSettings(*line, environment, config());
  }

  // What is wrong with this file.
  std::string Refusal(const std::string& file) const {
    WriteConfig(file);
    return ErrorOf(Load({}));
  }

  std::string config() const { return folder_.Path("config.toml"); }
  void WriteConfig(const std::string& text) const {
    folder_.WriteFile("config.toml", text);
  }

  TempDir folder_;
};

TEST(SettingsTableTest, KeysAreNamesOfOneSettingEach) {
  std::set<absl::string_view> keys;
  for (const Setting& setting : Settings()) {
    EXPECT_THAT(std::string(setting.key),
                testing::MatchesRegex("[a-z][a-z0-9_]*"));
    EXPECT_NE(setting.key, "config");  // names the file
    EXPECT_TRUE(keys.insert(setting.key).second) << setting.key;
    EXPECT_EQ(FindSetting(setting.key), &setting);
    EXPECT_TRUE(!setting.help.empty() && setting.help.back() == '.')
        << setting.key << ": " << setting.help;
  }
  EXPECT_EQ(FindSetting("nothing"), nullptr);
}

TEST(SettingsTableTest, NoTwoSettingsHaveOneField) {
  DaemonOptions options;
  std::set<const void*> fields;
  for (const Setting& setting : Settings()) {
    const Field field = setting.field(options);
    const void* address =
        std::holds_alternative<Bytes>(field)
            ? std::get<Bytes>(field).count
            : std::visit(
                  [](auto value) -> const void* {
                    if constexpr (std::is_pointer_v<decltype(value)>) {
                      return value;
                    }
                    return nullptr;
                  },
                  field);
    EXPECT_TRUE(fields.insert(address).second) << setting.key;
  }
}

TEST_F(SettingsTest, DefaultsWithoutAnySource) {
  const auto loaded = Load({});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(loaded->sources, IsEmpty());
  EXPECT_EQ(loaded->options.server.state_dir, "/var/lib/container-builder");
  EXPECT_EQ(loaded->options.server.max_queued_builds,
            service::ServerOptions().max_queued_builds);
}

TEST_F(SettingsTest, FlagWinsOverVariableOverFile) {
  WriteConfig(
      "max_running_builds = 1\n"
      "\n"
      "max_queued_builds = 1\n"
      "nerdctl = \"/file\"\n");
  const auto loaded =
      Load({"--max_running_builds=3"},
           {"CONTAINER_BUILDERD_MAX_RUNNING_BUILDS=2",
            "CONTAINER_BUILDERD_MAX_QUEUED_BUILDS=2", "HOME=/"});
  ASSERT_THAT(loaded, IsOk());
  const service::ServerOptions& server = loaded->options.server;
  EXPECT_EQ(server.max_running_builds, 3);
  EXPECT_EQ(server.max_queued_builds, 2);
  EXPECT_EQ(server.nerdctl, "/file");
  EXPECT_THAT(
      loaded->sources,
      ElementsAre(std::pair("max_queued_builds",
                            "CONTAINER_BUILDERD_MAX_QUEUED_BUILDS"),
                  std::pair("max_running_builds", "--max_running_builds"),
                  std::pair("nerdctl", config() + ":4")));
}

TEST_F(SettingsTest, EveryTypeFromTheFile) {
  WriteConfig(
      "insecure = true\n"
      "max_running_builds = 7\n"
      "retain_builds = 8\n"
      "retain_bytes = 9\n"
      "max_log_bytes = \"3GiB\"\n"
      "drain_timeout = \"2m\"\n"
      "snapshotter = \"native\"\n"
      "read_roots = [\"/a,b\", \"/c\"]\n");
  const auto loaded = Load({});
  ASSERT_THAT(loaded, IsOk());
  const service::ServerOptions& server = loaded->options.server;
  EXPECT_TRUE(server.insecure);
  EXPECT_EQ(server.max_running_builds, 7);
  EXPECT_EQ(server.retain_builds, 8);
  EXPECT_EQ(server.retain_bytes, 9);
  EXPECT_EQ(server.max_log_bytes, std::int64_t{3} << 30);
  EXPECT_EQ(server.drain_timeout, absl::Minutes(2));
  EXPECT_EQ(server.snapshotter, "native");
  EXPECT_THAT(server.policy.read_roots, ElementsAre("/a,b", "/c"));
}

TEST_F(SettingsTest, FlagsAreWrittenWithOrWithoutEquals) {
  const auto loaded = Load(
      {"--listen=a,b", "--nerdctl", "/n", "--insecure", "--trust_local=false",
       "--snapshotter=", "--drain_timeout=1s", "--drain_timeout=5s"});
  ASSERT_THAT(loaded, IsOk());
  const service::ServerOptions& server = loaded->options.server;
  EXPECT_THAT(server.listen, ElementsAre("a", "b"));
  EXPECT_EQ(server.nerdctl, "/n");
  EXPECT_TRUE(server.insecure);
  EXPECT_FALSE(server.trust_local);
  EXPECT_EQ(server.snapshotter, "");
  EXPECT_EQ(server.drain_timeout, absl::Seconds(5));
}

TEST_F(SettingsTest, FileIsNamedByFlagElseByVariable) {
  WriteConfig("nerdctl = \"usual\"\n");
  const std::string other =
      folder_.WriteFile("other.toml", "nerdctl = \"other\"\n");
  const std::string third =
      folder_.WriteFile("third.toml", "nerdctl = \"third\"\n");
  const std::string variable = "CONTAINER_BUILDERD_CONFIG=" + third;
  EXPECT_EQ(Load({})->options.server.nerdctl, "usual");
  EXPECT_EQ(Load({}, {variable})->options.server.nerdctl, "third");
  EXPECT_EQ(Load({"--config=" + other}, {variable})->options.server.nerdctl,
            "other");
  EXPECT_EQ(Load({}, {"CONTAINER_BUILDERD_CONFIG="})->options.server.nerdctl,
            "usual");
}

TEST_F(SettingsTest, NamedFileMustBeThere) {
  const std::string path = folder_.Path("nowhere.toml");
  EXPECT_THAT(ErrorOf(Load({"--config=" + path})),
              AllOf(StartsWith(path + ": cannot be read: No such file"),
                    HasSubstr("--config")));
  EXPECT_THAT(ErrorOf(Load({"--config=" + folder_.path()})),
              StartsWith(folder_.path() + ": cannot be read"));
}

TEST_F(SettingsTest, UnknownNamesAreErrors) {
  EXPECT_THAT(ErrorOf(Load({"--read_root=/a"})),
              AllOf(StartsWith("--read_root: there is no such setting"),
                    HasSubstr("--help")));
  EXPECT_THAT(ErrorOf(Load({}, {"CONTAINER_BUILDERD_ROOT=/a"})),
              AllOf(StartsWith("CONTAINER_BUILDERD_ROOT: there is no such"),
                    HasSubstr("unset")));
  EXPECT_THAT(
      ErrorOf(Load({}, {"CONTAINER_BUILDERD_listen=/a"})),
      StartsWith("CONTAINER_BUILDERD_listen: there is no such setting"));
  EXPECT_THAT(Refusal("\nread_root = []\n"),
              AllOf(StartsWith(config() + ":2: read_root: there is no such"),
                    HasSubstr("config default")));
  EXPECT_THAT(Refusal("[limits]\nmax_running_builds = 1\n"),
              StartsWith(config() + ":1: limits: there is no such setting"));
  EXPECT_THAT(Refusal("config = \"x\"\n"),
              StartsWith(config() + ":1: config: there is no such setting"));
}

TEST_F(SettingsTest, WrongTypesAreErrorsWithTheirLine) {
  EXPECT_EQ(Refusal("listen = \"a,b\"\n"),
            config() +
                ":1: listen: must be a list of texts, such as [\"one\", "
                "\"two\"]");
  EXPECT_THAT(Refusal("listen = [1]\n"), HasSubstr(":1: listen: must be a"));
  EXPECT_THAT(Refusal("insecure = \"true\"\n"),
              HasSubstr("must be true or false, without quotes"));
  EXPECT_THAT(Refusal("max_running_builds = \"1\"\n"),
              HasSubstr("must be a whole number, without quotes"));
  EXPECT_THAT(Refusal("max_running_builds = 1.0\n"),
              HasSubstr("must be a whole number, without quotes"));
  EXPECT_THAT(Refusal("drain_timeout = 30\n"), HasSubstr("such as \"30s\""));
  EXPECT_THAT(Refusal("nerdctl = []\n"), HasSubstr("must be text in quotes"));
  EXPECT_THAT(Refusal("retain_bytes = true\n"), HasSubstr("\"512MiB\""));
}

TEST_F(SettingsTest, WrongValuesAreErrorsWithTheirSource) {
  EXPECT_THAT(ErrorOf(Load({"--max_queued_builds=x"})),
              StartsWith("--max_queued_builds=x: must be a whole number"));
  EXPECT_THAT(
      ErrorOf(Load({}, {"CONTAINER_BUILDERD_INSECURE=si"})),
      StartsWith("CONTAINER_BUILDERD_INSECURE=si: must be true or false"));
  EXPECT_THAT(Refusal("\n\nretain_bytes = -1\n"),
              StartsWith(config() + ":3: retain_bytes: must be a number of"));
  EXPECT_THAT(Refusal("nerdctl = \"a\"\nnerdctl = \"b\"\n"),
              StartsWith(config() + ":2: this is no TOML: "));
  EXPECT_THAT(Refusal("nerdctl = \n"),
              StartsWith(config() + ":1: this is no TOML: "));
}

// One look tells everything, also of what another source overrides.
TEST_F(SettingsTest, AllErrorsAreTold) {
  WriteConfig("one = 1\ninsecure = 2\nnerdctl = \"n\"\n");
  EXPECT_THAT(
      ErrorOf(Load({"--insecure=maybe"}, {"CONTAINER_BUILDERD_TWO="})),
      AllOf(HasSubstr(":1: one: "), HasSubstr(":2: insecure: "),
            HasSubstr("CONTAINER_BUILDERD_TWO: "),
            HasSubstr("--insecure=maybe: "), testing::Not(HasSubstr("\n"))));
}

TEST(CommandLineTest, Commands) {
  using Command = CommandLine::Command;
  EXPECT_EQ(ParseCommandLine({})->command, Command::kServe);
  EXPECT_EQ(ParseCommandLine({"--insecure", "--help"})->command,
            Command::kHelp);
  EXPECT_EQ(ParseCommandLine({"--version"})->command, Command::kVersion);
  EXPECT_EQ(ParseCommandLine({"config", "default"})->command,
            Command::kDefault);
  EXPECT_EQ(ParseCommandLine({"config", "show", "--insecure"})->command,
            Command::kShow);
  EXPECT_EQ(ParseCommandLine({"config", "man"})->command, Command::kMan);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"config"},
        {"serve"},
        {"config", "show", "x"},
        {"-x"}}) {
    EXPECT_THAT(ErrorOf(ParseCommandLine(words)),
                HasSubstr("the only commands are"));
  }
  EXPECT_THAT(ErrorOf(ParseCommandLine({"--nerdctl"})),
              HasSubstr("a value is missing"));
}

TEST(KeepWhatNeedsRestartTest, RestoresAndTells) {
  DaemonOptions running;
  running.server.policy.read_roots = {"/a"};
  DaemonOptions fresh;
  fresh.server.policy.read_roots = {"/a"};
  fresh.server.listen = {"elsewhere"};
  fresh.server.max_log_bytes = 1;
  fresh.server.max_queued_builds = 1;
  EXPECT_THAT(KeepWhatNeedsRestart(running, fresh),
              ElementsAre("listen", "max_log_bytes"));
  EXPECT_EQ(fresh.server.listen, running.server.listen);
  EXPECT_EQ(fresh.server.max_log_bytes, running.server.max_log_bytes);
  EXPECT_EQ(fresh.server.max_queued_builds, 1);
}

}  // namespace
}  // namespace containerbuilder::daemon
