#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "commands.h"
#include "completion.h"
#include "completion_scripts.h"
#include "containerbuilder/client/client.h"
#include "exit_code.h"
#include "format.h"
#include "global_flags.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

constexpr char kText[] =
    R"(Prints a script for bash, zsh or fish that completes commands, flags, their
values, files, and the names of builds, which it asks the service for. Packages
install the scripts; where they are not, the examples load them.
)";

constexpr char kExamples[] =
    R"(  source <(container-builder completion bash)    # in ~/.bashrc
  source <(container-builder completion zsh)     # in ~/.zshrc, after compinit
  container-builder completion fish | source     # in config.fish
)";

constexpr char kExitCodes[] =
    R"(0.
)";

int PrintScript(const client::ClientOptions&, const CommandLine& line) {
  if (line.arguments.size() == 1) {
    for (const CompletionScript& script : CompletionScripts()) {
      if (script.shell == line.arguments.front()) {
        return PrintResult(script.text);
      }
    }
  }
  return WrongUsage("exactly one shell needs to be named: bash, zsh or fish",
                    "completion");
}

// Whether a shell takes it as a word that means itself: names are what somebody
// else's service answers.
bool IsPlain(absl::string_view name) {
  return std::ranges::all_of(name, [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '/' ||
           c == '_' || c == '-';
  });
}

// None where the service does not answer soon: nobody waits for a key.
std::vector<Candidate> FindNewestBuilds(
    std::span<const std::string> program_flags) {
  const auto line = SplitProgramLine(program_flags);
  if (!line.ok()) return {};
  auto options = ClientOptionsOf(*line);
  if (!options.ok()) return {};
  options->timeout = absl::Seconds(2);
  v1::ListBuildsRequest request;
  request.set_page_size(50);
  const auto page = client::Client(*options).ListBuildsPage(request);
  if (!page.ok()) return {};
  std::vector<Candidate> builds;
  for (const v1::Build& build : page->builds()) {
    if (!IsPlain(build.name())) continue;
    builds.push_back({build.name(), StateName(build)});
  }
  return builds;
}

int PrintCandidates(const client::ClientOptions&, const CommandLine& line) {
  const Completion completion = Complete(line.arguments, FindNewestBuilds);
  std::string output;
  for (const Candidate& candidate : completion.candidates) {
    absl::StrAppend(&output, candidate.word, candidate.help.empty() ? "" : "\t",
                    candidate.help, "\n");
  }
  switch (completion.paths) {
    case Completion::Paths::kNone:
      break;
    case Completion::Paths::kFiles:
      output += ":files\n";
      break;
    case Completion::Paths::kFolders:
      output += ":folders\n";
      break;
  }
  return PrintResult(output);
}

}  // namespace

constexpr Command kCompletionCommand = {
    .name = "completion",
    .summary = "Print a script that completes words in a shell",
    .synopsis = "bash|zsh|fish",
    .argument = Command::Argument::kShell,
    .text = kText,
    .examples = kExamples,
    .exit_codes = kExitCodes,
    .flags = kHelpOnly,
    .run = PrintScript,
    .calls_service = false,
};

constexpr Command kCompleteCommand = {
    .name = "__complete",
    .summary = "What the scripts of completion call",
    .synopsis = "-- WORD...",
    .argument = Command::Argument::kAny,
    .text = "Prints what may stand in the place of the last word.\n",
    .examples = "  container-builder __complete -- build --con\n",
    .exit_codes = "0.\n",
    .flags = kHelpOnly,
    .run = PrintCandidates,
    .calls_service = false,
};

}  // namespace containerbuilder::cli
