#include "build/request_hash.h"

#include <functional>
#include <string>

#include "absl/strings/escaping.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "gtest/gtest.h"

namespace containerbuilder::service {
namespace {

v1::BuildRequest MakeRequest() {
  v1::BuildRequest request;
  v1::BuildSpec& spec = *request.mutable_spec();
  spec.mutable_options()->set_context_path("/src");
  v1::Option& tag = *spec.mutable_options()->add_options();
  tag.set_name("tag");
  tag.mutable_value()->set_text("app:1");
  v1::Secret& secret = *spec.add_secrets();
  secret.set_id("npm");
  secret.set_value("hunter2");
  v1::RegistryAuth& auth = *spec.add_registry_auths();
  auth.set_host("registry.example");
  auth.set_username("ann");
  auth.set_password("letmein");
  (*spec.mutable_environment())["SOURCE_DATE_EPOCH"] = "0";
  request.mutable_policy()->set_priority(1);
  (*request.mutable_annotations())["team"] = "a";
  (*request.mutable_annotations())["job"] = "7";
  return request;
}

std::string HashOf(const v1::BuildRequest& request) {
  return RequestSha256(request.spec(), request.policy(), request.annotations());
}

std::string HashAfter(const std::function<void(v1::BuildRequest&)>& change) {
  v1::BuildRequest request = MakeRequest();
  change(request);
  return HashOf(request);
}

// Records hold it: it must be the same in each version of the service.
TEST(RequestHashTest, StaysWhatItIs) {
  EXPECT_EQ(absl::BytesToHexString(HashOf(MakeRequest())),
            "5fc1b2d2275917bc144456737ff5cb6a7668cd5751b0456ddc03220dd2859cfd");
}

TEST(RequestHashTest, LeavesOutSecretsAndPasswords) {
  const std::string hash = HashOf(MakeRequest());
  EXPECT_EQ(hash, HashAfter([](v1::BuildRequest& request) {
              request.mutable_spec()->mutable_secrets(0)->set_value("other");
              request.mutable_spec()->mutable_registry_auths(0)->set_password(
                  "other");
            }));
  EXPECT_EQ(
      hash, HashAfter([](v1::BuildRequest& request) {
        request.mutable_spec()->mutable_secrets(0)->clear_value();
        request.mutable_spec()->mutable_registry_auths(0)->clear_password();
        request.set_request_id("whatever");
      }));
}

TEST(RequestHashTest, DiffersWithAllElse) {
  const std::string hash = HashOf(MakeRequest());
  const std::function<void(v1::BuildRequest&)> changes[] = {
      [](auto& r) {
        r.mutable_spec()->mutable_options()->set_context_path("/");
      },
      [](auto& r) { r.mutable_spec()->mutable_options()->clear_options(); },
      [](auto& r) { r.mutable_spec()->mutable_secrets(0)->set_id("other"); },
      [](auto& r) { r.mutable_spec()->clear_secrets(); },
      [](auto& r) {
        r.mutable_spec()->mutable_registry_auths(0)->set_host("other");
      },
      [](auto& r) {
        r.mutable_spec()->mutable_registry_auths(0)->set_username("bob");
      },
      [](auto& r) { r.mutable_spec()->clear_environment(); },
      [](auto& r) { r.mutable_policy()->set_priority(2); },
      [](auto& r) { r.mutable_policy()->mutable_timeout()->set_seconds(1); },
      [](auto& r) { (*r.mutable_annotations())["team"] = "b"; },
      [](auto& r) { r.mutable_annotations()->erase("job"); },
  };
  for (const auto& change : changes) EXPECT_NE(hash, HashAfter(change));
}

TEST(RequestHashTest, AnEmptyMessageIsNone) {
  v1::BuildRequest request;
  const std::string none = HashOf(request);
  request.mutable_spec();
  request.mutable_policy();
  EXPECT_EQ(none, HashOf(request));
}

}  // namespace
}  // namespace containerbuilder::service
