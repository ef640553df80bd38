#include "containerbuilder/client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <iterator>
#include <memory>
#include <ranges>
#include <string>
#include <vector>

#include "containerbuilder/client_mocks/mock_connection.h"
#include "support/status_matchers.h"
#include "unit/client/fake_service.h"

namespace containerbuilder::client {
namespace {

static_assert(std::input_iterator<BuildList::Iterator>);
static_assert(std::ranges::input_range<BuildList>);

using client_mocks::FakeBuildEventSource;
using client_mocks::MockConnection;
using test_support::IsOk;
using test_support::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
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

TEST(ClientTest, OneBuild) {
  auto connection = std::make_shared<MockConnection>();
  v1::Build build;
  build.set_name("builds/7");
  v1::CreateBuildResponse created;
  *created.mutable_build() = build;
  v1::GetBuildResponse got;
  *got.mutable_build() = build;
  v1::CancelBuildResponse cancelled;
  *cancelled.mutable_build() = build;
  v1::CreateBuildRequest request;
  request.set_request_id("once");

  EXPECT_CALL(*connection, CreateBuild(Property(
                               &v1::CreateBuildRequest::request_id, "once")))
      .WillOnce(Return(created));
  EXPECT_CALL(*connection,
              GetBuild(Property(&v1::GetBuildRequest::name, "builds/7")))
      .WillOnce(Return(got));
  EXPECT_CALL(*connection,
              CancelBuild(Property(&v1::CancelBuildRequest::name, "builds/7"),
                          absl::InfiniteDuration()))
      .WillOnce(Return(cancelled));
  EXPECT_CALL(*connection,
              DeleteBuild(Property(&v1::DeleteBuildRequest::name, "builds/7")))
      .WillOnce(Return(v1::DeleteBuildResponse()));

  Client client(connection);
  for (const auto& answer :
       {client.CreateBuild(request), client.GetBuild("builds/7"),
        client.CancelBuild("builds/7")}) {
    ASSERT_THAT(answer, IsOk());
    EXPECT_EQ(answer->name(), "builds/7");
  }
  EXPECT_THAT(client.DeleteBuild("builds/7"), IsOk());

  const absl::Status error = absl::NotFoundError("no such build");
  EXPECT_CALL(*connection, CreateBuild).WillOnce(Return(error));
  EXPECT_CALL(*connection, GetBuild).WillOnce(Return(error));
  EXPECT_CALL(*connection, CancelBuild).WillOnce(Return(error));
  EXPECT_CALL(*connection, DeleteBuild).WillOnce(Return(error));
  EXPECT_EQ(client.CreateBuild(request).status(), error);
  EXPECT_EQ(client.GetBuild("builds/7").status(), error);
  EXPECT_EQ(client.CancelBuild("builds/7").status(), error);
  EXPECT_EQ(client.DeleteBuild("builds/7"), error);
}

v1::ListBuildsResponse Page(const std::vector<std::string>& names,
                            const std::string& next_page_token) {
  v1::ListBuildsResponse page;
  for (const std::string& name : names) page.add_builds()->set_name(name);
  page.set_next_page_token(next_page_token);
  return page;
}

// The names, and the error at the end.
std::vector<std::string> Names(BuildList builds) {
  std::vector<std::string> names;
  for (const auto& build : builds) {
    names.push_back(build.ok() ? build->name() : build.status().ToString());
  }
  return names;
}

TEST(BuildListTest, WalksAllPages) {
  auto connection = std::make_shared<MockConnection>();
  std::vector<std::string> tokens;
  std::deque<v1::ListBuildsResponse> pages = {Page({"c", "b"}, "1"),
                                              Page({}, "2"), Page({"a"}, "")};
  EXPECT_CALL(*connection, ListBuilds)
      .Times(3)
      .WillRepeatedly([&](const v1::ListBuildsRequest& request) {
        EXPECT_EQ(request.page_size(), 2);
        EXPECT_THAT(request.states(), ElementsAre(v1::Build::STATE_RUNNING));
        tokens.push_back(request.page_token());
        v1::ListBuildsResponse page = pages.front();
        pages.pop_front();
        return page;
      });
  v1::ListBuildsRequest request;
  request.set_page_size(2);
  request.add_states(v1::Build::STATE_RUNNING);
  EXPECT_THAT(Names(Client(connection).ListBuilds(request)),
              ElementsAre("c", "b", "a"));
  EXPECT_THAT(tokens, ElementsAre("", "1", "2"));
}

TEST(BuildListTest, FetchesNoFurtherThanItIsRead) {
  auto connection = std::make_shared<MockConnection>();
  EXPECT_CALL(*connection, ListBuilds).WillOnce(Return(Page({"b", "a"}, "1")));
  BuildList builds = Client(connection).ListBuilds();
  BuildList::Iterator it = builds.begin();
  ++it;
  EXPECT_EQ((*it)->name(), "a");
}

TEST(BuildListTest, NoBuilds) {
  auto connection = std::make_shared<MockConnection>();
  EXPECT_CALL(*connection, ListBuilds).WillOnce(Return(Page({}, "")));
  EXPECT_THAT(Names(Client(connection).ListBuilds()), IsEmpty());
}

TEST(BuildListTest, AnErrorIsTheLastElement) {
  auto connection = std::make_shared<MockConnection>();
  EXPECT_CALL(*connection, ListBuilds)
      .WillOnce(Return(Page({"a"}, "1")))
      .WillOnce(Return(absl::UnavailableError("gone")));
  EXPECT_THAT(Names(Client(connection).ListBuilds()),
              ElementsAre("a", "UNAVAILABLE: gone"));
}

TEST(BuildListTest, OnePage) {
  auto connection = std::make_shared<MockConnection>();
  EXPECT_CALL(*connection, ListBuilds).WillOnce(Return(Page({"a"}, "1")));
  const auto page = Client(connection).ListBuildsPage(v1::ListBuildsRequest());
  ASSERT_THAT(page, IsOk());
  EXPECT_EQ(page->next_page_token(), "1");
}

}  // namespace
}  // namespace containerbuilder::client
