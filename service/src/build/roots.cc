#include "build/roots.h"

#include <climits>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "build/nerdctl_args.h"

namespace containerbuilder::service {
namespace {

// Whether `path` is `folder` or beneath it by its text, and is above it at no
// point on the way: `folder/../folder` is not.
bool IsBeneath(absl::string_view path, absl::string_view folder) {
  const std::vector<absl::string_view> above =
      absl::StrSplit(folder, '/', absl::SkipEmpty());
  std::size_t matched = 0;
  int depth = 0;
  for (const absl::string_view part :
       absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (matched < above.size()) {
      if (part != above[matched++]) return false;
    } else {
      depth += part == ".." ? -1 : 1;
      if (depth < 0) return false;
    }
  }
  return matched == above.size();
}

// With no links left; nothing where it does not exist.
std::optional<std::string> ResolveLinks(const std::string& path) {
  // The kernel takes no longer paths; realpath would, at length.
  if (path.size() >= PATH_MAX || absl::StrContains(path, '\0')) {
    return std::nullopt;
  }
  const std::unique_ptr<char, decltype(&std::free)> resolved(
      realpath(path.c_str(), nullptr), &std::free);
  if (resolved == nullptr) return std::nullopt;
  return resolved.get();
}

}  // namespace

Roots::Roots(const std::vector<std::string>& folders,
             const std::vector<std::string>& closed) {
  for (const std::string& folder : closed) {
    closed_.push_back(ResolveLinks(folder).value_or(folder));
  }
  for (const std::string& folder : folders) {
    if (!absl::StartsWith(folder, "/")) continue;
    std::optional<std::string> resolved = ResolveLinks(folder);
    if (!resolved) continue;
    roots_.push_back({AbsolutePath(folder, "/"), *std::move(resolved)});
  }
}

bool Roots::Names(const std::string& path) const {
  return absl::c_any_of(roots_, [&](const Root& root) {
    return IsBeneath(path, root.name) || IsBeneath(path, root.resolved);
  });
}

std::optional<PlaceInRoot> Roots::Find(const std::string& path) const {
  // By its text first: resolving what is outside would tell what is there.
  if (!Names(path)) return std::nullopt;
  const auto find = [&](const std::string& spelling) {
    const std::optional<std::string> resolved = ResolveLinks(spelling);
    return resolved ? PlaceOf(*resolved) : std::nullopt;
  };
  // nerdctl drops `..` by text, the kernel after links.
  if (!find(AbsolutePath(path, "/"))) return std::nullopt;
  return find(path);
}

std::optional<PlaceInRoot> Roots::FindNew(const std::string& path) const {
  if (!Names(path) || path.size() >= PATH_MAX ||
      absl::StrContains(path, '\0')) {
    return std::nullopt;
  }
  // What comes behind the part that exists; there, `..` has one reading only.
  std::string existing = AbsolutePath(path, "/");
  std::string rest;
  while (existing != "/") {
    if (const auto resolved = ResolveLinks(existing)) {
      std::optional<PlaceInRoot> place = PlaceOf(*resolved);
      if (place && !rest.empty()) {
        place->path =
            place->path == "." ? rest : absl::StrCat(place->path, "/", rest);
      }
      return place;
    }
    const std::size_t slash = existing.rfind('/');
    const std::string name = existing.substr(slash + 1);
    rest = rest.empty() ? name : absl::StrCat(name, "/", rest);
    existing.resize(slash == 0 ? 1 : slash);
  }
  return std::nullopt;
}

std::optional<PlaceInRoot> Roots::PlaceOf(const std::string& resolved) const {
  if (absl::c_any_of(closed_, [&](const std::string& folder) {
        return IsBeneath(resolved, folder);
      })) {
    return std::nullopt;
  }
  for (const Root& root : roots_) {
    if (!IsBeneath(resolved, root.resolved)) continue;
    absl::string_view path =
        absl::string_view(resolved).substr(root.resolved.size());
    absl::ConsumePrefix(&path, "/");
    return PlaceInRoot{root.resolved, path.empty() ? "." : std::string(path)};
  }
  return std::nullopt;
}

}  // namespace containerbuilder::service
