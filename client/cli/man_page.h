#ifndef CONTAINERBUILDER_CLI_MAN_PAGE_H_
#define CONTAINERBUILDER_CLI_MAN_PAGE_H_

#include <string>

namespace containerbuilder::cli {

// container-builder(1), in roff's man macros: what `--help` tells of the
// program and of each command.
std::string ManPage();

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_MAN_PAGE_H_
