#include "containerbuilder/client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>

#include "containerbuilder/client_mocks/mock_connection.h"
#include "support/status_matchers.h"
#include "unit/client/fake_service.h"

namespace containerbuilder::client {
namespace {

using client_mocks::FakeBuildEventSource;
using client_mocks::MockConnection;
using test_support::IsOk;
using test_support::StatusIs;
using ::testing::Property;
using ::testing::Return;

TEST(ClientTest, HealthIsTheConnections) {
  auto connection = std::make_shared<MockConnection>();
  v1::HealthResponse health;
  health.set_nerdctl_version("1.7.7");
  EXPECT_CALL(*connection, Health).WillOnce(Return(health));

  const auto answer = Client(connection).Health();
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->nerdctl_version(), "1.7.7");
}

TEST(ClientTest, ConstructArgsSendsTheOptions) {
  auto connection = std::make_shared<MockConnection>();
  v1::BuildOptions options;
  options.set_context_path("/src");
  EXPECT_CALL(*connection,
              ConstructArgs(
                  Property(&v1::ConstructArgsRequest::options,
                           Property(&v1::BuildOptions::context_path, "/src"))))
      .WillOnce(Return(absl::InvalidArgumentError("no")));

  EXPECT_THAT(Client(connection).ConstructArgs(options),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ClientTest, BuildStreamsTheConnectionsEvents) {
  auto connection = std::make_shared<MockConnection>();
  std::deque<v1::BuildEvent> events = {
      test_support::FinishedEvent(v1::Build::STATE_SUCCEEDED)};
  EXPECT_CALL(*connection,
              Build(Property(&v1::BuildRequest::request_id, "once")))
      .WillOnce(Return(std::make_unique<FakeBuildEventSource>(events)));

  v1::BuildRequest request;
  request.set_request_id("once");
  int count = 0;
  for (const auto& event : Client(connection).Build(request)) {
    EXPECT_THAT(event, IsOk());
    ++count;
  }
  EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace containerbuilder::client
