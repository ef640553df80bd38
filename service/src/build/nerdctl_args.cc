#include "build/nerdctl_args.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "build/command_line.h"

namespace containerbuilder::service {
namespace {

// What pairs become.
enum class PairForm { kOneFlagEach, kOneFlag };

std::string Resolved(const std::string& text, const PathRules& rules) {
  return rules.exists(text) ? AbsolutePath(text, rules.working_folder) : text;
}

std::vector<std::string> Joined(const v1::PairList& list) {
  std::vector<std::string> pairs;
  for (const v1::Pair& pair : list.pairs()) {
    pairs.push_back(absl::StrCat(pair.key(), "=", pair.value()));
  }
  return pairs;
}

// Fills in how `value` is written.
WrittenFlag Write(WrittenFlag flag, const v1::OptionValue& value,
                  PairForm pair_form, const PathRules& rules) {
  switch (value.kind_case()) {
    case v1::OptionValue::kText:
      flag.values = {Resolved(value.text(), rules)};
      break;
    case v1::OptionValue::kFlag:
      flag.bare = value.flag();
      break;
    case v1::OptionValue::kValues:
      flag.values.assign(value.values().values().begin(),
                         value.values().values().end());
      break;
    case v1::OptionValue::kPairs:
      flag.values = Joined(value.pairs());
      // The one value is a text like any other, and may name a file.
      if (pair_form == PairForm::kOneFlag) {
        flag.values = {Resolved(absl::StrJoin(flag.values, ","), rules)};
      }
      break;
    case v1::OptionValue::KIND_NOT_SET:
      break;
  }
  return flag;
}

// The name of a flag, which may be long, stands before each of its values.
absl::Status CheckSize(absl::Span<const WrittenFlag> flags) {
  std::size_t total = 0;
  for (const WrittenFlag& flag : flags) {
    for (const std::string& value : flag.values) {
      total += flag.name.size() + value.size() + 2 * sizeof(std::string);
      if (total > limits::kMaxConstructedBytes) {
        return errors::TooLarge(
            flag.field,
            absl::StrCat("the arguments take more than ",
                         limits::kMaxConstructedBytes,
                         " bytes, and no program takes so many; send fewer"),
            "");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool PathExists(const std::string& path, const std::string& working_folder) {
  if (absl::StrContains(path, '\0')) return false;
  // Not joined: a path that is just short enough must not become too long.
  const int folder =
      open(working_folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  struct stat ignored;
  const bool exists = fstatat(folder, path.c_str(), &ignored, 0) == 0;
  if (folder >= 0) close(folder);
  return exists;
}

std::string JoinPath(absl::string_view folder, absl::string_view path) {
  if (absl::StartsWith(path, "/")) return std::string(path);
  return absl::StrCat(folder, absl::EndsWith(folder, "/") ? "" : "/", path);
}

std::string AbsolutePath(absl::string_view path,
                         absl::string_view working_folder) {
  const std::string joined = JoinPath(working_folder, path);
  // POSIX leaves the meaning of exactly two leading slashes open.
  const bool two_slashes =
      absl::StartsWith(joined, "//") && !absl::StartsWith(joined, "///");
  std::vector<absl::string_view> parts;
  for (const absl::string_view part : absl::StrSplit(joined, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  return absl::StrCat(two_slashes ? "//" : "/", absl::StrJoin(parts, "/"));
}

std::optional<std::string> PathBeneath(absl::string_view path) {
  int depth = 0;
  for (const absl::string_view part :
       absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    depth += part == ".." ? -1 : 1;
    if (depth < 0) return std::nullopt;
  }
  if (depth == 0) return ".";
  return AbsolutePath(path, "/").substr(1);
}

absl::StatusOr<std::vector<WrittenFlag>> WriteFlags(
    const v1::BuildOptions& options, const PathRules& rules,
    absl::string_view field_prefix) {
  std::vector<WrittenFlag> flags;
  const auto add = [&](std::string name, std::string field,
                       const v1::OptionValue& value, PairForm pair_form) {
    WrittenFlag flag = Write({std::move(name), std::move(field), false, {}},
                             value, pair_form, rules);
    if (flag.bare || !flag.values.empty()) flags.push_back(std::move(flag));
  };
  const auto field = [&](absl::string_view name) {
    return absl::StrCat(field_prefix, ".", name);
  };

  add("build-arg", field("build_arg"), options.build_arg(),
      PairForm::kOneFlagEach);
  add("cache-from", field("cache_from"), options.cache_from(),
      PairForm::kOneFlag);
  add("cache-to", field("cache_to"), options.cache_to(), PairForm::kOneFlag);
  add("label", field("label"), options.label(), PairForm::kOneFlagEach);
  add("output", field("output"), options.output(), PairForm::kOneFlag);
  add("secret", field("secret"), options.secret(), PairForm::kOneFlag);

  for (int i = 0; i < options.options_size(); ++i) {
    const v1::Option& option = options.options(i);
    const std::string value_field =
        field(absl::StrCat("options[", i, "].value"));
    if (option.value().has_pairs()) {
      return errors::OptionInvalid(
          value_field,
          absl::StrCat("\"", Shortened(option.name()),
                       "\" does not take pairs, only build_arg, cache_from, "
                       "cache_to, label, output and secret do; send values"));
    }
    add(absl::StrReplaceAll(option.name(), {{"_", "-"}}), value_field,
        option.value(), PairForm::kOneFlag);
  }
  return flags;
}

std::vector<std::string> Arguments(absl::Span<const WrittenFlag> flags,
                                   absl::string_view context) {
  std::vector<std::string> args;
  for (const WrittenFlag& flag : flags) {
    const std::string name = absl::StrCat("--", flag.name);
    if (flag.bare) args.push_back(name);
    for (const std::string& value : flag.values) {
      args.push_back(name);
      args.push_back(value);
    }
  }
  args.emplace_back(context.empty() ? "." : context);
  return args;
}

absl::StatusOr<std::vector<std::string>> ConstructArgs(
    const v1::BuildOptions& options, const PathRules& rules,
    absl::string_view field_prefix) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::vector<WrittenFlag> flags,
                                    WriteFlags(options, rules, field_prefix));
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckSize(flags));
  return Arguments(flags, options.context_path());
}

}  // namespace containerbuilder::service
