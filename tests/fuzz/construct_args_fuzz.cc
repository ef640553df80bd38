// ConstructArgs of any options: the same each time, and made of the flags that
// the options name, each with its values, and the context.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "build/command_line.h"
#include "build/nerdctl_args.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "fuzz/fuzz.h"

namespace containerbuilder::service {
namespace {

using fuzz::Check;

PathRules Rules() {
  return {"/work", [](const std::string& path) {
            return path == "here" || path == "/there" || path == ".";
          }};
}

void CheckArguments(const v1::BuildOptions& options) {
  const absl::StatusOr<std::vector<std::string>> args =
      ConstructArgs(options, Rules(), "options");
  const absl::StatusOr<std::vector<WrittenFlag>> flags =
      WriteFlags(options, Rules(), "options");
  Check(args.ok() == flags.ok(), "both or neither");
  if (!args.ok()) {
    Check(args.status().code() == absl::StatusCode::kInvalidArgument,
          "refused as invalid");
    return;
  }
  Check(*args == *ConstructArgs(options, Rules(), "options"),
        "the same each time");

  std::vector<std::string> expected;
  for (const WrittenFlag& flag : *flags) {
    Check(flag.name.find('_') == std::string::npos, "names have dashes");
    Check(!flag.bare || flag.values.empty(), "bare or with values");
    if (flag.bare) expected.push_back(absl::StrCat("--", flag.name));
    for (const std::string& value : flag.values) {
      expected.push_back(absl::StrCat("--", flag.name));
      expected.push_back(value);
    }
  }
  expected.push_back(options.context_path().empty() ? "."
                                                    : options.context_path());
  Check(*args == expected, "flags with their values, then the context");

  // Nothing that is shown breaks out of a line of a shell.
  const std::string line = CommandLine(*args);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (!quoted && line[i] == '\\') {
      ++i;
    } else if (line[i] == '\'') {
      quoted = !quoted;
    }
  }
  Check(!quoted, "quotes are closed", line);
  Check(CommandLine({MaskSecrets(args->back())}) == CommandLine({args->back()}),
        "what is masked has nothing left to mask", line);
}

}  // namespace
}  // namespace containerbuilder::service

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  containerbuilder::v1::BuildOptions options;
  if (containerbuilder::fuzz::Parse({reinterpret_cast<const char*>(data), size},
                                    options)) {
    containerbuilder::service::CheckArguments(options);
  }
  return 0;
}
