#ifndef CONTAINERBUILDER_TESTS_SUPPORT_PROCESSES_H_
#define CONTAINERBUILDER_TESTS_SUPPORT_PROCESSES_H_

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace containerbuilder::test_support {

// Until `condition` holds; false where it does not within a minute. For what
// other processes do, which has no event to wait for.
inline bool Eventually(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

inline bool EventuallyExists(const std::string& path) {
  return Eventually([&path] { return std::filesystem::exists(path); });
}

// What can be read of it: a process whose file it is may end meanwhile.
inline std::string ReadFile(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

// The pids that fake_nerdctl's `pid` wrote down.
inline std::vector<pid_t> ReadPids(const std::string& path) {
  std::vector<pid_t> pids;
  for (absl::string_view line :
       absl::StrSplit(ReadFile(path), '\n', absl::SkipEmpty())) {
    pids.push_back(std::stoi(std::string(line)));
  }
  return pids;
}

// Neither running nor a zombie, except one that the machine's init has not
// waited for yet: when it does is not ours.
inline bool IsGone(pid_t pid) {
  if (kill(pid, 0) != 0) return true;
  const std::string stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  // Behind the name, which may hold anything: state and parent.
  const std::size_t name_end = stat.rfind(')');
  return name_end == std::string::npos ||
         absl::StartsWith(absl::string_view(stat).substr(name_end), ") Z 1 ");
}

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_SUPPORT_PROCESSES_H_
