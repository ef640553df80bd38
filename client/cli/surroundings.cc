#include "surroundings.h"

#include <cstdlib>
#include <filesystem>

namespace containerbuilder::cli {

Surroundings SurroundingsHere() {
  return {std::filesystem::current_path(),
          [](const std::string& name) -> std::optional<std::string> {
            const char* value = std::getenv(name.c_str());
            if (value == nullptr) return std::nullopt;
            return value;
          }};
}

std::optional<std::string> Variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

}  // namespace containerbuilder::cli
