#include "daemon/settings_pages.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "daemon/field.h"
#include "daemon/settings_table.h"

namespace containerbuilder::daemon {
namespace {

constexpr absl::string_view kReloadNote = "Taken over on SIGHUP.";

// Lines of at most 80 columns, each behind `indent`.
std::string Wrapped(absl::string_view text, absl::string_view indent) {
  constexpr std::size_t kColumns = 80;
  std::string lines;
  std::string line(indent);
  for (const absl::string_view word :
       absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const bool is_first = line.size() == indent.size();
    if (!is_first && line.size() + 1 + word.size() > kColumns) {
      absl::StrAppend(&lines, line, "\n");
      line = absl::StrCat(indent, word);
    } else {
      absl::StrAppend(&line, is_first ? "" : " ", word);
    }
  }
  return absl::StrCat(lines, line, "\n");
}

// What is said of a setting: its use, and whether a daemon that runs takes it.
std::string Sentences(const Setting& setting) {
  return absl::StrCat(
      setting.help, setting.reload == Reload::kYes ? " " : "",
      setting.reload == Reload::kYes ? kReloadNote : absl::string_view());
}

// Text for roff: nothing in it is a request, and dashes are what can be typed.
std::string Roff(absl::string_view text) {
  std::string roff = absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}});
  if (absl::StartsWith(roff, ".") || absl::StartsWith(roff, "'")) {
    roff.insert(0, "\\&");
  }
  return roff;
}

}  // namespace

std::string HelpPage() {
  std::string page =
      "container-builderd builds container images with nerdctl for gRPC "
      "callers.\n"
      "\n"
      "  container-builderd [--SETTING=VALUE]...\n"
      "  container-builderd config default   prints a file of all settings\n"
      "  container-builderd config show      prints those in effect, with "
      "their sources\n"
      "  container-builderd config man       prints the manual page\n"
      "\n";
  absl::StrAppend(
      &page,
      Wrapped(absl::StrCat(
                  "A setting is taken from its flag, else from the variable ",
                  kVariablePrefix,
                  "SETTING (in capitals), else from the TOML file --config or ",
                  VariableOf("config"), " (where none is named ", kUsualConfig,
                  ", if it exists), else it has its default. Members of lists "
                  "are parted by commas in flags and variables."),
              ""));
  DaemonOptions defaults;
  for (const Setting& setting : Settings()) {
    const Field field = setting.field(defaults);
    const std::string value = ToText(field);
    absl::StrAppend(&page, "\n  --", setting.key, "=", TypeName(field),
                    value.empty() ? "" : absl::StrCat("   default: ", value),
                    "\n", Wrapped(Sentences(setting), "      "));
  }
  return page;
}

std::string DefaultConfig() {
  std::string page = Wrapped(
      absl::StrCat("Settings of container-builderd, each with its default. "
                   "Flags (--state_dir) and variables (",
                   VariableOf("state_dir"), ") win over this file."),
      "# ");
  DaemonOptions defaults;
  for (const Setting& setting : Settings()) {
    absl::StrAppend(&page, "\n", Wrapped(Sentences(setting), "# "), setting.key,
                    " = ", ToToml(setting.field(defaults)), "\n");
  }
  return page;
}

std::string EffectiveConfig(LoadedSettings settings) {
  std::string page;
  for (const Setting& setting : Settings()) {
    const auto source = settings.sources.find(std::string(setting.key));
    absl::StrAppend(
        &page, setting.key, " = ", ToToml(setting.field(settings.options)),
        "  # ", source == settings.sources.end() ? "default" : source->second,
        "\n");
  }
  return page;
}

std::string ManPage() {
  std::string page = absl::StrCat(
      ".TH CONTAINER\\-BUILDERD 8\n"
      // Paths are too long for lines of one length.
      ".ad l\n"
      ".SH NAME\n"
      "container\\-builderd \\- builds container images with nerdctl for gRPC "
      "callers\n"
      ".SH SYNOPSIS\n"
      ".B container\\-builderd\n"
      ".RI [ --SETTING=VALUE ]...\n"
      ".br\n"
      ".B container\\-builderd config default\n"
      ".br\n"
      ".B container\\-builderd config show\n"
      ".RI [ --SETTING=VALUE ]...\n"
      ".br\n"
      ".B container\\-builderd config man\n"
      ".SH DESCRIPTION\n"
      "A gRPC service that runs\n"
      ".B nerdctl build\n"
      "for its callers and streams what it prints.\n"
      ".B config default\n"
      "prints a file of all settings with their defaults,\n"
      ".B config show\n"
      "those in effect with their sources, and\n"
      ".B config man\n"
      "this page.\n"
      ".SH SETTINGS\n"
      "A setting is taken from its flag, else from its variable (",
      kVariablePrefix,
      "STATE_DIR for state_dir), else from the file, else it has its default.\n"
      "Members of lists are parted by commas in flags and variables; in the "
      "file a list is an array.\n"
      "Numbers of bytes may be written with KiB, MiB, GiB and TiB, durations "
      "with ms, s, m and h.\n"
      "Names that are no settings are errors.\n"
      ".TP\n"
      ".BI \\-\\-config= FILE\n"
      "The file. Where neither this nor ",
      VariableOf("config"), " names one it is ", kUsualConfig,
      ", if that exists.\n");
  DaemonOptions defaults;
  for (const Setting& setting : Settings()) {
    const Field field = setting.field(defaults);
    const std::string value = ToText(field);
    absl::StrAppend(&page, ".TP\n.BI \\-\\-", Roff(setting.key), "= ",
                    TypeName(field), "\n", Roff(Sentences(setting)), "\n");
    if (!value.empty()) {
      absl::StrAppend(&page, "Default:\n", Roff(value), "\n");
    }
  }
  absl::StrAppend(
      &page,
      ".SH SIGNALS\n"
      ".TP\n"
      ".B SIGHUP\n"
      "Reads file and variables again. Where all of it is right, the settings "
      "that say so are taken over; otherwise everything stays as it is. The "
      "log tells.\n"
      ".TP\n"
      ".BR SIGTERM \", \" SIGINT\n"
      "Takes no more builds, waits for those that run (drain_timeout), and "
      "ends; a second one ends them at once.\n"
      ".SH FILES\n"
      ".TP\n"
      ".I ",
      kUsualConfig,
      "\n"
      "Settings, in TOML.\n"
      ".SH EXIT STATUS\n"
      "0 when the service has ended on a signal; 1 when it could not start, "
      "with the cause on standard error; 2 for wrong usage or settings.\n"
      ".SH SEE ALSO\n"
      ".BR nerdctl (1)\n");
  return page;
}

}  // namespace containerbuilder::daemon
