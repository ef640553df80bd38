#ifndef CONTAINERBUILDER_CLI_COMPLETION_H_
#define CONTAINERBUILDER_CLI_COMPLETION_H_

#include <functional>
#include <span>
#include <string>
#include <vector>

// What a shell offers for the word that is being typed.
namespace containerbuilder::cli {

struct Candidate {
  std::string word;  // all of it, with what was typed already
  std::string help;  // empty: none
};

struct Completion {
  std::vector<Candidate> candidates;
  // What the shell adds: names of files or folders for what follows the last
  // `=` of the word.
  enum class Paths { kNone, kFiles, kFolders } paths = Paths::kNone;
};

// The builds that can be named: `builds/ID` with a note of each. Told the flags
// before the command.
using FindBuilds = std::function<std::vector<Candidate>(
    std::span<const std::string> program_flags)>;

// `words` are what stands after the program's name up to the cursor; the last
// is the one to complete, and may be empty. Takes the flags and commands from
// the same tables as everything else does.
Completion Complete(std::span<const std::string> words,
                    const FindBuilds& find_builds);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_COMPLETION_H_
