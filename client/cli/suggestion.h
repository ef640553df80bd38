#ifndef CONTAINERBUILDER_CLI_SUGGESTION_H_
#define CONTAINERBUILDER_CLI_SUGGESTION_H_

#include <span>
#include <string_view>

namespace containerbuilder::cli {

// The known word that was probably meant; empty when none comes near.
std::string_view Suggestion(std::string_view word,
                            std::span<const std::string_view> known);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_SUGGESTION_H_
