#ifndef CONTAINERBUILDER_CLI_COLOR_H_
#define CONTAINERBUILDER_CLI_COLOR_H_

#include <string>
#include <string_view>

namespace containerbuilder::cli {

// Whether that stream takes what moves a cursor: a terminal that is not dumb.
bool IsTerminal(int fd);

// Whether states are coloured on that stream: on a terminal, unless NO_COLOR is
// set; anywhere where CLICOLOR_FORCE is, unless to 0.
bool HasColors(int fd);

// The name of a state, such as `RUNNING` or `OK`: green for a good one, yellow
// for one to look at, red for a bad one, and unchanged any other.
std::string Colored(std::string_view state);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_COLOR_H_
