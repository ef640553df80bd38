#include "commands.h"

namespace containerbuilder::cli {
namespace {

constexpr const Command* kBuild[] = {&kBuildCommand, &kArgsCommand};
constexpr const Command* kBuilds[] = {&kWatchCommand, &kListCommand,
                                      &kGetCommand, &kCancelCommand,
                                      &kDeleteCommand};
constexpr const Command* kService[] = {&kHealthCommand, &kDoctorCommand};
constexpr const Command* kShell[] = {&kCompletionCommand};
constexpr const Command* kHidden[] = {&kCompleteCommand, &kManCommand};

constexpr CommandGroup kGroups[] = {
    {"Build", kBuild},     {"Builds, running and ended", kBuilds},
    {"Service", kService}, {"Shell", kShell},
    {"", kHidden},
};

}  // namespace

std::span<const CommandGroup> CommandGroups() { return kGroups; }

const Command* FindCommand(std::string_view name) {
  for (const CommandGroup& group : kGroups) {
    for (const Command* command : group.commands) {
      if (command->name == name) return command;
    }
  }
  return nullptr;
}

}  // namespace containerbuilder::cli
