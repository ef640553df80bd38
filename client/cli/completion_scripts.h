#ifndef CONTAINERBUILDER_CLI_COMPLETION_SCRIPTS_H_
#define CONTAINERBUILDER_CLI_COMPLETION_SCRIPTS_H_

#include <span>
#include <string_view>

namespace containerbuilder::cli {

// What makes a shell ask `container-builder __complete` what to offer: a line
// per word, with a tab and its help behind it, and `:files` or `:folders` where
// the shell is to offer these.
struct CompletionScript {
  std::string_view shell;
  std::string_view text;
};

std::span<const CompletionScript> CompletionScripts();

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_COMPLETION_SCRIPTS_H_
