#include "base/canonical_hash.h"

#include <string>

#include "absl/strings/escaping.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "gtest/gtest.h"

namespace containerbuilder::service {
namespace {

TEST(CanonicalHashTest, IsSha256) {
  // FIPS 180-4's examples.
  EXPECT_EQ(absl::BytesToHexString(Sha256("")),
            "e3b0c44298fc1c149afbf4c8996fb924"
            "27ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(absl::BytesToHexString(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223"
            "b00361a396177a9cb410ff61f20015ad");
}

TEST(CanonicalHashTest, DoesNotDependOnTheOrderOfMaps) {
  v1::BuildRequest forth;
  v1::BuildRequest back;
  for (int i = 0; i < 100; ++i) {
    (*forth.mutable_annotations())[std::to_string(i)] = "x";
    (*back.mutable_annotations())[std::to_string(99 - i)] = "x";
  }
  EXPECT_EQ(CanonicalSha256(forth), CanonicalSha256(back));
  (*back.mutable_annotations())["5"] = "y";
  EXPECT_NE(CanonicalSha256(forth), CanonicalSha256(back));
}

TEST(CanonicalHashTest, DoesNotDependOnUnknownFields) {
  v1::BuildRequest request;
  request.mutable_spec()->set_dockerfile("FROM scratch");
  v1::BuildRequest newer = request;
  newer.GetReflection()->MutableUnknownFields(&newer)->AddVarint(999, 1);
  v1::BuildSpec* spec = newer.mutable_spec();
  spec->GetReflection()->MutableUnknownFields(spec)->AddVarint(999, 1);
  EXPECT_EQ(CanonicalSha256(request), CanonicalSha256(newer));
}

}  // namespace
}  // namespace containerbuilder::service
