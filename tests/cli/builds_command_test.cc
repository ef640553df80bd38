// list, get, cancel and delete.

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/program.h"
#include "unit/client/fake_service.h"

namespace containerbuilder {
namespace {

using google::protobuf::util::TimeUtil;
using test_support::FakeService;
using test_support::ProgramResult;
using test_support::Refusal;
using test_support::RunProgram;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::MatchesRegex;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

v1::Build MakeBuild(const std::string& name, v1::Build::State state) {
  v1::Build build;
  build.set_name(name);
  build.set_state(state);
  v1::BuildOptions& options = *build.mutable_spec()->mutable_options();
  options.set_context_path("/src/" + name);
  v1::Option& tag = *options.add_options();
  tag.set_name("tag");
  tag.mutable_value()->mutable_values()->add_values("app:dev");
  *build.mutable_create_time() = TimeUtil::SecondsToTimestamp(1'000'000'000);
  *build.mutable_start_time() = TimeUtil::SecondsToTimestamp(1'000'000'001);
  *build.mutable_finish_time() = TimeUtil::SecondsToTimestamp(1'000'000'193);
  return build;
}

class BuildsCommandTest : public testing::Test {
 protected:
  ProgramResult Run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "--address=" + service_.address());
    return RunProgram(
        {.program = CONTAINER_BUILDER, .arguments = std::move(arguments)});
  }

  void ExpectWrongUsage(const std::vector<std::vector<std::string>>& cases) {
    for (const std::vector<std::string>& arguments : cases) {
      SCOPED_TRACE(testing::PrintToString(arguments));
      const ProgramResult result = Run(arguments);
      EXPECT_EQ(result.exit_code, 2);
      EXPECT_THAT(result.out, IsEmpty());
      EXPECT_THAT(result.err, EndsWith("see: container-builder " +
                                       arguments.front() + " --help\n"));
    }
  }

  FakeService service_;
};

class ListCommandTest : public BuildsCommandTest {
 protected:
  ListCommandTest() {
    // Two pages.
    service_.list_builds = [this](const v1::ListBuildsRequest& request,
                                  v1::ListBuildsResponse& response) {
      requests_.push_back(request);
      if (request.page_token().empty()) {
        *response.add_builds() =
            MakeBuild("builds/3", v1::Build::STATE_SUCCEEDED);
        v1::Build& build = *response.add_builds();
        build.set_name("builds/22");
        build.set_state(v1::Build::STATE_QUEUED);
        build.mutable_spec()->mutable_options()->set_context_path("/\x1b[2J");
        response.set_next_page_token("next");
      } else {
        *response.add_builds() =
            MakeBuild("builds/1", v1::Build::STATE_TIMED_OUT);
      }
      return grpc::Status::OK;
    };
  }

  std::vector<v1::ListBuildsRequest> requests_;
};

TEST_F(ListCommandTest, PrintsATableOfAllPages) {
  const ProgramResult result = Run({"list"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_THAT(
      result.out,
      MatchesRegex("NAME       STATE      AGE[ ]+DURATION  TAG      CONTEXT\n"
                   "builds/3   SUCCEEDED  [0-9]+d[0-9]+h +3m12s     app:dev  "
                   "/src/builds/3\n"
                   "builds/22  QUEUED     - +-         -        /.x1b.2J\n"
                   "builds/1   TIMED_OUT  [0-9]+d[0-9]+h +3m12s     app:dev  "
                   "/src/builds/1\n"));
  ASSERT_EQ(requests_.size(), 2U);
  EXPECT_EQ(requests_[0].page_size(), 1000);
  EXPECT_EQ(requests_[1].page_token(), "next");
}

TEST_F(ListCommandTest, NoBuilds) {
  service_.list_builds = [](const auto&, auto&) { return grpc::Status::OK; };
  EXPECT_EQ(Run({"list"}).out, "NAME  STATE  AGE  DURATION  TAG  CONTEXT\n");
  const ProgramResult result = Run({"list", "--format=json"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, IsEmpty());
}

TEST_F(ListCommandTest, FormatJsonIsABuildPerLine) {
  service_.list_builds = [](const auto&, v1::ListBuildsResponse& response) {
    for (const char* name : {"builds/2", "builds/1"}) {
      v1::Build& build = *response.add_builds();
      build.set_name(name);
      build.set_state(v1::Build::STATE_RUNNING);
      build.mutable_create_time()->set_seconds(1'000'000'000);
      build.set_stdout_bytes(5);
    }
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"list", "--format", "json"}).out,
            R"({"name":"builds/2","state":"STATE_RUNNING",)"
            R"("createTime":"2001-09-09T01:46:40Z","stdoutBytes":"5"})"
            "\n"
            R"({"name":"builds/1","state":"STATE_RUNNING",)"
            R"("createTime":"2001-09-09T01:46:40Z","stdoutBytes":"5"})"
            "\n");
}

TEST_F(ListCommandTest, Limit) {
  EXPECT_THAT(Run({"list", "--limit=1", "--format=json"}).out,
              AllOf(HasSubstr("builds/3"), Not(HasSubstr("builds/22"))));
  ASSERT_EQ(requests_.size(), 1U);
  EXPECT_EQ(requests_[0].page_size(), 1);
  EXPECT_THAT(Run({"list", "--limit", "3"}).out, HasSubstr("builds/1 "));
}

TEST_F(ListCommandTest, Filters) {
  const std::int64_t before = std::time(nullptr);
  const ProgramResult result =
      Run({"list", "--state=running", "--state", "STATE_TIMED_OUT",
           "--state=timed-out", "--annotation", "a=b", "--annotation=c=",
           "--since=2h", "--until", "2026-11-24T18:30:00.5+01:00"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const std::int64_t after = std::time(nullptr);
  const v1::ListBuildsRequest& request = requests_.at(0);
  EXPECT_THAT(request.states(),
              ElementsAre(v1::Build::STATE_RUNNING, v1::Build::STATE_TIMED_OUT,
                          v1::Build::STATE_TIMED_OUT));
  EXPECT_THAT(request.annotations(),
              UnorderedElementsAre(Pair("a", "b"), Pair("c", "")));
  EXPECT_THAT(request.create_time_from().seconds(),
              AllOf(Ge(before - 7200), Le(after - 7200)));
  EXPECT_EQ(TimeUtil::ToString(request.create_time_before()),
            "2026-11-24T17:30:00.500Z");

  Run({"list"});
  EXPECT_EQ(requests_.at(2).states_size(), 0);
  EXPECT_FALSE(requests_.at(2).has_create_time_from());
  EXPECT_FALSE(requests_.at(2).has_create_time_before());
}

TEST_F(ListCommandTest, Refusal) {
  service_.list_builds = [](const v1::ListBuildsRequest& request,
                            v1::ListBuildsResponse& response) {
    if (!request.page_token().empty()) {
      return grpc::Status(grpc::StatusCode::INTERNAL, "broken");
    }
    response.add_builds()->set_name("builds/1");
    response.set_next_page_token("next");
    return grpc::Status::OK;
  };
  const ProgramResult result = Run({"list"});
  EXPECT_EQ(result.exit_code, 77);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err, "container-builder: broken\n");
}

TEST_F(ListCommandTest, WrongUsage) {
  ExpectWrongUsage({{"list", "builds/1"},
                    {"list", "--state=sleeping"},
                    {"list", "--state=unspecified"},
                    {"list", "--annotation=a"},
                    {"list", "--since=yesterday"},
                    {"list", "--until=2026-13-01"},
                    {"list", "--limit=0"},
                    {"list", "--limit=many"},
                    {"list", "--format=raw"},
                    {"list", "--nope"}});
  EXPECT_THAT(requests_, IsEmpty());
}

class GetCommandTest : public BuildsCommandTest {};

TEST_F(GetCommandTest, TellsAllOfIt) {
  service_.get_build = [](const v1::GetBuildRequest& request,
                          v1::GetBuildResponse& response) {
    EXPECT_EQ(request.name(), "builds/7");
    v1::Build& build = *response.mutable_build();
    build = MakeBuild("builds/7", v1::Build::STATE_FAILED);
    build.set_requester("local");
    build.set_exit_code(1);
    build.set_stdout_bytes(5);
    build.set_stderr_bytes(6);
    build.set_last_sequence(9);
    build.mutable_failure()->set_reason("STEP_FAILED");
    build.mutable_failure()->set_message("RUN make\x1b[2J");
    build.mutable_failure()->set_step("[2/3] RUN make");
    (*build.mutable_annotations())["b"] = "2";
    (*build.mutable_annotations())["a"] = "1";
    return grpc::Status::OK;
  };
  for (const char* name : {"7", "builds/7"}) {
    const ProgramResult result = Run({"get", name});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.out,
              "Name:        builds/7\n"
              "State:       FAILED\n"
              "Tag:         app:dev\n"
              "Context:     /src/builds/7\n"
              "Requester:   local\n"
              "Created:     2001-09-09T01:46:40+00:00\n"
              "Started:     2001-09-09T01:46:41+00:00\n"
              "Finished:    2001-09-09T01:49:53+00:00\n"
              "Duration:    3m12s\n"
              "Reason:      STEP_FAILED\n"
              "Message:     RUN make\\x1b[2J\n"
              "Step:        [2/3] RUN make\n"
              "Retryable:   no\n"
              "Exit code:   1\n"
              "Output:      5 bytes, errors 6 bytes\n"
              "Events:      9\n"
              "Annotation:  a=1\n"
              "Annotation:  b=2\n");
  }
}

TEST_F(GetCommandTest, FormatJsonIsOneLine) {
  service_.get_build = [](const v1::GetBuildRequest& request,
                          v1::GetBuildResponse& response) {
    response.mutable_build()->set_name(request.name());
    response.mutable_build()->set_exit_code(1);
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"get", "7", "--format=json"}).out,
            "{\"name\":\"builds/7\",\"exitCode\":1}\n");
}

TEST_F(GetCommandTest, Refusal) {
  service_.get_build = [](const auto&, auto&) {
    return Refusal(grpc::StatusCode::NOT_FOUND, "no such build",
                   "BUILD_NOT_FOUND", "name", "d");
  };
  const ProgramResult result = Run({"get", "7"});
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("BUILD_NOT_FOUND"));
}

TEST_F(GetCommandTest, WrongUsage) {
  ExpectWrongUsage({{"get"}, {"get", "1", "2"}, {"get", "1", "--format=raw"}});
}

class CancelCommandTest : public BuildsCommandTest {};

TEST_F(CancelCommandTest, PrintsHowEachEnded) {
  service_.cancel_build = [](const v1::CancelBuildRequest& request, auto&,
                             v1::CancelBuildResponse& response) {
    if (request.name() == "builds/2") {
      return Refusal(grpc::StatusCode::NOT_FOUND, "no builds/2",
                     "BUILD_NOT_FOUND", "name", "no builds/2");
    }
    response.mutable_build()->set_state(request.name() == "builds/1"
                                            ? v1::Build::STATE_CANCELLED
                                            : v1::Build::STATE_SUCCEEDED);
    return grpc::Status::OK;
  };
  ProgramResult result = Run({"cancel", "1", "builds/3"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "builds/1  CANCELLED\nbuilds/3  SUCCEEDED\n");
  EXPECT_THAT(result.err, IsEmpty());

  result = Run({"cancel", "2", "1"});
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_EQ(result.out, "builds/1  CANCELLED\n");
  EXPECT_EQ(result.err,
            "container-builder: no builds/2\n"
            "container-builder: reason: BUILD_NOT_FOUND\n");
}

TEST_F(CancelCommandTest, WrongUsage) {
  ExpectWrongUsage({{"cancel"}, {"cancel", ""}, {"cancel", "1", "--force"}});
}

class DeleteCommandTest : public BuildsCommandTest {};

TEST_F(DeleteCommandTest, PrintsWhatIsGone) {
  service_.delete_build = [](const v1::DeleteBuildRequest& request) {
    return request.name() == "builds/2"
               ? grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "it runs")
               : grpc::Status::OK;
  };
  const ProgramResult result = Run({"delete", "1", "2", "builds/3"});
  EXPECT_EQ(result.exit_code, 73);
  EXPECT_EQ(result.out, "builds/1\nbuilds/3\n");
  EXPECT_EQ(result.err, "container-builder: it runs\n");
}

TEST_F(DeleteCommandTest, WrongUsage) {
  ExpectWrongUsage({{"delete"}, {"delete", "builds/"}});
}

}  // namespace
}  // namespace containerbuilder
