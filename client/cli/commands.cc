#include "commands.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "exit_code.h"
#include "terminal.h"

namespace containerbuilder::cli {

int WrongUsage(absl::string_view text, absl::string_view command) {
  PrintMessage(text);
  PrintMessage(absl::StrCat("see: container-builder ", command,
                            command.empty() ? "" : " ", "--help"));
  return kWrongUsage;
}

int PrintHelp(std::string_view text) {
  const std::error_code error = Write(STDOUT_FILENO, text);
  return error ? WriteFailed(error) : kSucceeded;
}

Surroundings SurroundingsHere() {
  return {std::filesystem::current_path(),
          [](const std::string& name) -> std::optional<std::string> {
            const char* value = std::getenv(name.c_str());
            if (value == nullptr) return std::nullopt;
            return value;
          }};
}

}  // namespace containerbuilder::cli
