#include "build/option_rules.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "build/command_line.h"
#include "build/grammar.h"
#include "containerbuilder/nerdctl_build_flags.h"

namespace containerbuilder::service {
namespace {

// BuildOptions' own fields, which `options` must not name again.
constexpr absl::string_view kNamedOptions[] = {
    "context-path", "build-arg", "cache-from", "cache-to",
    "label",        "output",    "secret"};

bool IsOptionName(absl::string_view name) {
  return !name.empty() && absl::ascii_islower(name[0]) &&
         absl::c_all_of(name, [](const char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) ||
                  c == '_' || c == '-';
         });
}

// What execve takes of arguments and environment together, as it counts:
// strings with their NUL, and a pointer to each.
std::size_t ArgumentSpace() {
  // Linux grants a quarter of the stack's limit and never more than this.
  constexpr std::size_t kMost = 6 * 1024 * 1024;
  // For what the service adds: nerdctl's path, its own environment, and what
  // the kernel puts there.
  constexpr std::size_t kReserve = 64 * 1024;
  const std::int64_t granted = sysconf(_SC_ARG_MAX);
  return (granted < 0 ? kMost
                      : std::min(kMost, static_cast<std::size_t>(granted))) -
         kReserve;
}

std::size_t SpaceOf(absl::string_view text) {
  return text.size() + 1 + sizeof(char*);
}

}  // namespace

std::optional<bool> TakesValue(absl::string_view flag,
                               const NerdctlInfo* nerdctl) {
  // `nerdctl build --help` succeeds and builds nothing.
  if (flag == "help") return std::nullopt;
  if (nerdctl != nullptr) {
    const auto installed = nerdctl->flags.find(flag);
    if (installed != nerdctl->flags.end()) return installed->second;
  }
  const NerdctlBuildFlag* known =
      FindNerdctlBuildFlag(std::string_view(flag.data(), flag.size()));
  if (known == nullptr) return std::nullopt;
  return known->kind != NerdctlBuildFlag::Kind::kSwitch;
}

absl::Status CheckName(absl::string_view name, absl::string_view options_field,
                       absl::string_view field, const NerdctlInfo* nerdctl) {
  if (!IsOptionName(name)) {
    return errors::OptionInvalid(
        field,
        "an option's name has the form [a-z][a-z0-9_-]*; send the long name "
        "of a flag of nerdctl build without its dashes, such as no_cache");
  }
  const std::string flag = absl::StrReplaceAll(name, {{"_", "-"}});
  if (absl::c_linear_search(kNamedOptions, flag)) {
    return errors::OptionInvalid(
        field, absl::StrCat("\"", name, "\" has a field of its own; use ",
                            options_field, ".",
                            absl::StrReplaceAll(flag, {{"-", "_"}})));
  }
  if (!TakesValue(flag, nerdctl)) {
    const auto known = absl::StrJoin(
        kNerdctlBuildFlags, ", ",
        [](std::string* list, const NerdctlBuildFlag& known_flag) {
          list->append(known_flag.name);
        });
    return errors::OptionUnknown(
        field, absl::StrCat("nerdctl build has no flag --", Shortened(flag),
                            "; it knows ", known));
  }
  return absl::OkStatus();
}

absl::Status CheckArgument(absl::string_view argument,
                           absl::string_view field) {
  if (absl::StrContains(argument, '\0')) {
    return errors::OptionInvalid(
        field, "an argument of a program cannot hold a NUL byte; leave it out");
  }
  if (argument.size() > limits::kMaxArgumentBytes) {
    return errors::OptionInvalid(
        field, absl::StrCat("the system takes arguments of at most ",
                            limits::kMaxArgumentBytes, " bytes; this one has ",
                            argument.size()));
  }
  return absl::OkStatus();
}

absl::Status CheckBlanks(absl::string_view path, absl::string_view field) {
  // nerdctl makes arguments of parts of a path, too.
  for (const absl::string_view name : absl::StrSplit(path, '/')) {
    if (!HasOuterBlanks(name)) continue;
    return errors::OptionInvalid(
        field,
        absl::StrCat("the name \"", Shortened(name),
                     "\" begins or ends in white space, without which buildctl "
                     "would read another; rename it"));
  }
  return absl::OkStatus();
}

absl::Status CheckFlag(const WrittenFlag& flag, bool takes_value) {
  if (takes_value && flag.bare) {
    return errors::OptionInvalid(
        flag.field, absl::StrCat("--", flag.name,
                                 " needs a value, or it swallows the argument "
                                 "after it; send values, not flag"));
  }
  if (!takes_value && !flag.bare) {
    return errors::OptionInvalid(
        flag.field, absl::StrCat("--", flag.name,
                                 " takes no value, and nerdctl would take this "
                                 "one for the context; send flag"));
  }
  for (const std::string& value : flag.values) {
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckArgument(value, flag.field));
    if (flag.name == "tag" && value.empty()) {
      return errors::OptionInvalid(
          flag.field,
          "a tag must not be empty; leave the option out to build "
          "an image with no name");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSpace(absl::Span<const WrittenFlag> flags,
                        absl::string_view context,
                        absl::Span<const std::string> environment,
                        absl::string_view options_field) {
  const std::size_t granted = ArgumentSpace();
  std::size_t total = SpaceOf(context);
  std::size_t biggest = total;
  std::string biggest_field = absl::StrCat(options_field, ".context_path");
  for (const std::string& variable : environment) total += SpaceOf(variable);
  for (const WrittenFlag& flag : flags) {
    const std::size_t name = SpaceOf(flag.name) + 2;
    std::size_t size = flag.bare ? name : 0;
    for (const std::string& value : flag.values) size += name + SpaceOf(value);
    total += size;
    if (size > biggest) {
      biggest = size;
      biggest_field = flag.field;
    }
  }
  if (total <= granted) return absl::OkStatus();
  return errors::OptionInvalid(
      biggest_field,
      absl::StrCat("all arguments together need ", total,
                   " bytes, and the system grants ", granted,
                   "; this field needs most of them, ", biggest));
}

}  // namespace containerbuilder::service
