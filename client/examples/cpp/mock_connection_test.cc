// How to test a program that uses the client library without a service: a
// MockConnection stands in for it, and a FakeBuildEventSource for one build.
//
// Link containerbuilder::client_mocks and GoogleMock.
#include "containerbuilder/client_mocks/mock_connection.h"

#include <deque>
#include <memory>
#include <string>

#include "containerbuilder/client/client.h"
#include "gmock/gmock.h"

namespace {

using ::containerbuilder::client::Client;
using ::containerbuilder::client_mocks::FakeBuildEventSource;
using ::containerbuilder::client_mocks::MockConnection;
using ::containerbuilder::v1::Build;
using ::containerbuilder::v1::BuildEvent;
using ::containerbuilder::v1::BuildRequest;
using ::containerbuilder::v1::HealthResponse;
using ::testing::ByMove;
using ::testing::Return;

// --- The program -------------------------------------------------------------

// All that a build printed, or why there is no image.
absl::StatusOr<std::string> OutputOf(Client& client,
                                     const BuildRequest& request) {
  std::string output;
  for (const absl::StatusOr<BuildEvent>& event : client.Build(request)) {
    if (!event.ok()) return event.status();
    output += event->output().data();
  }
  return output;
}

// --- Its tests ---------------------------------------------------------------

BuildEvent Output(const std::string& text) {
  BuildEvent event;
  event.mutable_output()->set_data(text);
  return event;
}

BuildEvent Finished(Build::State state, const std::string& message = "") {
  BuildEvent event;
  Build& build = *event.mutable_finished()->mutable_build();
  build.set_state(state);
  build.mutable_failure()->set_message(message);
  return event;
}

// A call of Build or WatchBuild that brings these events.
auto Plays(std::deque<BuildEvent> events,
           const absl::Status& end = absl::OkStatus(),
           std::int64_t after_sequence = 0) {
  return Return(ByMove(std::make_unique<FakeBuildEventSource>(
      std::move(events), end, after_sequence)));
}

class OutputOfTest : public testing::Test {
 protected:
  std::shared_ptr<MockConnection> connection_ =
      std::make_shared<MockConnection>();
  Client client_{connection_};
};

TEST_F(OutputOfTest, IsAllThatWasPrinted) {
  EXPECT_CALL(*connection_, Build)
      .WillOnce(
          Plays({Output("a"), Output("b"), Finished(Build::STATE_SUCCEEDED)}));
  EXPECT_EQ(*OutputOf(client_, BuildRequest()), "ab");
}

TEST_F(OutputOfTest, IsWholeAfterALostConnection) {
  EXPECT_CALL(*connection_, Build)
      .WillOnce(Plays({Output("a")}, absl::UnavailableError("lost")));
  EXPECT_CALL(*connection_, WatchBuild)
      .WillOnce(Plays({Output("b"), Finished(Build::STATE_SUCCEEDED)},
                      absl::OkStatus(), /*after_sequence=*/1));
  EXPECT_EQ(*OutputOf(client_, BuildRequest()), "ab");
}

TEST_F(OutputOfTest, IsAnErrorWhereTheBuildFailed) {
  EXPECT_CALL(*connection_, Build)
      .WillOnce(Plays({Finished(Build::STATE_FAILED, "exit code: 7")}));
  EXPECT_EQ(OutputOf(client_, BuildRequest()).status().message(),
            "exit code: 7");
}

TEST(MockConnectionTest, AnswersInPlaceOfAService) {
  HealthResponse healthy;
  healthy.set_state(HealthResponse::STATE_HEALTHY);
  const auto connection = std::make_shared<MockConnection>();
  EXPECT_CALL(*connection, Health).WillOnce(Return(healthy));
  const auto answer = Client(connection).Health();
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->state(), healthy.state());
}

}  // namespace
