#ifndef CONTAINERBUILDER_CLI_SURROUNDINGS_H_
#define CONTAINERBUILDER_CLI_SURROUNDINGS_H_

#include <functional>
#include <optional>
#include <string>

namespace containerbuilder::cli {

// What nerdctl would find around it if it ran where the caller is.
struct Surroundings {
  std::string folder;
  std::function<std::optional<std::string>(const std::string& name)>
      environment;
};

// This process's. Throws where there is no working folder any more.
Surroundings SurroundingsHere();

// A variable of this process; nothing where it is not set, or empty.
std::optional<std::string> Variable(const std::string& name);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_SURROUNDINGS_H_
