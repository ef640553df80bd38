#include "process/leftovers.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "process/processes.h"
#include "support/processes.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using test_support::Eventually;
using test_support::IsOk;
using test_support::ReadPids;
using test_support::TempDir;

// A build that no other process has: tests run side by side, and all processes
// of the machine are looked at.
std::string Build(absl::string_view id) {
  return absl::StrCat("CONTAINER_BUILDER_BUILD=builds/", getpid(), id);
}
const std::string& Mark() {
  static const auto* const mark = new std::string(Build("a1"));
  return *mark;
}
constexpr absl::Duration kTimeout = absl::Seconds(30);

bool Runs(pid_t pid) {
  const std::optional<ProcessStat> stat = ReadProcessStat(pid);
  return stat && stat->state != 'Z' && stat->state != 'X';
}

// A child of the test that lives until it is ended, by EndLeftovers or by this.
class Child {
 public:
  Child(std::vector<std::string> argv, std::vector<std::string> environment,
        bool own_session = true) {
    std::vector<char*> arguments;
    for (std::string& argument : argv) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    std::vector<char*> entries;
    for (std::string& entry : environment) entries.push_back(entry.data());
    entries.push_back(nullptr);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, own_session ? POSIX_SPAWN_SETSID : 0);
    EXPECT_EQ(posix_spawn(&pid_, arguments[0], nullptr, &attributes,
                          arguments.data(), entries.data()),
              0);
    posix_spawnattr_destroy(&attributes);
    // posix_spawn returns while the kernel still sets the new program up.
    if (!environment.empty()) {
      EXPECT_TRUE(Eventually([this] {
        const auto seen = ReadEnvironment(pid_);
        return seen.has_value() && !seen->empty();
      }));
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill(pid_, SIGKILL);
    if (!reaped_) waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }

  // The signal that ended it; 0 where it runs or exited.
  int KilledBy() {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) != pid_) return 0;
    reaped_ = true;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

 private:
  pid_t pid_ = -1;
  bool reaped_ = false;
};

std::vector<std::string> Sleep() { return {"/bin/sleep", "600"}; }

class LeftoversTest : public testing::Test {
 protected:
  // A shell with two children that cleared their environment; `then` is what
  // it does after it has written down their pids.
  std::vector<std::string> Family(const std::string& then) const {
    const std::string bare = absl::StrCat(
        "/usr/bin/env -i /bin/sleep 600 & echo $! >> ", pids_, "; ");
    return {"/bin/sh", "-c",
            absl::StrCat(bare, bare, "/bin/mv ", pids_, " ", pids_, ".done; ",
                         then)};
  }

  // Once they have cleared it.
  std::vector<pid_t> AwaitChildren() const {
    EXPECT_TRUE(test_support::EventuallyExists(pids_ + ".done"));
    const std::vector<pid_t> pids = ReadPids(pids_ + ".done");
    EXPECT_EQ(pids.size(), 2U);
    for (const pid_t pid : pids) {
      EXPECT_TRUE(Eventually([pid] {
        char path[64] = {};
        return readlink(absl::StrCat("/proc/", pid, "/exe").c_str(), path,
                        sizeof(path) - 1) > 0 &&
               std::string(path).find("env") == std::string::npos &&
               ReadEnvironment(pid) == "";
      }));
    }
    return pids;
  }

  static absl::Status End(std::optional<ProcessId> leader) {
    const Leftover leftover = {Mark(), std::move(leader)};
    return EndLeftovers({&leftover, 1}, kTimeout);
  }

  const TempDir folder_;
  const std::string pids_ = folder_.Path("pids");
};

TEST_F(LeftoversTest, EndsWhatIsMarkedAndNothingElse) {
  Child marked(Sleep(), {"A=b", Mark(), "C=d"});
  Child marked_too(Sleep(), {Mark()});
  Child other_build(Sleep(), {absl::StrCat(Mark(), "b")});
  Child shorter(Sleep(), {Build("a")});
  Child inside(Sleep(), {absl::StrCat("X=", Mark())});
  Child bare(Sleep(), {});
  EXPECT_THAT(End(std::nullopt), IsOk());
  EXPECT_EQ(marked.KilledBy(), SIGKILL);
  EXPECT_EQ(marked_too.KilledBy(), SIGKILL);
  for (Child* stranger : {&other_build, &shorter, &inside, &bare}) {
    EXPECT_TRUE(Runs(stranger->pid()));
  }
}

TEST_F(LeftoversTest, EndsSeveralBuildsAtOnce) {
  Child first(Sleep(), {Build("1")});
  Child second(Sleep(), {Build("2")});
  Child third(Sleep(), {Build("3")});
  const std::vector<Leftover> leftovers = {{Build("1"), std::nullopt},
                                           {Build("3"), std::nullopt}};
  EXPECT_THAT(EndLeftovers(leftovers, kTimeout), IsOk());
  EXPECT_EQ(first.KilledBy(), SIGKILL);
  EXPECT_TRUE(Runs(second.pid()));
  EXPECT_EQ(third.KilledBy(), SIGKILL);
}

TEST_F(LeftoversTest, EndsWhoClearedTheEnvironmentInAMarkedGroup) {
  Child leader(Family("wait"), {Mark()});
  const std::vector<pid_t> children = AwaitChildren();
  EXPECT_THAT(End(std::nullopt), IsOk());
  EXPECT_EQ(leader.KilledBy(), SIGKILL);
  for (const pid_t child : children) EXPECT_FALSE(Runs(child));
}

TEST_F(LeftoversTest, EndsTheLeadersGroupWithNoMarkAtAll) {
  Child leader(Family("wait"), {});
  const std::vector<pid_t> children = AwaitChildren();
  EXPECT_THAT(End(IdentifyProcess(leader.pid())), IsOk());
  EXPECT_EQ(leader.KilledBy(), SIGKILL);
  for (const pid_t child : children) EXPECT_FALSE(Runs(child));
}

TEST_F(LeftoversTest, EndsTheGroupOfALeaderThatIsNotReaped) {
  Child leader(Family("exit 0"), {});
  const std::vector<pid_t> children = AwaitChildren();
  const std::optional<ProcessId> id = IdentifyProcess(leader.pid());
  ASSERT_TRUE(id);
  ASSERT_TRUE(Eventually([&] { return !Runs(leader.pid()); }));
  EXPECT_THAT(End(id), IsOk());
  for (const pid_t child : children) EXPECT_FALSE(Runs(child));
}

// What got the pid later, or after a boot.
TEST_F(LeftoversTest, AStrangerWithTheRecordedPidSurvives) {
  Child stranger(Family("wait"), {});
  const std::vector<pid_t> children = AwaitChildren();
  const std::optional<ProcessId> id = IdentifyProcess(stranger.pid());
  ASSERT_TRUE(id);
  EXPECT_GT(id->start_ticks, 0U);
  EXPECT_FALSE(id->boot_id.empty());

  ProcessId earlier = *id;
  --earlier.start_ticks;
  EXPECT_THAT(End(earlier), IsOk());
  ProcessId other_boot = *id;
  other_boot.boot_id = "01234567-89ab-cdef-0123-456789abcdef";
  EXPECT_THAT(End(other_boot), IsOk());
  ProcessId no_boot = *id;
  no_boot.boot_id = "";
  EXPECT_THAT(End(no_boot), IsOk());

  EXPECT_TRUE(Runs(stranger.pid()));
  for (const pid_t child : children) EXPECT_TRUE(Runs(child));
  // And the test can fail: this one is hit.
  EXPECT_THAT(End(id), IsOk());
  EXPECT_EQ(stranger.KilledBy(), SIGKILL);
  for (const pid_t child : children) EXPECT_FALSE(Runs(child));
}

TEST_F(LeftoversTest, OfWhoIsInThisProgramsOwnGroupOnlyTheMarkedIsEnded) {
  Child marked(Sleep(), {Mark()}, /*own_session=*/false);
  Child bystander(Sleep(), {}, /*own_session=*/false);
  ASSERT_EQ(ReadProcessStat(marked.pid())->group, getpgrp());
  EXPECT_THAT(End(std::nullopt), IsOk());
  EXPECT_EQ(marked.KilledBy(), SIGKILL);
  EXPECT_TRUE(Runs(bystander.pid()));
}

TEST_F(LeftoversTest, NeitherInitNorAnybodyIsHitByAPidOfNobody) {
  for (const pid_t pid : {-1, 0, 1}) {
    ProcessId id = *IdentifyProcess(1);
    id.pid = pid;
    EXPECT_THAT(End(id), IsOk());
  }
  pid_t gone = 0;
  {
    Child child(Sleep(), {});
    gone = child.pid();
  }
  EXPECT_FALSE(IdentifyProcess(gone));
  EXPECT_THAT(End(ProcessId{gone, 1, BootId()}), IsOk());
  EXPECT_THAT(EndLeftovers({}, kTimeout), IsOk());
}

// One that starts more while it is being ended.
TEST_F(LeftoversTest, GoesOnUntilNothingIsFound) {
  const std::string pids = folder_.Path("many");
  Child leader({"/bin/sh", "-c",
                absl::StrCat("while :; do /bin/sleep 600 & echo $! >> ", pids,
                             "; /bin/sleep 0.01; done")},
               {Mark()});
  ASSERT_TRUE(Eventually([&] { return ReadPids(pids).size() >= 20; }));
  EXPECT_THAT(End(std::nullopt), IsOk());
  EXPECT_EQ(leader.KilledBy(), SIGKILL);
  for (const pid_t pid : ReadPids(pids)) EXPECT_FALSE(Runs(pid)) << pid;
}

TEST(ProcessIdTest, TellsAProcessFromWhatHadItsPid) {
  const std::optional<ProcessId> self = IdentifyProcess(getpid());
  ASSERT_TRUE(self);
  EXPECT_EQ(self->pid, getpid());
  EXPECT_EQ(self->start_ticks, IdentifyProcess(getpid())->start_ticks);
  EXPECT_EQ(self->boot_id, BootId());
}

}  // namespace
}  // namespace containerbuilder::service
