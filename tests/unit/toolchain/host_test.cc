#include "build/host.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using test_support::IsOk;
using test_support::StatusIs;
using test_support::TempDir;

TEST(HostTest, IsThisMachine) {
  const Host host = Host::Real();
#if defined(__linux__)
  EXPECT_EQ(host.platform, Platform::kLinux);
#endif
  EXPECT_EQ(host.user, geteuid());
  EXPECT_EQ(host.working_folder, std::filesystem::current_path());
  EXPECT_LT(absl::AbsDuration(host.now() - absl::Now()), absl::Minutes(1));
}

TEST(HostTest, TellsUnsetFromEmpty) {
  const Host host = Host::Real();
  setenv("CONTAINERBUILDER_HOST_TEST", "", 1);
  EXPECT_EQ(host.getenv("CONTAINERBUILDER_HOST_TEST"), "");
  unsetenv("CONTAINERBUILDER_HOST_TEST");
  EXPECT_EQ(host.getenv("CONTAINERBUILDER_HOST_TEST"), std::nullopt);
}

TEST(HostTest, SurvivesTheEndOfItsWorkingFolder) {
  const std::filesystem::path former = std::filesystem::current_path();
  {
    const TempDir folder;
    std::filesystem::current_path(folder.path());
  }
  EXPECT_EQ(Host::Real().working_folder, "/");
  std::filesystem::current_path(former);
}

TEST(HostTest, KnowsTheFreeDisk) {
  const TempDir folder;
  const Host host = Host::Real();
  EXPECT_THAT(host.free_disk(folder.path()), IsOk());
  EXPECT_THAT(host.free_disk(folder.Path("missing")),
              StatusIs(absl::StatusCode::kNotFound,
                       testing::HasSubstr(folder.Path("missing"))));
}

}  // namespace
}  // namespace containerbuilder::service
