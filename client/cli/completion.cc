#include "completion.h"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "command.h"
#include "commands.h"
#include "completion_scripts.h"
#include "global_flags.h"

namespace containerbuilder::cli {
namespace {

// Follows a command line as SplitCommandLine does, but forgives mistakes.
class Reader {
 public:
  explicit Reader(std::vector<Flag> flags) : flags_(std::move(flags)) {}

  // Whether the word is an argument.
  bool Take(const std::string& word) {
    if (std::exchange(pending_, nullptr) != nullptr) return false;
    if (!MayBeFlag(word) || word.size() < 2) return true;
    if (word == "--") {
      flags_ended_ = true;
    } else if (word.starts_with("--")) {
      if (word.find('=') == std::string::npos) {
        SetPending(Find(word.substr(2)));
      }
    } else {
      TakeShort(word.substr(1));
    }
    return false;
  }

  // The flag whose value the next word is; null: it is none's.
  const Flag* pending() const { return pending_; }

  bool MayBeFlag(const std::string& word) const {
    return !flags_ended_ && word.starts_with('-');
  }

  const Flag* Find(std::string_view name) const {
    const auto flag = std::ranges::find(flags_, name, &Flag::name);
    return flag == flags_.end() ? nullptr : &*flag;
  }

  const std::vector<Flag>& flags() const { return flags_; }

 private:
  void TakeShort(std::string_view letters) {
    while (!letters.empty()) {
      const auto flag =
          std::ranges::find(flags_, letters.front(), &Flag::shorthand);
      if (flag == flags_.end()) return;
      letters.remove_prefix(1);
      if (flag->kind == Flag::Kind::kSwitch) continue;
      if (letters.empty()) SetPending(&*flag);
      return;
    }
  }

  void SetPending(const Flag* flag) {
    if (flag != nullptr && flag->kind != Flag::Kind::kSwitch) pending_ = flag;
  }

  const std::vector<Flag> flags_;
  const Flag* pending_ = nullptr;
  bool flags_ended_ = false;
};

// Adds those that begin with what was typed.
class Offer {
 public:
  explicit Offer(std::string typed) : typed_(std::move(typed)) {}

  const std::string& typed() const { return typed_; }
  Completion&& Take() { return std::move(completion_); }

  void Add(std::string word, std::string_view help = "") {
    if (!word.starts_with(typed_)) return;
    completion_.candidates.push_back({std::move(word), std::string(help)});
  }

  void AddPaths(Completion::Paths paths) { completion_.paths = paths; }

  // `before` is what stands before the value in the same word.
  void AddValues(const Flag& flag, const std::string& before) {
    if (flag.choices != nullptr) {
      for (const std::string& choice : flag.choices()) Add(before + choice);
    } else if (flag.path != Flag::Path::kNone) {
      AddPaths(Completion::Paths::kFiles);
    }
  }

  // Names of flags, or values where one stands before a `=`.
  void AddFlags(const Reader& reader) {
    const std::size_t equals = typed_.find('=');
    if (typed_.starts_with("--") && equals != std::string::npos) {
      const Flag* const flag = reader.Find(typed_.substr(2, equals - 2));
      if (flag != nullptr) AddValues(*flag, typed_.substr(0, equals + 1));
      return;
    }
    for (const Flag& flag : reader.flags()) {
      Add(absl::StrCat("--", std::string(flag.name)), flag.help);
    }
  }

 private:
  const std::string typed_;
  Completion completion_;
};

void AddCommands(Offer& offer) {
  for (const CommandGroup& group : CommandGroups()) {
    if (group.title.empty()) continue;
    for (const Command* command : group.commands) {
      offer.Add(std::string(command->name), command->summary);
    }
  }
}

void AddBuilds(const std::vector<Candidate>& builds, Offer& offer) {
  for (const Candidate& build : builds) {
    offer.Add(build.word, build.help);
    if (offer.typed().empty()) continue;
    offer.Add(std::string(absl::StripPrefix(build.word, "builds/")),
              build.help);
  }
}

}  // namespace

Completion Complete(std::span<const std::string> words,
                    const FindBuilds& find_builds) {
  if (words.empty()) return {};
  Offer offer(words.back());
  words = words.first(words.size() - 1);

  const std::span<const Flag> global = GlobalFlags();
  Reader program({global.begin(), global.end()});
  std::size_t at = 0;
  while (at < words.size() && !program.Take(words[at])) ++at;
  if (at == words.size()) {
    if (program.pending() != nullptr) {
      offer.AddValues(*program.pending(), "");
    } else if (program.MayBeFlag(offer.typed())) {
      offer.AddFlags(program);
    } else {
      AddCommands(offer);
    }
    return offer.Take();
  }

  const Command* const command = FindCommand(words[at]);
  if (command == nullptr) return {};
  Reader reader(FlagsOf(*command));
  std::size_t arguments = 0;
  for (const std::string& word : words.subspan(at + 1)) {
    if (reader.Take(word)) ++arguments;
  }
  if (reader.pending() != nullptr) {
    offer.AddValues(*reader.pending(), "");
    return offer.Take();
  }
  if (reader.MayBeFlag(offer.typed())) {
    offer.AddFlags(reader);
    return offer.Take();
  }
  const bool is_first = arguments == 0;
  switch (command->argument) {
    case Command::Argument::kNothing:
    case Command::Argument::kAny:
      break;
    case Command::Argument::kContext:
      if (is_first) offer.AddPaths(Completion::Paths::kFolders);
      break;
    case Command::Argument::kBuild:
      if (is_first) AddBuilds(find_builds(words.first(at)), offer);
      break;
    case Command::Argument::kBuilds:
      AddBuilds(find_builds(words.first(at)), offer);
      break;
    case Command::Argument::kShell:
      for (const CompletionScript& script : CompletionScripts()) {
        if (is_first) offer.Add(std::string(script.shell));
      }
      break;
  }
  return offer.Take();
}

}  // namespace containerbuilder::cli
