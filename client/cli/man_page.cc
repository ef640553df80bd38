#include "man_page.h"

#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "commands.h"
#include "global_flags.h"
#include "program.h"

namespace containerbuilder::cli {
namespace {

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

// A line of text for roff: nothing in it is a request, and dashes are what can
// be typed.
std::string Roff(std::string_view text) {
  std::string roff =
      absl::StrReplaceAll(View(text), {{"\\", "\\e"}, {"-", "\\-"}});
  if (roff.starts_with('.') || roff.starts_with('\'')) roff.insert(0, "\\&");
  return roff;
}

// Text in which `this` is bold.
std::string Prose(std::string_view text) {
  std::string prose;
  bool is_bold = false;
  for (const absl::string_view part : absl::StrSplit(Roff(text), '`')) {
    absl::StrAppend(&prose, is_bold ? "\\fB" : "", part, is_bold ? "\\fR" : "");
    is_bold = !is_bold;
  }
  return prose;
}

// Paragraphs, parted by empty lines.
std::string Paragraphs(std::string_view text) {
  std::string page = ".PP\n";
  for (const absl::string_view line :
       absl::StrSplit(absl::StripTrailingAsciiWhitespace(View(text)), '\n')) {
    absl::StrAppend(&page, line.empty() ? ".PP" : Prose(std::string(line)),
                    "\n");
  }
  return page;
}

std::string Examples(std::string_view text) {
  std::string page = ".PP\n.EX\n";
  for (const absl::string_view line :
       absl::StrSplit(absl::StripTrailingAsciiWhitespace(View(text)), '\n')) {
    absl::StrAppend(&page, Roff(std::string(line)), "\n");
  }
  return page + ".EE\n";
}

std::string Bold(std::string_view text) {
  return absl::StrCat("\\fB", Roff(text), "\\fR");
}

std::string FlagTerm(const Flag& flag) {
  std::string term;
  if (flag.shorthand != '\0') {
    term = Bold(absl::StrCat("-", std::string(1, flag.shorthand))) + ", ";
  }
  term += Bold(absl::StrCat("--", std::string(flag.name)));
  if (flag.kind == Flag::Kind::kText) term += " \\fIstring\\fR";
  if (flag.kind == Flag::Kind::kList) term += " \\fIlist\\fR";
  return term;
}

std::string Flags(std::span<const Flag> flags) {
  std::string page;
  for (const Flag& flag : flags) {
    absl::StrAppend(&page, ".TP\n", FlagTerm(flag), "\n", Prose(flag.help),
                    "\n");
    if (!flag.variable.empty()) {
      absl::StrAppend(&page, "Else the variable ", Bold(flag.variable),
                      ", if set.\n");
    }
  }
  return page;
}

std::string CommandSection(const Command& command) {
  std::string page = absl::StrCat(
      ".SS ", Roff(command.name), "\n",
      Bold(absl::StrCat("container-builder ", std::string(command.name))), " ",
      Roff(command.synopsis), "\n", Paragraphs(command.text),
      Examples(command.examples),
      Paragraphs(absl::StrCat("Exit code: ", std::string(command.exit_codes))));
  for (const FlagGroup& group : command.flags) {
    absl::StrAppend(&page, ".PP\n", Roff(group.title), ":\n",
                    Flags(group.flags));
  }
  return page;
}

}  // namespace

std::string ManPage() {
  std::string page = absl::StrCat(
      ".TH CONTAINER\\-BUILDER 1 \"\" "
      "\"ContainerBuilder " CONTAINERBUILDER_VERSION
      "\"\n"
      ".SH NAME\n"
      "container\\-builder \\- build container images with a ContainerBuilder "
      "service\n"
      ".SH SYNOPSIS\n"
      ".B container\\-builder\n"
      "[\\fIflags\\fR] \\fIcommand\\fR [\\fIflags of the command\\fR] "
      "[\\fIargument\\fR ...]\n"
      ".SH DESCRIPTION\n",
      Prose(kProgramSummary), "\n", Examples(kProgramExamples),
      ".SH FLAGS\n"
      "They stand before the command.\n",
      Flags(GlobalFlags()),
      ".SH COMMANDS\n"
      "Flags and arguments of a command may be in any order.\n");
  for (const CommandGroup& group : CommandGroups()) {
    if (group.title.empty()) continue;
    for (const Command* command : group.commands) {
      page += CommandSection(*command);
    }
  }
  page += ".SH ENVIRONMENT\n";
  for (const ProgramVariable& variable : kProgramVariables) {
    absl::StrAppend(&page, ".TP\n", Bold(variable.name), "\n",
                    Prose(variable.help), "\n");
  }
  absl::StrAppend(&page, ".SH EXIT STATUS\n", Paragraphs(kProgramExitCodes),
                  ".SH SEE ALSO\n"
                  ".BR container\\-builderd (8),\n"
                  ".BR nerdctl (1)\n");
  return page;
}

}  // namespace containerbuilder::cli
