#include <memory>

#include "containerbuilder/client/client.h"
#include "containerbuilder/client_mocks/mock_connection.h"
#include "gmock/gmock.h"

namespace {

using ::containerbuilder::client::Client;
using ::containerbuilder::client_mocks::MockConnection;
using ::testing::Return;

TEST(MockConnectionTest, AnswersInPlaceOfAService) {
  containerbuilder::v1::HealthResponse healthy;
  healthy.set_state(containerbuilder::v1::HealthResponse::STATE_HEALTHY);
  const auto connection = std::make_shared<MockConnection>();
  EXPECT_CALL(*connection, Health).WillOnce(Return(healthy));
  const auto answer = Client(connection).Health();
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->state(), healthy.state());
}

}  // namespace
