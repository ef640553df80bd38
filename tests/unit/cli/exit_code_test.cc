#include "exit_code.h"

#include <gtest/gtest.h>

#include <csignal>
#include <string>

namespace containerbuilder::cli {
namespace {

v1::Build Ended(v1::Build::State state, const std::string& reason = "",
                int exit_code = 0, int term_signal = 0) {
  v1::Build build;
  build.set_state(state);
  build.mutable_failure()->set_reason(reason);
  build.set_exit_code(exit_code);
  build.set_term_signal(term_signal);
  return build;
}

TEST(ExitCodeTest, OfBuilds) {
  EXPECT_EQ(ExitCode(Ended(v1::Build::STATE_SUCCEEDED)), 0);
  EXPECT_EQ(ExitCode(Ended(v1::Build::STATE_FAILED, "STEP_FAILED", 1)), 1);
  EXPECT_EQ(ExitCode(Ended(v1::Build::STATE_FAILED, "UNKNOWN", 37)), 37);
  EXPECT_EQ(ExitCode(Ended(v1::Build::STATE_FAILED, "KILLED", 0, SIGKILL)),
            137);
  EXPECT_EQ(ExitCode(Ended(v1::Build::STATE_FAILED, "SPAWN_FAILED")), 1);
  EXPECT_EQ(ExitCode(Ended(v1::Build::STATE_FAILED, "LOG_LIMIT", 0, SIGTERM)),
            72);
  EXPECT_EQ(ExitCode(Ended(v1::Build::STATE_FAILED, "NO_SPACE", 1)), 72);
  EXPECT_EQ(ExitCode(Ended(v1::Build::STATE_CANCELLED, "CANCELLED_BY_CALLER")),
            65);
  EXPECT_EQ(ExitCode(Ended(v1::Build::STATE_TIMED_OUT, "TIMED_OUT")), 68);
  EXPECT_EQ(ExitCode(Ended(v1::Build::STATE_EXPIRED, "EXPIRED")), 68);
  EXPECT_EQ(ExitCode(Ended(v1::Build::STATE_INTERRUPTED, "SHUTDOWN")), 78);
  EXPECT_EQ(ExitCode(Ended(v1::Build::STATE_UNSPECIFIED)), 66);
}

TEST(ExitCodeTest, OfCallsAndSignals) {
  EXPECT_EQ(ExitCode(absl::StatusCode::kInvalidArgument), 67);
  EXPECT_EQ(ExitCode(absl::StatusCode::kUnavailable), 78);
  EXPECT_EQ(SignalExitCode(SIGINT), 130);
  EXPECT_EQ(SignalExitCode(SIGTERM), 143);
}

}  // namespace
}  // namespace containerbuilder::cli
