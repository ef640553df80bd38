#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/settings_pages.h"
#include "daemon/settings_table.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::daemon {
namespace {

using test_support::IsOk;
using test_support::TempDir;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// The settings of a file, by the key.
absl::StatusOr<LoadedSettings> LoadPage(const std::string& page) {
  const TempDir folder;
  return LoadSettings({}, {}, folder.WriteFile("config.toml", page));
}

TEST(PagesTest, EachNamesEverySetting) {
  const std::string help = HelpPage();
  const std::string man = ManPage();
  for (const Setting& setting : Settings()) {
    EXPECT_THAT(help, HasSubstr(absl::StrCat("\n  --", setting.key, "=")));
    EXPECT_THAT(man,
                HasSubstr(absl::StrCat("\n.BI \\-\\-", setting.key, "= ")));
  }
  EXPECT_THAT(help, HasSubstr("--retain_bytes=BYTES   default: 20GiB\n"));
  EXPECT_THAT(man, HasSubstr("Default:\n20GiB\n"));
}

TEST(PagesTest, NothingInTheManPageIsARequestByChance) {
  for (const absl::string_view line : absl::StrSplit(ManPage(), '\n')) {
    if (line.empty() || (line[0] != '.' && line[0] != '\'')) continue;
    EXPECT_THAT(
        std::string(line),
        testing::MatchesRegex(R"(\.(TH|ad|SH|TP|B|BI|BR|RI|I|br)( .*)?)"));
  }
}

TEST(PagesTest, HelpFitsTheTerminal) {
  for (const absl::string_view line : absl::StrSplit(DefaultConfig(), '\n')) {
    const bool is_comment = !line.empty() && line[0] == '#';
    EXPECT_TRUE(!is_comment || line.size() <= 80) << line;
  }
}

TEST(PagesTest, DefaultConfigIsAFileOfTheDefaults) {
  const auto loaded = LoadPage(DefaultConfig());
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(loaded->sources, SizeIs(Settings().size()));
  DaemonOptions defaults;
  LoadedSettings copy = *loaded;
  for (const Setting& setting : Settings()) {
    EXPECT_EQ(ToToml(setting.field(copy.options)),
              ToToml(setting.field(defaults)))
        << setting.key;
  }
}

TEST(PagesTest, EffectiveConfigIsAFileThatTellsTheSources) {
  LoadedSettings settings;
  settings.options.server.policy.read_roots = {"/a \"quoted\"", "/b\\c"};
  settings.sources["read_roots"] = "/etc/c.toml:7";
  const std::string page = EffectiveConfig(settings);
  EXPECT_THAT(page, HasSubstr("read_roots = [\"/a \\\"quoted\\\"\", "
                              "\"/b\\\\c\"]  # /etc/c.toml:7\n"));
  EXPECT_THAT(page, HasSubstr("insecure = false  # default\n"));
  const auto loaded = LoadPage(page);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->options.server.policy.read_roots,
            settings.options.server.policy.read_roots);
}

}  // namespace
}  // namespace containerbuilder::daemon
