// The matcher of .dockerignore: a file and, behind its last newline, a path. It
// ends without harm, says the same twice, and what a folder's match says of
// what is in it holds.

#include <string>
#include <string_view>

#include "fuzz/fuzz.h"
#include "go_text.h"
#include "ignore_matcher.h"

namespace containerbuilder::client {
namespace {

using fuzz::Check;

// BuildKit looks ahead into folders by the bytes of names, and matches by
// expressions: to these, some characters are operators, a byte order mark at a
// pattern's begin is nothing, and what is no UTF-8 is all the same. Of such it
// leaves out what it would match.
bool LooksAheadExactly(std::string_view text, std::string_view path) {
  return text.find_first_of("|{}") == std::string_view::npos &&
         text.find("\xef\xbb\xbf") == std::string_view::npos &&
         ToValidUtf8(path) == path;
}

void CheckMatches(std::string_view text, std::string_view path) {
  auto matcher = IgnoreMatcher::Parse(text);
  if (!matcher.ok()) return;
  IgnoreMatcher::FolderMatches parent;
  bool parent_is_ignored = false;
  bool may_take_back = true;
  for (std::size_t end = 0; end != std::string_view::npos;) {
    end = path.find('/', end + 1);
    const std::string_view part = path.substr(0, end);
    const auto match = matcher->Matches(part, parent);
    const auto again = matcher->Matches(part, parent);
    Check(match.ok() == again.ok(), "an answer is given twice");
    if (!match.ok()) return;
    Check(match->is_ignored == again->is_ignored &&
              match->of_folder == again->of_folder,
          "the same one");
    Check(!parent_is_ignored || match->is_ignored || may_take_back ||
              !LooksAheadExactly(text, path),
          "nothing is taken back where nothing may be");
    parent = match->of_folder;
    parent_is_ignored = match->is_ignored;
    may_take_back = matcher->MayTakeBackBelow(part);
  }
}

}  // namespace
}  // namespace containerbuilder::client

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using containerbuilder::fuzz::Check;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t newline = input.rfind('\n');
  const std::string_view text =
      newline == std::string_view::npos ? input : input.substr(0, newline);
  const std::string path = containerbuilder::client::CleanPath(
      newline == std::string_view::npos ? "" : input.substr(newline + 1));
  Check(containerbuilder::client::CleanPath(path) == path,
        "a clean path stays so");
  const std::string valid = containerbuilder::client::ToValidUtf8(input);
  Check(containerbuilder::client::ToValidUtf8(valid) == valid,
        "valid bytes stay so");
  containerbuilder::client::CheckMatches(text, path);
  return 0;
}
