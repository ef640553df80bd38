#ifndef CONTAINERBUILDER_CLIENT_IGNORE_MATCHER_H_
#define CONTAINERBUILDER_CLIENT_IGNORE_MATCHER_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace re2 {
class RE2;
}  // namespace re2

namespace containerbuilder::client {

// The patterns of a `.dockerignore`, in their order, as BuildKit reads them.
// INVALID_ARGUMENT where a line has 64 KiB or more.
absl::StatusOr<std::vector<std::string>> ReadIgnoreFile(std::string_view text);

// Which files of a context a `.dockerignore` leaves out: exactly those that
// BuildKit leaves out, whose rules (moby/patternmatcher) are odd in places. A
// later pattern overrides an earlier one, and one that begins with `!` takes
// back in. Names are bytes; what is not UTF-8 counts as U+FFFD in wildcards.
//
// Not thread-safe.
class IgnoreMatcher {
 public:
  // What the patterns made of a folder, each; empty for the context itself.
  using FolderMatches = std::vector<bool>;
  struct Match {
    bool is_ignored;
    FolderMatches of_folder;  // for what is in it, where it is a folder
  };

  // INVALID_ARGUMENT names the pattern that is none.
  static absl::StatusOr<IgnoreMatcher> Create(
      std::span<const std::string> patterns);
  // ReadIgnoreFile and Create.
  static absl::StatusOr<IgnoreMatcher> Parse(std::string_view text);

  IgnoreMatcher(IgnoreMatcher&&) noexcept;
  IgnoreMatcher& operator=(IgnoreMatcher&&) noexcept;
  ~IgnoreMatcher();

  // `path` is relative to the context. Some patterns are found to be none only
  // here: INVALID_ARGUMENT.
  absl::StatusOr<Match> Matches(std::string_view path,
                                const FolderMatches& parent);

  // Whether something below a folder that is ignored may not be.
  bool MayTakeBackBelow(std::string_view folder) const;

 private:
  class Pattern;
  IgnoreMatcher();

  std::vector<Pattern> patterns_;
  bool takes_back_ = false;
  // Those that take back are names without wildcards.
  bool takes_back_names_only_ = true;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_IGNORE_MATCHER_H_
