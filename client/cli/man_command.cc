#include "commands.h"
#include "man_page.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

int Run(const client::ClientOptions&, const CommandLine&) {
  return PrintResult(ManPage());
}

}  // namespace

constexpr Command kManCommand = {
    .name = "man",
    .summary = "Print the manual page",
    .synopsis = "",
    .argument = Command::Argument::kNothing,
    .text = "Prints container-builder(1) for roff.\n",
    .examples = "  container-builder man | man -l -\n",
    .exit_codes = "0.\n",
    .flags = kHelpOnly,
    .run = Run,
    .calls_service = false,
};

}  // namespace containerbuilder::cli
