// What goes on while nerdctl does not answer.

#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
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
    const std::string asked = folder_.Path("asked");
    fs::remove(asked);
    folder_.WriteFile("bin/nerdctl_--version.txt",
                      absl::StrCat("touch ", asked, "\nsleep 600\n"));
    const fs::path nerdctl = options_.nerdctl;
    fs::last_write_time(nerdctl,
                        fs::last_write_time(nerdctl) + std::chrono::seconds(1));
    // Until it is asked: an answer of before is shared for a second.
    ASSERT_TRUE(test_support::Eventually([&] {
      grpc::ClientContext context;
      context.set_deadline(
          absl::ToChronoTime(absl::Now() + absl::Milliseconds(100)));
      v1::HealthResponse response;
      api().stub().Health(&context, {}, &response);
      return fs::exists(asked);
    }));
  }

  // Asks for what nerdctl has a part in, and then for what it has none in. How
  // many of the first were answered before all of the second.
  int AnsweredBefore(const std::string& gate);
};

int HangingTest::AnsweredBefore(const std::string& gate) {
  constexpr int kCalls = 20;
  const std::string name = Create(HeldRequest(gate));
  AwaitReady(gate);
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
  const int answered_before = answered;
  // They have their answer as soon as the first of them has.
  left.Wait();
  for (const Asking& call : asking) {
    EXPECT_EQ(call.health.state(), v1::HealthResponse::STATE_UNHEALTHY);
  }
  fs::remove(folder_.Path("bin/nerdctl_--version.txt"));
  return answered_before;
}

TEST_F(HangingTest, CallsThatAskNothingGoOn) {
  Start();
  // Nobody waits for those who ask. They are answered after five seconds, in
  // which a busy machine may do little, but not each time.
  EXPECT_TRUE(AnsweredBefore("a") == 0 || AnsweredBefore("b") == 0 ||
              AnsweredBefore("c") == 0);
}

}  // namespace
}  // namespace containerbuilder
