#include "rpc/peer_turn.h"

#include <memory>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace containerbuilder::service {
namespace {

// A call, as far as a PeerTurn goes.
struct Call {
  Call(Executor* executor, absl::Duration limit)
      : turn(executor, limit, [this] { idle.Notify(); }) {}

  absl::Notification idle;
  PeerTurn turn;
};

TEST(PeerTurnTest, APeerIsWaitedForNoLongerThanTheLimit) {
  Executor executor(1);
  const auto call = std::make_shared<Call>(&executor, absl::Milliseconds(5));
  call->turn.Start(call);
  call->turn.Give();
  EXPECT_TRUE(call->idle.WaitForNotificationWithTimeout(absl::Minutes(1)));
  EXPECT_FALSE(call->turn.TakeBack());
  call->turn.End();
}

TEST(PeerTurnTest, WhoTakesTheTurnBackHasAllTheTime) {
  Executor executor(1);
  const auto call = std::make_shared<Call>(&executor, absl::Milliseconds(5));
  const auto other = std::make_shared<Call>(&executor, absl::Milliseconds(50));
  call->turn.Start(call);
  call->turn.Give();
  if (!call->turn.TakeBack()) return;  // a machine that stood still for 5 ms
  other->turn.Start(other);
  other->turn.Give();
  // Many limits later.
  EXPECT_TRUE(other->idle.WaitForNotificationWithTimeout(absl::Minutes(1)));
  EXPECT_FALSE(call->idle.HasBeenNotified());
  // And then it is waited for anew.
  call->turn.Give();
  EXPECT_TRUE(call->idle.WaitForNotificationWithTimeout(absl::Minutes(1)));
}

TEST(PeerTurnTest, OfAnEndedOneOrOneThatIsGoneNothingIsHeard) {
  Executor executor(1);
  const auto ended = std::make_shared<Call>(&executor, absl::Milliseconds(500));
  ended->turn.Start(ended);
  ended->turn.Give();
  ended->turn.End();
  auto gone = std::make_shared<Call>(&executor, absl::Milliseconds(500));
  gone->turn.Start(gone);
  gone->turn.Give();
  gone.reset();
  const auto last = std::make_shared<Call>(&executor, absl::Milliseconds(600));
  last->turn.Start(last);
  last->turn.Give();
  EXPECT_TRUE(last->idle.WaitForNotificationWithTimeout(absl::Minutes(1)));
  EXPECT_FALSE(ended->idle.HasBeenNotified());
}

}  // namespace
}  // namespace containerbuilder::service
