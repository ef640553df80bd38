// What goes on while nerdctl does not answer.

#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <string>

#include "absl/synchronization/blocking_counter.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "integration/builds_fixture.h"
#include "support/calls.h"
#include "support/status_matchers.h"

namespace containerbuilder {
namespace {

namespace fs = std::filesystem;
using ::containerbuilder::test_support::IsOk;

class HangingTest : public BuildsTest {
 protected:
  HangingTest() {
    fs::copy_file(FAKE_NERDCTL, folder_.MakeDir("bin") + "/nerdctl");
    options_.nerdctl = folder_.Path("bin/nerdctl");
  }

  // From now on, as another file.
  void HangNerdctl() {
    folder_.WriteFile("bin/nerdctl_--version.txt", "sleep 600\n");
    const fs::path nerdctl = options_.nerdctl;
    fs::last_write_time(nerdctl,
                        fs::last_write_time(nerdctl) + std::chrono::seconds(1));
    // Until it is asked: an answer of before is shared for a second.
    ASSERT_TRUE(test_support::Eventually([this] {
      grpc::ClientContext context;
      context.set_deadline(
          absl::ToChronoTime(absl::Now() + absl::Milliseconds(100)));
      v1::HealthResponse response;
      return api().stub().Health(&context, {}, &response).error_code() ==
             grpc::StatusCode::DEADLINE_EXCEEDED;
    }));
  }
};

TEST_F(HangingTest, CallsThatAskNothingGoOn) {
  constexpr int kCalls = 20;
  Start();
  const std::string name = Create(HeldRequest("g"));
  AwaitReady("g");
  HangNerdctl();

  struct Asking {
    grpc::ClientContext context[3];
    v1::ConstructArgsResponse args;
    v1::HealthResponse health;
    v1::CreateBuildResponse build;
  };
  std::deque<Asking> asking(kCalls);
  const v1::ConstructArgsRequest args;
  const v1::HealthRequest health;
  const v1::CreateBuildRequest build =
      test_support::ToCreate(Request("ctx", ""));
  std::atomic<int> answered = 0;
  absl::BlockingCounter left(3 * kCalls);
  const auto on_answer = [&](const grpc::Status&) {
    ++answered;
    left.DecrementCount();
  };
  for (Asking& call : asking) {
    for (grpc::ClientContext& context : call.context) {
      context.set_deadline(
          absl::ToChronoTime(absl::Now() + test_support::kCallTimeout));
    }
    auto* const async = api().stub().async();
    async->ConstructArgs(&call.context[0], &args, &call.args, on_answer);
    async->Health(&call.context[1], &health, &call.health, on_answer);
    async->CreateBuild(&call.context[2], &build, &call.build, on_answer);
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Get(name).state(), v1::Build::STATE_RUNNING);
  }
  EXPECT_TRUE(api().Watch(name)->Next());
  EXPECT_THAT(api().Cancel(name), IsOk());
  // Nobody waits for those.
  EXPECT_EQ(answered, 0);
  // And they have their answer as soon as the first of them has.
  left.Wait();
  for (const Asking& call : asking) {
    EXPECT_EQ(call.health.state(), v1::HealthResponse::STATE_UNHEALTHY);
  }
}

}  // namespace
}  // namespace containerbuilder
