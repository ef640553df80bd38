#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cli/program.h"
#include "unit/client/fake_service.h"

namespace containerbuilder {
namespace {

using test_support::FakeService;
using test_support::ProgramResult;
using test_support::RunProgram;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

ProgramResult Health(const FakeService& service) {
  return RunProgram(
      {.program = CONTAINER_BUILDER,
       .arguments = {"--address=" + service.address(), "health"}});
}

void AddCheck(v1::HealthResponse& response, const std::string& name,
              v1::HealthCheck::State state, const std::string& message,
              const std::string& hint = "") {
  v1::HealthCheck* check = response.add_checks();
  check->set_name(name);
  check->set_state(state);
  check->set_message(message);
  check->set_hint(hint);
}

TEST(HealthCommandTest, PrintsATableAndTheVerdict) {
  FakeService service;
  service.health = [](v1::HealthResponse& response) {
    response.set_state(v1::HealthResponse::STATE_UNHEALTHY);
    AddCheck(response, "platform", v1::HealthCheck::STATE_OK, "Linux x86_64");
    AddCheck(response, "docker_buildkit", v1::HealthCheck::STATE_WARNING,
             "DOCKER_BUILDKIT is set");
    AddCheck(response, "nerdctl", v1::HealthCheck::STATE_FAILED,
             "not found on PATH", "Install nerdctl,\nor set --nerdctl.");
    AddCheck(response, "queue", v1::HealthCheck::STATE_SKIPPED, "");
    return grpc::Status::OK;
  };
  const ProgramResult result = Health(service);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out,
            "platform         OK       Linux x86_64\n"
            "docker_buildkit  WARNING  DOCKER_BUILDKIT is set\n"
            "nerdctl          FAILED   not found on PATH\n"
            "                          Install nerdctl,\n"
            "                          or set --nerdctl.\n"
            "queue            SKIPPED\n"
            "UNHEALTHY\n");
  EXPECT_THAT(result.err, IsEmpty());
}

TEST(HealthCommandTest, ExitCodeIsTheVerdict) {
  FakeService service;
  const auto exit_code_of = [&](v1::HealthResponse::State state) {
    service.health = [state](v1::HealthResponse& response) {
      response.set_state(state);
      return grpc::Status::OK;
    };
    return Health(service).exit_code;
  };
  EXPECT_EQ(exit_code_of(v1::HealthResponse::STATE_HEALTHY), 0);
  EXPECT_EQ(exit_code_of(v1::HealthResponse::STATE_DEGRADED), 0);
  EXPECT_EQ(exit_code_of(v1::HealthResponse::STATE_UNHEALTHY), 1);
}

TEST(HealthCommandTest, FormatJsonIsOneLine) {
  FakeService service;
  service.health = [](v1::HealthResponse& response) {
    response.set_state(v1::HealthResponse::STATE_UNHEALTHY);
    response.set_nerdctl_version("1.7.7");
    AddCheck(response, "nerdctl", v1::HealthCheck::STATE_OK, "there");
    return grpc::Status::OK;
  };
  const ProgramResult result =
      RunProgram({.program = CONTAINER_BUILDER,
                  .arguments = {"--address=" + service.address(), "health",
                                "--format=json"}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out,
            R"({"state":"STATE_UNHEALTHY","checks":[{"name":"nerdctl",)"
            R"("state":"STATE_OK","message":"there"}],)"
            R"("nerdctlVersion":"1.7.7"})"
            "\n");
}

TEST(HealthCommandTest, NoAnswer) {
  FakeService service;
  service.health = [](v1::HealthResponse&) {
    return grpc::Status(grpc::StatusCode::INTERNAL, "broken");
  };
  ProgramResult result = Health(service);
  EXPECT_EQ(result.exit_code, 77);
  EXPECT_EQ(result.err, "container-builder: broken\n");

  result = RunProgram({.program = CONTAINER_BUILDER,
                       .arguments = {"--address=unix:/nowhere", "health"}});
  EXPECT_EQ(result.exit_code, 78);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("no service answers at unix:/nowhere"));
}

TEST(HealthCommandTest, TakesNoArguments) {
  EXPECT_EQ(
      RunProgram({.program = CONTAINER_BUILDER, .arguments = {"health", "now"}})
          .exit_code,
      2);
  const ProgramResult help = RunProgram(
      {.program = CONTAINER_BUILDER, .arguments = {"health", "--help"}});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, StartsWith("Usage: container-builder"));
}

}  // namespace
}  // namespace containerbuilder
